// Nvml: NVIDIA's management library, found at run time. Each call is announced before it is made,
// because any of them may never return. Used by one thread.
#pragma once

// The names below are those of the versions that are asked for.
#define NVML_NO_UNVERSIONED_FUNC_DEFS

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/system/shared_library.h"
#include "nvml.h"

namespace ashlar::node_agent {

class Nvml {
 public:
  // Is told the name of each function before it is called, and "" when it has returned.
  using Announce = std::function<void(absl::string_view function)>;

  // Errors as of SharedLibrary::Open.
  static absl::StatusOr<Nvml> Load(const std::vector<std::string>& libraries, Announce announce);

  // NVML_ERROR_FUNCTION_NOT_FOUND: the library is older than the function.
  template <class Function, class... Arguments>
  nvmlReturn_t Call(const char* name, Arguments... arguments) const {
    auto* const function = reinterpret_cast<Function*>(library_.Symbol(name));
    if (function == nullptr) return NVML_ERROR_FUNCTION_NOT_FOUND;
    announce_(name);
    const nvmlReturn_t result = function(arguments...);
    announce_("");
    return result;
  }

  std::string Words(nvmlReturn_t result) const;

 private:
  Nvml(sys::SharedLibrary library, Announce announce)
      : library_(library), announce_(std::move(announce)) {}
  sys::SharedLibrary library_;
  Announce announce_;
};

// ASHLAR_NVML(nvml, nvmlDeviceGetCount_v2, &count)
#define ASHLAR_NVML(nvml, function, ...) \
  (nvml).Call<decltype(function)>(#function __VA_OPT__(, ) __VA_ARGS__)

}  // namespace ashlar::node_agent
