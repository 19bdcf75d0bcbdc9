// Scene: which driver and GPUs the stand-in shows, and what has happened to them, in files that all
// processes of a scene share, because the instances of a GPU outlive the process that made them.
//
// ASHLAR_FAKE_NVML_SCENE names a JSON file that a person wrote:
//   {"driver": "580.65.06", "gpus": [{"model": "H100-80GB", "pci": "0000:41:00.0", "numaNode": 0}]}
// Beside it lies SCENE.state: the same with everything filled in, made at first use, changed by
// calls that change GPUs, and from outside by fake_nvml_scene. It is replaced as a whole under a
// lock on SCENE.lock. Keys that tests change:
//   driver.gone          nvmlInit: NVML_ERROR_DRIVER_NOT_LOADED, all else: NVML_ERROR_UNKNOWN
//   hang                 names of calls that never return; "*" is every call
//   fail                 {call: nvmlReturn_t}
//   gpus[i].lost         NVML_ERROR_GPU_IS_LOST
//   gpus[i].temperature, power, memoryUsed, clients, ecc, rows, recovery, ...: what is told
// Used by one thread at a time.
#pragma once

#include <functional>
#include <stdexcept>
#include <string>

#include "nlohmann/json.hpp"
#include "test/fake_nvml/gpu_models.h"

namespace fake_nvml {

using Json = nlohmann::json;

// A scene that cannot be used; the text says why.
class BadScene : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Scene {
 public:
  explicit Scene(std::string path) : path_(std::move(path)) {}

  // Runs `use` with the state as it is now; if it returns true, what it made of the state is saved.
  // Throws BadScene.
  void With(const std::function<bool(Json& state)>& use) const;
  Json Read() const;

 private:
  const std::string path_;
};

// What a person wrote with everything filled in that was left out. Throws BadScene.
Json FillIn(const Json& scene);

// The GPU's model. Throws BadScene.
const GpuModel& ModelOf(const Json& gpu);

// Something happened to a GPU: whoever waits for events of the type is told.
// `type`: nvmlEventType*. `instance`: of the GPU, or 0xffffffff.
void AddEvent(Json& state, const std::string& uuid, unsigned long long type,
              unsigned long long data, unsigned instance = 0xffffffff,
              unsigned compute_instance = 0xffffffff);

// A UUID of version 5 that always follows from the text.
std::string UuidOf(const std::string& text);

}  // namespace fake_nvml
