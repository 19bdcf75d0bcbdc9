// What the agent relies on of NVML, asked of the stand-in and, where a machine has it, of
// NVIDIA's own library. Reads only.
#include <cstdlib>
#include <fstream>

#include "absl/strings/match.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/testing/temporary_directory.h"
#include "node-agent/gpu/gpu_reader.h"
#include "test/fake_nvml/scene.h"

namespace ashlar::node_agent {
namespace {

using ::testing::IsSupersetOf;
using ::testing::MatchesRegex;

constexpr char kReal[] = "libnvidia-ml.so.1";

std::vector<std::string> Libraries() {
  std::vector<std::string> libraries = {FAKE_NVML_LIBRARY};
  const auto real = Nvml::Load({kReal}, [](absl::string_view) {});
  if (real.ok() && ASHLAR_NVML(*real, nvmlInit_v2) == NVML_SUCCESS) libraries.push_back(kReal);
  return libraries;
}

class NvmlContract : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    std::ofstream(scene_) << R"({"gpus": [
      {"model": "H100-80GB", "pci": "0000:41:00.0", "numaNode": 1},
      {"model": "A100-40GB", "pci": "0000:C1:00.0",
       "mig": {"current": true, "pending": true, "instances": [
         {"id": 2, "profile": 9, "start": 0, "size": 4, "clients": 0,
          "compute": [{"id": 0, "profile": 2, "start": 0, "size": 3, "uuid": "MIG-a"}]}]}},
      {"model": "L4-24GB"}]})";
    setenv("ASHLAR_FAKE_NVML_SCENE", scene_.c_str(), 1);
    nvml_.emplace(*Nvml::Load({GetParam()}, [this](absl::string_view function) {
      if (!function.empty()) called_.emplace_back(function);
    }));
    ASSERT_EQ(ASHLAR_NVML(*nvml_, nvmlInit_v2), NVML_SUCCESS);
  }
  void TearDown() override { ASHLAR_NVML(*nvml_, nvmlShutdown); }

  std::vector<v1alpha1::Gpu> ReadAll() {
    unsigned count = 0;
    EXPECT_EQ(ASHLAR_NVML(*nvml_, nvmlDeviceGetCount_v2, &count), NVML_SUCCESS);
    std::vector<v1alpha1::Gpu> gpus;
    for (unsigned index = 0; index < count; ++index) {
      auto gpu = GpuReader(*nvml_).Read(index);
      EXPECT_TRUE(gpu.ok()) << gpu.status();
      if (gpu.ok()) gpus.push_back(*std::move(gpu));
    }
    EXPECT_FALSE(gpus.empty());
    return gpus;
  }

  const TemporaryDirectory directory_;
  const std::string scene_ = directory_.path() + "/scene";
  std::optional<Nvml> nvml_;
  std::vector<std::string> called_;
};

TEST_P(NvmlContract, TheDriverTellsItsVersions) {
  const v1alpha1::GpuDriver driver = GpuReader(*nvml_).Driver();
  EXPECT_THAT(driver.version(), MatchesRegex("[0-9]+\\.[0-9.]+"));
  EXPECT_THAT(driver.cuda_version(), MatchesRegex("[0-9]+\\.[0-9]+"));
}

TEST_P(NvmlContract, AGpuSaysWhoItIsAndHowItIs) {
  for (const v1alpha1::Gpu& gpu : ReadAll()) {
    SCOPED_TRACE(gpu.ShortDebugString());
    EXPECT_THAT(gpu.uuid(), MatchesRegex("GPU-[0-9a-f-]{36}"));
    EXPECT_THAT(gpu.pci_address(), MatchesRegex("[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\\.0"));
    EXPECT_TRUE(gpu.has_minor());
    EXPECT_FALSE(gpu.product().empty());
    EXPECT_FALSE(gpu.architecture().empty());
    EXPECT_THAT(gpu.cuda_capability(), MatchesRegex("[0-9]+\\.[0-9]+"));
    EXPECT_GT(gpu.memory(), 1 << 30);
    EXPECT_GT(gpu.bar1_memory(), 0);
    EXPECT_THAT(gpu.link_speed(), MatchesRegex("[0-9.]+ GT/s"));
    EXPECT_GT(gpu.link_width(), 0);
    EXPECT_GT(gpu.health().temperature_celsius(), 0);
    EXPECT_LT(gpu.health().temperature_celsius(), 120);
    if (gpu.has_power()) {
      EXPECT_LE(gpu.power().min_limit_watts(), gpu.power().limit_watts());
      EXPECT_LE(gpu.power().limit_watts(), gpu.power().max_limit_watts());
    }
    if (gpu.has_nvlinks()) {
      EXPECT_LE(gpu.nvlinks_up(), gpu.nvlinks());
    }
  }
}

TEST_P(NvmlContract, ProfilesHavePlacesAndInstancesLieInThem) {
  for (const v1alpha1::Gpu& gpu : ReadAll()) {
    if (!gpu.has_mig()) continue;
    SCOPED_TRACE(gpu.mig().DebugString());
    std::vector<std::tuple<int, int, int>> places;
    for (const v1alpha1::MigProfile& profile : gpu.mig().profiles()) {
      EXPECT_THAT(profile.name(), MatchesRegex("[0-9]g\\.[0-9]+gb.*"));
      EXPECT_GT(profile.memory(), 0);
      EXPECT_GT(profile.max_instances(), 0);
      EXPECT_GE(profile.placements_size(), profile.max_instances());
      EXPECT_EQ(profile.has_remaining(), gpu.mig().enabled());
      int free = 0;
      for (const v1alpha1::MigPlacement& place : profile.placements()) {
        places.emplace_back(profile.id(), place.start(), place.size());
        free += place.free() ? 1 : 0;
      }
      EXPECT_EQ(free > 0, profile.remaining() > 0) << profile.name();
    }
    EXPECT_FALSE(places.empty());
    for (const v1alpha1::MigInstance& instance : gpu.mig().instances())
      EXPECT_THAT(places, testing::Contains(std::tuple(instance.profile_id(), instance.start(),
                                                       instance.size())));
  }
}

TEST_P(NvmlContract, EveryCallIsAnnounced) {
  ReadAll();
  EXPECT_THAT(called_, IsSupersetOf({"nvmlDeviceGetUUID", "nvmlDeviceGetMigMode",
                                     "nvmlDeviceGetPciInfo_v3", "nvmlDeviceGetRemappedRows"}));
}

INSTANTIATE_TEST_SUITE_P(Nvml, NvmlContract, testing::ValuesIn(Libraries()),
                         [](const auto& library) {
                           return library.param == kReal ? "Real" : "StandIn";
                         });

TEST(NvmlLibrary, ThatIsAbsentIsToldFromOneThatIsBroken) {
  const auto ignore = [](absl::string_view) {};
  EXPECT_EQ(Nvml::Load({"libno-such-thing.so.1"}, ignore).status().code(),
            absl::StatusCode::kNotFound);
  const TemporaryDirectory directory;
  const std::string broken = directory.path() + "/libnvidia-ml.so.1";
  std::ofstream(broken) << "no library";
  EXPECT_EQ(Nvml::Load({broken}, ignore).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(Nvml::Load({"/nowhere/libnvidia-ml.so.1", FAKE_NVML_LIBRARY}, ignore).ok());
}

TEST(NvmlLibrary, AFunctionThatItDoesNotHaveIsAnAnswer) {
  const auto nvml = Nvml::Load({FAKE_NVML_LIBRARY}, [](absl::string_view) {});
  ASSERT_TRUE(nvml.ok());
  EXPECT_EQ(nvml->Call<nvmlReturn_t()>("nvmlFromTomorrow"), NVML_ERROR_FUNCTION_NOT_FOUND);
}

}  // namespace
}  // namespace ashlar::node_agent
