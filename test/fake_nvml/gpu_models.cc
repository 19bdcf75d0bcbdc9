#include "test/fake_nvml/gpu_models.h"

#include "nvml.h"

namespace fake_nvml {
namespace {

// What differs between the models, slice by slice; all else of their division is the same.
struct Division {
  const char* memory[4];             // "5gb" of 1 of 8 memory slices, of 2, of 4, of all
  unsigned long long memory_mib[4];  // likewise
  unsigned multiprocessors[5];       // of 1g, 2g, 3g, 4g, 7g
  unsigned double_memory_multiprocessors;
  unsigned decoders[5], jpegs[5];
  unsigned double_memory_jpegs;
  unsigned copy_engines_of_all;
};

std::vector<Placement> Places(unsigned size, unsigned count) {
  std::vector<Placement> places;
  for (unsigned i = 0; i < count; ++i) places.push_back({i * size, size});
  return places;
}

std::vector<MigProfile> ProfilesOf(const Division& d) {
  const auto name = [&](const char* slices, int memory, const char* more = "") {
    return std::string(slices) + "." + d.memory[memory] + more;
  };
  const auto& sm = d.multiprocessors;
  const auto& dec = d.decoders;
  const auto& jpg = d.jpegs;
  const unsigned double_decoders = 1;
  return {
      {NVML_GPU_INSTANCE_PROFILE_1_SLICE, 19, name("1g", 0), 1, 7, sm[0], 1, dec[0], 0, jpg[0], 0,
       d.memory_mib[0], Places(1, 7)},
      {NVML_GPU_INSTANCE_PROFILE_1_SLICE_REV1, 20, name("1g", 0, "+me"), 1, 1, sm[0], 1, 1, 0, 1, 1,
       d.memory_mib[0], Places(1, 7)},
      {NVML_GPU_INSTANCE_PROFILE_1_SLICE_REV2, 15, name("1g", 1), 1, 4,
       d.double_memory_multiprocessors, 1, double_decoders, 0, d.double_memory_jpegs, 0,
       d.memory_mib[1], Places(2, 4)},
      {NVML_GPU_INSTANCE_PROFILE_2_SLICE, 14, name("2g", 1), 2, 3, sm[1], 2, dec[1], 0, jpg[1], 0,
       d.memory_mib[1], Places(2, 3)},
      {NVML_GPU_INSTANCE_PROFILE_3_SLICE, 9, name("3g", 2), 3, 2, sm[2], 3, dec[2], 0, jpg[2], 0,
       d.memory_mib[2], Places(4, 2)},
      {NVML_GPU_INSTANCE_PROFILE_4_SLICE, 5, name("4g", 2), 4, 1, sm[3], 4, dec[3], 0, jpg[3], 0,
       d.memory_mib[2], Places(4, 1)},
      {NVML_GPU_INSTANCE_PROFILE_7_SLICE, 0, name("7g", 3), 7, 1, sm[4], d.copy_engines_of_all,
       dec[4], 0, jpg[4], 1, d.memory_mib[3], Places(8, 1)},
  };
}

const Division kA100Small = {{"5gb", "10gb", "20gb", "40gb"},
                             {4864, 9856, 19968, 40192},
                             {14, 28, 42, 56, 98},
                             14,
                             {0, 1, 2, 2, 5},
                             {0, 0, 0, 0, 1},
                             0,
                             7};
const Division kA100Large = {{"10gb", "20gb", "40gb", "80gb"},
                             {9728, 19968, 40192, 81152},
                             {14, 28, 42, 56, 98},
                             14,
                             {0, 1, 2, 2, 5},
                             {0, 0, 0, 0, 1},
                             0,
                             7};
const Division kH100 = {{"10gb", "20gb", "40gb", "80gb"},
                        {9984, 20096, 40448, 81152},
                        {16, 32, 60, 64, 132},
                        26,
                        {1, 2, 3, 4, 7},
                        {1, 2, 3, 4, 7},
                        1,
                        8};
const Division kH200 = {{"18gb", "35gb", "71gb", "141gb"},
                        {16384, 33280, 71168, 143360},
                        {16, 32, 60, 64, 132},
                        26,
                        {1, 2, 3, 4, 7},
                        {1, 2, 3, 4, 7},
                        1,
                        8};
const Division kB200 = {{"23gb", "45gb", "90gb", "180gb"},
                        {22528, 45056, 91136, 182784},
                        {18, 36, 70, 74, 148},
                        30,
                        {1, 2, 3, 4, 7},
                        {1, 2, 3, 4, 7},
                        1,
                        8};

}  // namespace

const std::vector<GpuModel>& Models() {
  static const std::vector<GpuModel> models = {
      {"A100-40GB", "NVIDIA A100-SXM4-40GB", NVML_DEVICE_ARCH_AMPERE, 8, 0, 0x20b010de, 40960,
       65536, 100000, 400000, 4, 12, 1410, 1215, 85, 92, true, false, ProfilesOf(kA100Small)},
      {"A100-80GB", "NVIDIA A100-SXM4-80GB", NVML_DEVICE_ARCH_AMPERE, 8, 0, 0x20b210de, 81920,
       131072, 100000, 400000, 4, 12, 1410, 1593, 85, 92, true, false, ProfilesOf(kA100Large)},
      {"H100-80GB", "NVIDIA H100 80GB HBM3", NVML_DEVICE_ARCH_HOPPER, 9, 0, 0x233010de, 81559,
       131072, 200000, 700000, 5, 18, 1980, 2619, 87, 92, false, true, ProfilesOf(kH100)},
      {"H200-141GB", "NVIDIA H200", NVML_DEVICE_ARCH_HOPPER, 9, 0, 0x233510de, 143771, 262144,
       200000, 700000, 5, 18, 1980, 3201, 87, 92, false, true, ProfilesOf(kH200)},
      {"B200-180GB", "NVIDIA B200", NVML_DEVICE_ARCH_BLACKWELL, 10, 0, 0x290110de, 183359, 262144,
       200000, 1000000, 6, 18, 1965, 3996, 87, 92, false, true, ProfilesOf(kB200)},
      {"L4-24GB",
       "NVIDIA L4",
       NVML_DEVICE_ARCH_ADA,
       8,
       9,
       0x27b810de,
       23034,
       32768,
       40000,
       72000,
       4,
       0,
       2040,
       6251,
       89,
       94,
       false,
       false,
       {}},
  };
  return models;
}

const GpuModel* FindModel(const std::string& key) {
  for (const GpuModel& model : Models())
    if (model.key == key) return &model;
  return nullptr;
}

}  // namespace fake_nvml
