#include "node-agent/volume/attachments.h"

#include <sys/sysmacros.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"
#include "lib/system/files.h"
#include "lib/system/mount_device.h"
#include "node-agent/inventory/drive_scanner.h"

namespace ashlar::node_agent {
namespace {

bool IsLoop(const std::string& device) { return absl::StartsWith(device, "/dev/loop"); }

Attachment Of(const sys::LoopDevice& loop) {
  return {loop.path, loop.major, loop.minor, 0, nullptr};
}

absl::StatusOr<sys::FileIdentity> BackingOf(const StoredVolume& stored) {
  ASHLAR_ASSIGN_OR_RETURN(const sys::FileStat stat, sys::StatFile(stored.path));
  return stat.identity;
}

// What is attached as it is.
absl::StatusOr<Attachment> AsItIs(const StoredVolume& stored) {
  ASHLAR_ASSIGN_OR_RETURN(const std::string node, sys::RealPath(stored.path));
  ASHLAR_ASSIGN_OR_RETURN(const sys::FileStat stat, sys::StatFile(node));
  if (stored.form == VolumeForm::kDirectory) {
    const uint64_t device = stat.identity.device;
    return Attachment{node, major(device), minor(device), stat.identity.inode, nullptr};
  }
  if (!stat.is_block_device)
    return absl::NotFoundError(absl::StrCat(stored.path, " is no block device"));
  return Attachment{node, major(stat.special_device), minor(stat.special_device), 0, nullptr};
}

}  // namespace

bool Attachment::ShownBy(const sys::MountEntry& mount) const {
  // The list tells no inode, and of a subvolume another device: the directory's own folder and name
  // are unique among the volumes of a node.
  if (inode != 0) {
    const size_t name = device.rfind('/', device.rfind('/') - 1);
    return absl::EndsWith(mount.root, device.substr(name));
  }
  if (mount.major == major && mount.minor == minor) return true;
  const std::string node = device.substr(device.rfind('/'));  // "/loop3" in devtmpfs
  return mount.root == node && (mount.fs_type == "devtmpfs" || mount.fs_type == "tmpfs");
}

bool Attachment::ShownBy(const sys::MountPoint& mount) const {
  if (inode != 0) return mount.major == major && mount.minor == minor && mount.inode == inode;
  return (mount.major == major && mount.minor == minor) ||
         (mount.node_major == major && mount.node_minor == minor);
}

absl::StatusOr<Attachment> Attachments::Attach(const CallContext& context,
                                               const StoredVolume& stored) {
  if (stored.form != VolumeForm::kImage) return AsItIs(stored);
  sys::LoopOptions options;
  options.label = absl::StrCat(kLoopLabelPrefix, stored.facts.id).substr(0, 63);
  options.auto_clear = stored.facts.mode == VolumeMode::kFilesystem;
  options.discard = stored.discard;
  ASHLAR_ASSIGN_OR_RETURN(const sys::HeldLoopDevice held,
                          loops_.Attach(context, stored.path, options));
  return Attachment{held.device.path, held.device.major, held.device.minor, 0, held.hold};
}

absl::StatusOr<Attachment> Attachments::Inspect(const StoredVolume& stored,
                                                const std::string& device) {
  const auto other = [&] {
    return absl::NotFoundError(absl::StrCat(device, " is not of volume ", stored.facts.id));
  };
  if (stored.form != VolumeForm::kImage) {
    ASHLAR_ASSIGN_OR_RETURN(Attachment found, AsItIs(stored));
    if (found.device != device) return other();
    return found;
  }
  ASHLAR_ASSIGN_OR_RETURN(const sys::FileIdentity backing, BackingOf(stored));
  ASHLAR_ASSIGN_OR_RETURN(const sys::LoopDevice loop, loops_.Inspect(device));
  if (loop.backing != backing) return other();
  return Of(loop);
}

absl::StatusOr<std::optional<Attachment>> Attachments::Find(
    const StoredVolume& stored, const std::vector<sys::LoopDevice>& loops) {
  if (stored.form != VolumeForm::kImage) {
    ASHLAR_ASSIGN_OR_RETURN(Attachment found, AsItIs(stored));
    return std::optional(std::move(found));
  }
  ASHLAR_ASSIGN_OR_RETURN(const sys::FileIdentity backing, BackingOf(stored));
  const std::optional<sys::LoopDevice> loop = sys::FindByBacking(loops, backing);
  return loop ? std::optional(Of(*loop)) : std::nullopt;
}

absl::Status Attachments::UpdateCapacity(const StoredVolume& stored, const std::string& device) {
  return stored.form == VolumeForm::kImage ? loops_.UpdateCapacity(device) : absl::OkStatus();
}

absl::Status Attachments::Detach(const StoredVolume& stored, const std::string& device) {
  if (stored.form != VolumeForm::kImage) return absl::OkStatus();
  if (IsLost(device)) return loops_.Abandon(device);
  const absl::StatusOr<sys::FileIdentity> backing = BackingOf(stored);
  if (absl::IsNotFound(backing.status())) return absl::OkStatus();
  // A filesystem that has stopped tells nothing of the image; the device may be gone already.
  if (!backing.ok() && !device.empty() && IsGone(device)) return absl::OkStatus();
  ASHLAR_RETURN_IF_ERROR(backing.status());
  if (!device.empty()) return loops_.Detach(device, *backing);
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<sys::LoopDevice> loops, loops_.List());
  for (const sys::LoopDevice& loop : loops) {
    if (loop.backing != *backing) continue;
    if (!absl::StartsWith(loop.label, kLoopLabelPrefix))
      return absl::FailedPreconditionError(absl::StrCat(stored.path, " is attached to ", loop.path,
                                                        ", which this agent did not make"));
    ASHLAR_RETURN_IF_ERROR(loops_.Detach(loop.path, *backing));
  }
  return absl::OkStatus();
}

bool Attachments::IsLost(const std::string& device) {
  if (!IsLoop(device)) return false;
  const absl::StatusOr<sys::LoopDevice> loop = loops_.Inspect(device);
  // XFS that has stopped answers every question with an error.
  if (!loop.ok()) return absl::IsInternal(loop.status());
  return major(loop->backing.device) != 0 && !sys::HasBlockDevice(loop->backing.device);
}

bool Attachments::IsGone(const std::string& device) {
  if (!IsLoop(device)) return !sys::Exists(device);
  return IsLost(device) || absl::IsNotFound(loops_.Inspect(device).status());
}

bool Attachments::IsLeft(const sys::MountEntry& mount) {
  if (absl::EndsWith(mount.root, "//deleted")) return true;
  if (!absl::StartsWith(mount.source, "/dev/")) return false;
  return IsLoop(mount.source) ? IsLost(mount.source) : !sys::HasDevice(mount);
}

absl::Status Attachments::Abandon(const std::string& device) {
  return IsLost(device) ? loops_.Abandon(device) : absl::OkStatus();
}

}  // namespace ashlar::node_agent
