// SharedLibrary: a library that is found at run time (dlopen(3)) because it need not be there.
// Thread-safe. It stays loaded as long as the process: others may have pointers into it.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace ashlar::sys {

class SharedLibrary {
 public:
  // The first of the names that there is; a name with a slash is a path. NotFound: there is none of
  // them; the message has the loader's words. FailedPrecondition: one is there and cannot be used.
  static absl::StatusOr<SharedLibrary> Open(const std::vector<std::string>& names);
  // nullptr: it has no such symbol.
  void* Symbol(const char* name) const;

 private:
  explicit SharedLibrary(void* handle) : handle_(handle) {}
  void* handle_;
};

}  // namespace ashlar::sys
