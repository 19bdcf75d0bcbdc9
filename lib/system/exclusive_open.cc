#include "lib/system/exclusive_open.h"

#include <fcntl.h>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "lib/system/files.h"

namespace ashlar::sys {
namespace {

constexpr absl::Duration kPause = absl::Milliseconds(20);
constexpr int kPauses = 50;  // a second

}  // namespace

absl::StatusOr<UniqueFd> OpenExclusively(const std::string& device, int flags) {
  for (int pauses = 0;; ++pauses) {
    absl::StatusOr<UniqueFd> fd = OpenFile(device, flags | O_EXCL);
    if (fd.ok() || !absl::IsFailedPrecondition(fd.status()) || pauses == kPauses) return fd;
    absl::SleepFor(kPause);
  }
}

}  // namespace ashlar::sys
