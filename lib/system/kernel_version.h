// Which kernel this is, for what it does not tell otherwise. Thread-safe.
#pragma once

#include <compare>

#include "absl/strings/string_view.h"

namespace ashlar::sys {

struct KernelVersion {
  int major = 0;  // 0: not known, and older than any
  int minor = 0;
  auto operator<=>(const KernelVersion&) const = default;
};
// {6, 2} of "6.2.0-5-generic"; not known if `release` begins with no two numbers.
KernelVersion ParseKernelVersion(absl::string_view release);
// By the release of uname(2).
KernelVersion RunningKernel();

}  // namespace ashlar::sys
