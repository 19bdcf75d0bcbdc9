// Healing: what is staged and published is compared with what the medium has now. A drive that is
// unplugged and plugged again is another device to the kernel: mounts and loop devices of the old
// one answer with errors for ever.
#include <sys/mount.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/system/block_writability.h"
#include "lib/system/files.h"
#include "lib/system/mount_device.h"
#include "node-agent/volume/mount_flags.h"
#include "node-agent/volume/volume_manager.h"

namespace ashlar::node_agent {
namespace {

constexpr char kStaleMount[] = "StaleMount";
constexpr char kDriveMissing[] = "DriveMissing";

// What the filesystem itself tells.
VolumeTrouble TroubleOfFilesystem(const VolumeRecord& record, const sys::MountEntry& mount) {
  const std::string super = absl::StrCat(",", mount.super_options, ",");
  // XFS that has stopped answers every question with an error; ext4 says it since Linux 6.15.
  const absl::Status asked = sys::StatFile(mount.mount_point).status();
  if (absl::IsInternal(asked) || absl::StrContains(super, ",shutdown,"))
    return {"FilesystemStopped",
            absl::StrCat("the filesystem at ", mount.mount_point,
                         " has stopped after an error of its device: delete the pods that use it, "
                         "and it is checked and mounted anew for the next ones")};
  const bool read_only = absl::StrContains(super, ",emergency_ro,") ||
                         (absl::StrContains(super, ",ro,") && !absl::StrContains(super, ",rw,"));
  if (read_only && !record.is_reader())
    return {"FilesystemReadOnly",
            absl::StrCat("the filesystem at ", mount.mount_point,
                         " has become read-only after an error: delete the pods that use it, and "
                         "it is checked and mounted anew for the next ones")};
  return {};
}

}  // namespace

bool VolumeManager::IsStale(const VolumeEntry& entry, const std::vector<sys::MountEntry>& mounts) {
  const VolumeRecord& record = entry.record;
  if (!record.attached() || !entry.stored) return false;
  const bool block = record.facts.mode == VolumeMode::kBlock;
  const sys::MountEntry* staged = block ? nullptr : sys::FindMount(mounts, record.staging_path);
  if (staged != nullptr) return attachments_.IsLeft(*staged);
  // What somebody has unmounted stays so; what we have unmounted and could not mount does not.
  return (block || entry.trouble.reason == kStaleMount) && attachments_.IsGone(record.device);
}

VolumeTrouble VolumeManager::TroubleOf(const VolumeEntry& entry,
                                       const std::vector<sys::MountEntry>& mounts) {
  const VolumeRecord& record = entry.record;
  if (!record.attached() || !entry.stored) return {};
  // It lasts until a look finds the drive back, and what is staged alive or staged anew.
  if (!sys::Exists(entry.stored->path))
    return entry.trouble.reason == kStaleMount
               ? entry.trouble
               : VolumeTrouble{kDriveMissing, absl::StrCat(entry.stored->path, " was gone")};
  if (IsStale(entry, mounts))
    return {kStaleMount, absl::StrCat("what is staged at ", record.staging_path,
                                      " is of a drive that went and is back; it is staged anew")};
  if (VolumeTrouble published = TroubleOfPublished(entry, mounts); !published.reason.empty())
    return published;
  const sys::MountEntry* staged = record.facts.mode == VolumeMode::kBlock
                                      ? nullptr
                                      : sys::FindMount(mounts, record.staging_path);
  return staged == nullptr ? VolumeTrouble{} : TroubleOfFilesystem(record, *staged);
}

VolumeTrouble VolumeManager::TroubleOfPublished(const VolumeEntry& entry,
                                                const std::vector<sys::MountEntry>& mounts) {
  const VolumeRecord& record = entry.record;
  const absl::StatusOr<Attachment> attached = attachments_.Inspect(*entry.stored, record.device);
  for (const auto& [target, publication] : record.publications) {
    const sys::MountEntry* mount = sys::FindMount(mounts, target);
    if (mount == nullptr || !attached.ok()) continue;
    if (record.facts.mode == VolumeMode::kBlock) {
      const absl::StatusOr<sys::MountPoint> node = env_.mounts.Find(target);
      if (!node.ok() || attached->ShownBy(*node)) continue;
      return {kStaleMount, absl::StrCat(target,
                                        " is the device of a drive that went and is back; "
                                        "it is published anew")};
    }
    if (attachments_.IsLeft(*mount))
      return {kStaleMount,
              absl::StrCat("pods see the filesystem of a drive that went and is back, at ", target,
                           ": delete them, and those that replace them get it as it is now")};
  }
  return {};
}

absl::Status VolumeManager::UnmountStale(const std::string& target) {
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<sys::MountEntry> mounts, env_.mounts.List());
  const sys::MountEntry* mount = sys::FindMount(mounts, target);
  if (mount == nullptr || !attachments_.IsLeft(*mount)) return absl::OkStatus();
  LogWarning("unmounting what is left of a drive that went",
             {{"path", target}, {"source", mount->source}});
  const absl::Status unmounted = env_.mounts.Unmount(target);
  return absl::IsFailedPrecondition(unmounted) ? sys::DetachMount(target) : unmounted;
}

absl::Status VolumeManager::UnmountStaged(const VolumeEntry& entry) {
  const VolumeRecord& record = entry.record;
  const absl::StatusOr<sys::MountPoint> mount = env_.mounts.Find(record.staging_path);
  if (absl::IsNotFound(mount.status())) return absl::OkStatus();
  ASHLAR_RETURN_IF_ERROR(mount.status());
  if (entry.stored) {
    const absl::StatusOr<Attachment> attached = attachments_.Inspect(*entry.stored, record.device);
    if (attached.ok() && attached->ShownBy(*mount)) return env_.mounts.Unmount(record.staging_path);
  }
  return UnmountStale(record.staging_path);
}

absl::Status VolumeManager::PublishDevicesAnew(const VolumeEntry& entry) {
  const VolumeRecord& record = entry.record;
  ASHLAR_ASSIGN_OR_RETURN(const Attachment attached,
                          attachments_.Inspect(*entry.stored, record.device));
  for (const auto& [target, publication] : record.publications) {
    const absl::StatusOr<sys::MountPoint> node = env_.mounts.Find(target);
    if (node.ok() && attached.ShownBy(*node)) continue;
    if (publication.read_only) ASHLAR_RETURN_IF_ERROR(sys::SetReadOnly(record.device, true));
    absl::Status gone = env_.mounts.Unmount(target);
    if (absl::IsFailedPrecondition(gone)) gone = sys::DetachMount(target);
    ASHLAR_RETURN_IF_ERROR(gone);
    ASHLAR_RETURN_IF_ERROR(
        env_.mounts.Bind(record.device, target, publication.read_only ? MS_RDONLY : 0));
    LogInfo("device published anew", {{"volume", record.facts.id}, {"path", target}});
  }
  return absl::OkStatus();
}

absl::StatusOr<sys::MountPoint> VolumeManager::FindTarget(const VolumeEntry& entry,
                                                          const std::string& target, bool& live) {
  const VolumeRecord& record = entry.record;
  live = false;
  absl::StatusOr<sys::MountPoint> mount = env_.mounts.Find(target);
  if (!mount.ok() || record.publications.count(target) == 0) return mount;
  ASHLAR_ASSIGN_OR_RETURN(const Attachment attached,
                          attachments_.Inspect(*entry.stored, record.device));
  live = attached.ShownBy(*mount);
  if (live) return mount;
  ASHLAR_RETURN_IF_ERROR(UnmountStale(target));
  return env_.mounts.Find(target);
}

absl::Status VolumeManager::StageAnew(const CallContext& context, VolumeEntry& entry) {
  VolumeRecord& record = entry.record;
  const VolumeFacts& facts = record.facts;
  const std::string dead = record.device;
  ASHLAR_ASSIGN_OR_RETURN(sys::MountOptions options,
                          ParseMountFlags(record.mount_flags, facts.fs_type));
  // Pods may keep the old filesystem alive, and XFS mounts no second one of its UUID.
  if (facts.fs_type == "xfs" && entry.stored->form != VolumeForm::kDirectory &&
      !absl::StrContains(options.data, "nouuid"))
    absl::StrAppend(&options.data, options.data.empty() ? "" : ",", "nouuid");
  if (facts.mode == VolumeMode::kFilesystem)
    ASHLAR_RETURN_IF_ERROR(UnmountStale(record.staging_path));
  ASHLAR_RETURN_IF_ERROR(MountStaged(context, entry, options));
  LogInfo("volume staged anew after its drive was away",
          {{"volume", facts.id}, {"device", record.device}});
  return attachments_.Abandon(dead);
}

absl::Status VolumeManager::Heal(const CallContext& context, VolumeEntry& entry) {
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<sys::MountEntry> mounts, env_.mounts.List());
  if (IsStale(entry, mounts)) ASHLAR_RETURN_IF_ERROR(StageAnew(context, entry));
  return entry.record.facts.mode == VolumeMode::kBlock ? PublishDevicesAnew(entry)
                                                       : absl::OkStatus();
}

void VolumeManager::HealStaged(const CallContext& context) {
  absl::StatusOr<std::vector<sys::MountEntry>> mounts = env_.mounts.List();
  for (const VolumeEntry& entry : table_.All()) {
    const std::string& id = entry.record.facts.id;
    if (!mounts.ok()) return LogError("mounts", {{"error", mounts.status().ToString()}});
    if (entry.record.phase != VolumePhase::kStaged) continue;
    if (TroubleOf(entry, *mounts).reason.empty() && entry.trouble.reason.empty()) continue;
    const absl::StatusOr<VolumeTable::Claim> claim = table_.Acquire(id);
    std::optional<VolumeEntry> now = claim.ok() ? table_.Get(id) : std::nullopt;
    if (!now || !now->stored || now->record.phase != VolumePhase::kStaged) continue;
    mounts = env_.mounts.List();  // whoever had the volume may have changed them
    if (!mounts.ok()) continue;
    VolumeTrouble trouble = TroubleOf(*now, *mounts);
    if (trouble.reason == kStaleMount) {
      VolumeEntry healed = *now;
      const absl::Status status = Heal(context, healed);
      mounts = env_.mounts.List();
      if (status.ok()) now = std::move(healed);
      if (status.ok() && mounts.ok()) trouble = TroubleOf(*now, *mounts);
      if (!status.ok()) absl::StrAppend(&trouble.message, "; that failed: ", status.message());
    }
    if (trouble != now->trouble && !trouble.reason.empty())
      LogWarning("volume is in trouble",
                 {{"volume", id}, {"reason", trouble.reason}, {"message", trouble.message}});
    now->trouble = std::move(trouble);
    table_.Insert(*std::move(now));
  }
}

}  // namespace ashlar::node_agent
