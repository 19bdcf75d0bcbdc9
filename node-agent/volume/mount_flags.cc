#include "node-agent/volume/mount_flags.h"

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace ashlar::node_agent {
namespace {

const std::map<absl::string_view, unsigned long>& KernelFlags() {
  static const auto* const flags = new std::map<absl::string_view, unsigned long>{
      {"rw", 0},
      {"defaults", 0},
      {"ro", MS_RDONLY},
      {"noatime", MS_NOATIME},
      {"nodiratime", MS_NODIRATIME},
      {"relatime", MS_RELATIME},
      {"strictatime", MS_STRICTATIME},
      {"lazytime", MS_LAZYTIME},
      {"nosuid", MS_NOSUID},
      {"nodev", MS_NODEV},
      {"noexec", MS_NOEXEC},
      {"sync", MS_SYNCHRONOUS},
      {"dirsync", MS_DIRSYNC},
  };
  return *flags;
}

// Options of the filesystem, and what it is; "" for both.
const std::map<absl::string_view, absl::string_view>& DataOptions() {
  static const auto* const options = new std::map<absl::string_view, absl::string_view>{
      {"nouuid", "xfs"},
      {"inode64", "xfs"},
      {"largeio", "xfs"},
      {"swalloc", "xfs"},
      {"data=ordered", "ext4"},
      {"data=journal", "ext4"},
      {"errors=remount-ro", "ext4"},
      {"errors=continue", "ext4"},
      {"delalloc", "ext4"},
      {"nodelalloc", "ext4"},
      {"dioread_nolock", "ext4"},
      {"discard", ""},
      {"nodiscard", ""},
  };
  return *options;
}

const std::map<absl::string_view, absl::string_view>& Refusals() {
  static const auto* const refusals = new std::map<absl::string_view, absl::string_view>{
      {"nobarrier", "it loses acknowledged writes in a power cut"},
      {"barrier=0", "it loses acknowledged writes in a power cut"},
      {"data=writeback", "it shows old bytes after a power cut"},
      {"errors=panic", "a volume must not stop the node"},
      {"norecovery", "it mounts an inconsistent filesystem"},
      {"noload", "it mounts an inconsistent filesystem"},
      {"bind", "mounts of other directories are not made"},
      {"remount", "the mount is made afresh"},
  };
  return *refusals;
}

}  // namespace

absl::StatusOr<sys::MountOptions> ParseMountFlags(const std::vector<std::string>& mount_flags,
                                                  const std::string& fs_type) {
  sys::MountOptions options;
  for (const std::string& entry : mount_flags) {
    for (const absl::string_view flag : absl::StrSplit(entry, ',')) {
      if (const auto it = KernelFlags().find(flag); it != KernelFlags().end()) {
        options.flags |= it->second;
        continue;
      }
      const auto it = DataOptions().find(flag);
      if (it != DataOptions().end() && (it->second.empty() || it->second == fs_type)) {
        absl::StrAppend(&options.data, options.data.empty() ? "" : ",", flag);
        continue;
      }
      const auto why = Refusals().find(flag);
      return absl::InvalidArgumentError(
          absl::StrCat("mount_flags has \"", flag, "\", which is not accepted for ", fs_type,
                       why == Refusals().end() ? "" : ": ",
                       why == Refusals().end() ? absl::string_view() : why->second));
    }
  }
  return options;
}

absl::Status CheckDirectoryFlags(const std::vector<std::string>& mount_flags) {
  for (const std::string& entry : mount_flags) {
    for (const absl::string_view flag : absl::StrSplit(entry, ',')) {
      const auto it = KernelFlags().find(flag);
      if (it != KernelFlags().end() && (it->second & ~kPerMountFlags) == 0) continue;
      return absl::InvalidArgumentError(absl::StrCat(
          "mount_flags has \"", flag,
          "\", which is not accepted for a directory: it would hold for its whole filesystem"));
    }
  }
  return absl::OkStatus();
}

std::vector<std::string> AcceptedDirectoryFlags() {
  std::vector<std::string> flags;
  for (const auto& [flag, bits] : KernelFlags())
    if ((bits & ~kPerMountFlags) == 0) flags.emplace_back(flag);
  return flags;
}

std::vector<std::string> AcceptedMountFlags(const std::string& fs_type) {
  std::vector<std::string> flags;
  for (const auto& [flag, bits] : KernelFlags()) flags.emplace_back(flag);
  for (const auto& [flag, owner] : DataOptions())
    if (owner.empty() || owner == fs_type) flags.emplace_back(flag);
  std::sort(flags.begin(), flags.end());
  return flags;
}

std::vector<std::pair<std::string, std::string>> RefusedMountFlags() {
  std::vector<std::pair<std::string, std::string>> refused;
  for (const auto& [flag, why] : Refusals()) refused.emplace_back(flag, why);
  return refused;
}

}  // namespace ashlar::node_agent
