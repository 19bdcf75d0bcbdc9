#include "lib/system/deleted_subvolumes.h"

#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <limits>

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"
#include "lib/system/btrfs.h"
#include "lib/system/errno_status.h"
#include "lib/system/files.h"

namespace ashlar::sys {
namespace {

constexpr absl::Duration kPause = absl::Milliseconds(200);

// The tree of roots has an orphan item for each subvolume that is being cleaned up.
absl::StatusOr<bool> AnyLeft(int fd, const std::string& directory) {
  btrfs_ioctl_search_args args{};
  args.key.tree_id = BTRFS_ROOT_TREE_OBJECTID;
  args.key.min_objectid = args.key.max_objectid = BTRFS_ORPHAN_OBJECTID;
  args.key.min_type = args.key.max_type = BTRFS_ORPHAN_ITEM_KEY;
  args.key.max_offset = args.key.max_transid = std::numeric_limits<uint64_t>::max();
  args.key.nr_items = 1;
  if (ioctl(fd, BTRFS_IOC_TREE_SEARCH, &args) != 0)
    return ErrnoStatus(errno, absl::StrCat("deleted subvolumes of ", directory));
  return args.key.nr_items > 0;
}

}  // namespace

absl::Status AwaitDeletedSubvolumes(Clock& clock, const CallContext& context,
                                    const std::string& directory) {
  ASHLAR_ASSIGN_OR_RETURN(const bool is_btrfs, IsBtrfs(directory));
  if (!is_btrfs) return absl::OkStatus();
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(directory, O_RDONLY | O_DIRECTORY));
  for (;;) {
    // A commit wakes who cleans up, and makes free what was cleaned up before it.
    ASHLAR_ASSIGN_OR_RETURN(const bool left, AnyLeft(fd.get(), directory));
    ASHLAR_RETURN_IF_ERROR(CommitBtrfs(directory));
    if (!left) return absl::OkStatus();
    ASHLAR_RETURN_IF_ERROR(SleepFor(clock, context, kPause));
  }
}

}  // namespace ashlar::sys
