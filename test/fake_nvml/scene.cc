#include "test/fake_nvml/scene.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <sstream>

namespace fake_nvml {
namespace {

class FileLock {
 public:
  explicit FileLock(const std::string& path)
      : fd_(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666)) {
    if (fd_ < 0 || flock(fd_, LOCK_EX) != 0) throw BadScene("cannot lock " + path);
  }
  ~FileLock() { close(fd_); }

 private:
  const int fd_;
};

Json Parse(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw BadScene("cannot read " + path);
  const Json json = Json::parse(file, nullptr, false);
  if (json.is_discarded()) throw BadScene(path + " is no JSON");
  return json;
}

void Replace(const std::string& path, const Json& json) {
  const std::string fresh = path + ".new";
  std::ofstream(fresh) << json.dump(1) << "\n";
  if (std::rename(fresh.c_str(), path.c_str()) != 0) throw BadScene("cannot replace " + path);
}

Json FillInGpu(Json gpu, size_t index) {
  const std::string model_key = gpu.value("model", "H100-80GB");
  gpu["model"] = model_key;
  const GpuModel& model = ModelOf(gpu);
  if (!gpu.contains("pci")) {
    char address[16];
    snprintf(address, sizeof address, "0000:%02zx:00.0", 0x10 + index);
    gpu["pci"] = address;
  }
  const Json defaults = {
      {"uuid", "GPU-" + UuidOf(model.key + " " + gpu["pci"].get<std::string>())},
      {"serial", std::to_string(1650000000000ull + index)},
      {"minor", index},
      {"numaNode", 0},
      {"lost", false},
      {"clients", 0},
      {"temperature", 34},
      {"power", 75000},
      {"powerLimit", model.power_max_mw},
      {"memoryUsed", 0},
      {"replays", 0},
      {"link", {{"generation", model.pcie_generation}, {"width", 16}}},
      {"performanceState", 0},
      {"clocksEventReasons", 0},
      {"linkErrors", 0},
      {"vbios", "96.00.74.00.01"},
      {"computeMode", 0},
      {"persistence", true},
      {"platform", nullptr},
      {"repair", {{"channel", false}, {"tpc", false}}},
      {"ecc",
       {{"enabled", true},
        {"corrected", 0},
        {"uncorrected", 0},
        {"lifetime", 0},
        {"sramOverThreshold", false}}},
      {"rows", {{"corrected", 0}, {"uncorrected", 0}, {"pending", false}, {"failed", false}}},
      {"recovery", 0},
      {"linksDown", Json::array()},
      {"fabric", {{"clusterUuid", "6e2f1c1a-5a0b-4d5e-9f1e-0a1b2c3d4e5f"}, {"clique", 1}}},
      {"mig", {{"current", false}, {"pending", false}, {"instances", Json::array()}}},
  };
  Json full = defaults;
  full.merge_patch(gpu);
  return full;
}

}  // namespace

const GpuModel& ModelOf(const Json& gpu) {
  const GpuModel* model = FindModel(gpu.value("model", ""));
  if (model == nullptr) throw BadScene("there is no model " + gpu.value("model", ""));
  return *model;
}

Json FillIn(const Json& scene) {
  if (!scene.is_object()) throw BadScene("a scene is a JSON object");
  Json state = {{"driver", {{"version", "580.65.06"}, {"cuda", 13000}, {"gone", false}}},
                {"hang", Json::array()},
                {"fail", Json::object()},
                {"events", Json::array()},
                {"lastEvent", 0},
                {"gpus", Json::array()}};
  for (const auto& [key, value] : scene.items()) {
    if (key == "driver" && value.is_string())
      state["driver"]["version"] = value;
    else if (key != "gpus")
      state[key].is_object() ? state[key].merge_patch(value) : void(state[key] = value);
  }
  size_t index = 0;
  for (const Json& gpu : scene.value("gpus", Json::array()))
    state["gpus"].push_back(FillInGpu(gpu, index++));
  return state;
}

void Scene::With(const std::function<bool(Json&)>& use) const {
  const FileLock lock(path_ + ".lock");
  const std::string state_path = path_ + ".state";
  const bool first = access(state_path.c_str(), F_OK) != 0;
  Json state = first ? FillIn(Parse(path_)) : Parse(state_path);
  if (use(state) || first) Replace(state_path, state);
}

Json Scene::Read() const {
  Json copy;
  With([&](Json& state) {
    copy = state;
    return false;
  });
  return copy;
}

void AddEvent(Json& state, const std::string& uuid, unsigned long long type,
              unsigned long long data, unsigned instance, unsigned compute_instance) {
  constexpr size_t kKept = 64;
  const unsigned long long number = state["lastEvent"].get<unsigned long long>() + 1;
  state["lastEvent"] = number;
  Json& events = state["events"];
  events.push_back({{"number", number},
                    {"uuid", uuid},
                    {"type", type},
                    {"data", data},
                    {"instance", instance},
                    {"computeInstance", compute_instance}});
  if (events.size() > kKept) events.erase(events.begin());
}

std::string UuidOf(const std::string& text) {
  const auto hash = [&](unsigned long long seed) {  // FNV-1a, finished so that all bits differ
    unsigned long long h = 14695981039346656037ull ^ seed;
    for (const unsigned char c : text) h = (h ^ c) * 1099511628211ull;
    h = (h ^ (h >> 33)) * 0xff51afd7ed558ccdull;
    return h ^ (h >> 29);
  };
  const unsigned long long a = hash(1), b = hash(2);
  char uuid[40];
  snprintf(uuid, sizeof uuid, "%08llx-%04llx-5%03llx-%04llx-%012llx", a >> 32, a >> 16 & 0xffff,
           a & 0xfff, (b >> 48 & 0x3fff) | 0x8000, b & 0xffffffffffffull);
  return uuid;
}

}  // namespace fake_nvml
