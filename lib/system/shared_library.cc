#include "lib/system/shared_library.h"

#include <dlfcn.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace ashlar::sys {

absl::StatusOr<SharedLibrary> SharedLibrary::Open(const std::vector<std::string>& names) {
  std::string missing;
  for (const std::string& name : names) {
    if (void* handle = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL)) return SharedLibrary(handle);
    const char* words = dlerror();
    const std::string error = words == nullptr ? name : words;
    // The loader has no codes. What it says when there is no such file begins with its name; a
    // library that lacks another one names that one.
    if (!absl::StartsWith(error, absl::StrCat(name, ": cannot open shared object file")))
      return absl::FailedPreconditionError(error);
    absl::StrAppend(&missing, missing.empty() ? "" : "; ", error);
  }
  return absl::NotFoundError(missing);
}

void* SharedLibrary::Symbol(const char* name) const { return dlsym(handle_, name); }

}  // namespace ashlar::sys
