#include "node-agent/gpu/nvml_library.h"

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"

namespace ashlar::node_agent {

absl::StatusOr<Nvml> Nvml::Load(const std::vector<std::string>& libraries, Announce announce) {
  announce("dlopen");
  ASHLAR_ASSIGN_OR_RETURN(const sys::SharedLibrary library, sys::SharedLibrary::Open(libraries));
  announce("");
  return Nvml(library, std::move(announce));
}

std::string Nvml::Words(nvmlReturn_t result) const {
  using ErrorString = const char*(nvmlReturn_t);
  auto* const words = reinterpret_cast<ErrorString*>(library_.Symbol("nvmlErrorString"));
  const char* text = words == nullptr ? nullptr : words(result);
  return absl::StrCat(text == nullptr ? "unknown error" : text, " (", static_cast<int>(result),
                      ")");
}

}  // namespace ashlar::node_agent
