#include "lib/system/exclusive_open.h"

#include <fcntl.h>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "lib/system/files.h"

namespace ashlar::sys {

absl::StatusOr<UniqueFd> OpenExclusively(const std::string& device, int flags) {
  const absl::Time end = absl::Now() + absl::Seconds(1);
  for (;;) {
    absl::StatusOr<UniqueFd> fd = OpenFile(device, flags | O_EXCL);
    if (fd.ok() || !absl::IsFailedPrecondition(fd.status()) || absl::Now() >= end) return fd;
    absl::SleepFor(absl::Milliseconds(20));
  }
}

}  // namespace ashlar::sys
