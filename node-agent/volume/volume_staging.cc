// Staging: volumes are attached, mounted and shown to pods.
#include <sys/mount.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/system/block_writability.h"
#include "lib/system/files.h"
#include "lib/system/group_ownership.h"
#include "node-agent/volume/filesystem_check.h"
#include "node-agent/volume/mount_flags.h"
#include "node-agent/volume/superblock.h"
#include "node-agent/volume/volume_manager.h"

namespace ashlar::node_agent {
namespace {

// Flags that the kernel keeps for each mount; the others belong to the filesystem.
absl::Status CheckMode(const VolumeEntry& entry, VolumeMode wanted) {
  if (entry.record.facts.mode == wanted) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("mode is ", ModeName(wanted), ": volume ",
                                                 entry.record.facts.id, " is of mode ",
                                                 ModeName(entry.record.facts.mode)));
}

// A block device refuses writes for all target paths or for none: a read-only bind mount of its
// node would stop nobody. FailedPrecondition if they do not agree.
absl::Status CheckWriters(const VolumeRecord& record, const std::string& target, bool read_only) {
  if (record.facts.mode != VolumeMode::kBlock) return absl::OkStatus();
  if (record.is_reader() && !read_only)
    return absl::FailedPreconditionError(
        absl::StrCat("volume ", record.facts.id, " is staged read-only"));
  for (const auto& [other, publication] : record.publications)
    if (other != target && publication.read_only != read_only)
      return absl::FailedPreconditionError(absl::StrCat(
          "block volume ", record.facts.id, " is published ",
          publication.read_only ? "read-only" : "for writing", " at ", other, " and can't be ",
          read_only ? "read-only" : "for writing", " elsewhere at the same time"));
  return absl::OkStatus();
}

// Gives a device that refused writes back to whoever comes next.
void TakeWritesAgain(const VolumeRecord& record) {
  if (!record.attached() || record.facts.mode != VolumeMode::kBlock) return;
  const absl::Status status = sys::SetReadOnly(record.device, false);
  if (!status.ok() && !absl::IsNotFound(status))
    LogWarning("device stays read-only", {{"device", record.device}, {"error", status.ToString()}});
}

}  // namespace

absl::StatusOr<bool> VolumeManager::IsStaged(const VolumeEntry& entry) {
  if (!entry.record.attached() || !entry.stored) return false;
  const absl::StatusOr<Attachment> attached =
      attachments_.Inspect(*entry.stored, entry.record.device);
  if (!attached.ok()) return false;
  if (entry.record.facts.mode == VolumeMode::kBlock) return true;
  const absl::StatusOr<sys::MountPoint> mount = env_.mounts.Find(entry.record.staging_path);
  if (absl::IsNotFound(mount.status())) return false;
  ASHLAR_RETURN_IF_ERROR(mount.status());
  return attached->ShownBy(*mount);
}

absl::Status VolumeManager::Stage(const CallContext& context, const StageArgs& args) {
  ASHLAR_RETURN_IF_ERROR(ValidateName("volume_id", args.id));
  ASHLAR_ASSIGN_OR_RETURN(const std::string path,
                          paths_.Resolve("staging_path", args.staging_path));
  ASHLAR_ASSIGN_OR_RETURN(const VolumeTable::Claim claim, table_.Acquire(args.id));
  ASHLAR_ASSIGN_OR_RETURN(VolumeEntry entry, Existing(args.id));
  ASHLAR_RETURN_IF_ERROR(CheckMode(entry, args.mode));
  const VolumeFacts& facts = entry.record.facts;
  if (facts.kind == VolumeKind::kSnapshot)
    return absl::FailedPreconditionError(
        absl::StrCat(args.id, " is a snapshot: make a volume of it"));
  if (!args.fs_type.empty() && args.fs_type != facts.fs_type)
    return absl::InvalidArgumentError(absl::StrCat("fs_type is \"", args.fs_type, "\": volume ",
                                                   args.id, " has \"", facts.fs_type, "\""));
  std::vector<std::string> mount_flags = args.mount_flags;
  if (args.read_only) mount_flags.push_back("ro");
  ASHLAR_ASSIGN_OR_RETURN(const sys::MountOptions options,
                          ParseMountFlags(mount_flags, facts.fs_type));
  ASHLAR_ASSIGN_OR_RETURN(const bool staged, IsStaged(entry));
  if (staged && entry.record.staging_path != path)
    return absl::FailedPreconditionError(
        absl::StrCat("volume ", args.id, " is staged at ", entry.record.staging_path));
  if (staged && entry.record.mount_flags != mount_flags)
    return absl::AlreadyExistsError(
        absl::StrCat("volume ", args.id, " is staged at ", path, " with other mount_flags"));
  if (staged && entry.record.phase == VolumePhase::kStaged) return absl::OkStatus();
  if (staged) {
    // An unstaging that was refused is not to be finished any more.
    entry.record.phase = VolumePhase::kStaged;
    return table_.Put(entry);
  }
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<sys::MountEntry> mounts, env_.mounts.List());
  if (IsStale(entry, mounts)) {
    ASHLAR_RETURN_IF_ERROR(UnmountStale(entry.record.staging_path));
    entry.record.staging_path = path;
    entry.record.mount_flags = mount_flags;
    return StageAnew(context, entry);
  }
  entry.record.phase = VolumePhase::kStaging;
  entry.record.staging_path = path;
  entry.record.mount_flags = mount_flags;
  ASHLAR_RETURN_IF_ERROR(table_.Put(entry));
  if (const absl::Status mounted = MountStaged(context, entry, options); !mounted.ok()) {
    if (absl::IsDataLoss(mounted)) entry.record.broken = std::string(mounted.message());
    if (const absl::Status undone = TearDown(entry); !undone.ok())
      LogError("undo of staging failed", {{"volume", args.id}, {"error", undone.ToString()}});
    return mounted;
  }
  LogInfo("volume staged", {{"volume", args.id},
                            {"device", entry.record.device},
                            {"path", path},
                            {"request", context.request_id}});
  return absl::OkStatus();
}

absl::Status VolumeManager::MountFilesystem(const CallContext& context, VolumeEntry& entry,
                                            const sys::MountOptions& options) {
  const std::string& fs_type = entry.record.facts.fs_type;
  bool must_grow = false;
  ASHLAR_RETURN_IF_ERROR(CheckFilesystem(context, entry, must_grow));
  if (!entry.record.facts.source.empty())
    ASHLAR_RETURN_IF_ERROR(RenewFilesystemUuid(context, entry));
  const absl::Status mounted = env_.mounts.MountDevice(context, entry.record.device,
                                                       entry.record.staging_path, fs_type, options);
  if (!mounted.ok() && fs_type == "xfs")
    return FilesystemCheck(env_.commands, entry.stored->path, entry.record.device)
        .ExplainXfs(context, mounted);
  ASHLAR_RETURN_IF_ERROR(mounted);
  if (must_grow && fs_type == "xfs" && !entry.record.is_reader())
    ASHLAR_RETURN_IF_ERROR(GrowFilesystem(context, entry));
  return absl::OkStatus();
}

absl::Status VolumeManager::MountStaged(const CallContext& context, VolumeEntry& entry,
                                        const sys::MountOptions& options) {
  const VolumeFacts& facts = entry.record.facts;
  ASHLAR_ASSIGN_OR_RETURN(const std::shared_ptr<StorageBackend> backend,
                          env_.pools.Backend(facts.pool));
  ASHLAR_ASSIGN_OR_RETURN(entry.stored, backend->Prepare(context, facts.id));
  ASHLAR_RETURN_IF_ERROR(attachments_.Detach(*entry.stored, ""));
  ASHLAR_ASSIGN_OR_RETURN(const Attachment attached, attachments_.Attach(context, *entry.stored));
  entry.record.device = attached.device;
  entry.record.corrected.clear();
  if (entry.stored->form == VolumeForm::kDirectory) {
    ASHLAR_RETURN_IF_ERROR(CheckDirectoryFlags(entry.record.mount_flags));
    ASHLAR_RETURN_IF_ERROR(
        env_.mounts.Bind(attached.device, entry.record.staging_path, options.flags));
  } else if (facts.mode == VolumeMode::kFilesystem) {
    ASHLAR_RETURN_IF_ERROR(MountFilesystem(context, entry, options));
  }
  if (facts.mode == VolumeMode::kBlock && entry.record.is_reader())
    ASHLAR_RETURN_IF_ERROR(sys::SetReadOnly(entry.record.device, true));
  entry.record.phase = VolumePhase::kStaged;
  entry.record.broken.clear();
  entry.trouble = {};
  return table_.Put(entry);
}

absl::Status VolumeManager::CheckFilesystem(const CallContext& context, VolumeEntry& entry,
                                            bool& must_grow) {
  ASHLAR_ASSIGN_OR_RETURN(const std::string head,
                          sys::ReadHead(entry.stored->path, kSuperblockBytes));
  ASHLAR_ASSIGN_OR_RETURN(const SuperblockState state,
                          ParseSuperblock(entry.record.facts.fs_type, head));
  must_grow = entry.stored->size_bytes - state.size_bytes >= kMiB;
  const bool grow_ext4 = must_grow && entry.record.facts.fs_type == "ext4";
  if (!state.needs_check && !grow_ext4) return absl::OkStatus();
  FilesystemCheck check(env_.commands, entry.stored->path, entry.record.device);
  // resize2fs insists on a whole check.
  ASHLAR_ASSIGN_OR_RETURN(entry.record.corrected, check.CorrectExt4(context, grow_ext4));
  LogInfo("filesystem checked", {{"volume", entry.record.facts.id},
                                 {"corrected", entry.record.corrected},
                                 {"request", context.request_id}});
  return grow_ext4 ? sys::RunChecked(env_.commands, context, {"resize2fs", entry.record.device})
                   : absl::OkStatus();
}

absl::Status VolumeManager::TearDown(VolumeEntry& entry) {
  VolumeRecord& record = entry.record;
  if (!record.staging_path.empty()) ASHLAR_RETURN_IF_ERROR(UnmountStaged(entry));
  TakeWritesAgain(record);
  ASHLAR_RETURN_IF_ERROR(entry.stored ? attachments_.Detach(*entry.stored, record.device)
                                      : attachments_.Abandon(record.device));
  // Other staging paths belong to whoever named them.
  if (record.facts.kind == VolumeKind::kInline && !record.staging_path.empty())
    ASHLAR_RETURN_IF_ERROR(env_.mounts.RemoveTarget(record.staging_path));
  record.phase = VolumePhase::kCarved;
  record.device.clear();
  record.staging_path.clear();
  record.mount_flags.clear();
  record.publications.clear();
  record.target_path.clear();
  record.single_writer = record.gpu_direct = false;
  return table_.Put(entry);
}

absl::Status VolumeManager::Unstage(const CallContext& context, const std::string& id,
                                    const std::string& staging_path) {
  ASHLAR_RETURN_IF_ERROR(ValidateName("volume_id", id));
  ASHLAR_ASSIGN_OR_RETURN(const std::string path, paths_.Resolve("staging_path", staging_path));
  ASHLAR_ASSIGN_OR_RETURN(const VolumeTable::Claim claim, table_.Acquire(id));
  std::optional<VolumeEntry> entry = table_.Get(id);
  if (!entry || entry->record.staging_path != path) return absl::OkStatus();
  if (!entry->record.publications.empty())
    return absl::FailedPreconditionError(absl::StrCat("volume ", id, " is published at ",
                                                      entry->record.publications.begin()->first));
  entry->record.phase = VolumePhase::kUnstaging;
  ASHLAR_RETURN_IF_ERROR(table_.Put(*entry));
  ASHLAR_RETURN_IF_ERROR(TearDown(*entry));
  LogInfo("volume unstaged", {{"volume", id}, {"request", context.request_id}});
  return absl::OkStatus();
}

// `done`: the volume is published there already.
absl::Status VolumeManager::CheckTarget(const PublishArgs& args, const VolumeEntry& entry,
                                        const std::string& target, bool& done) {
  const auto& publications = entry.record.publications;
  bool live = false;
  const absl::StatusOr<sys::MountPoint> mount = FindTarget(entry, target, live);
  if (!mount.ok() && !absl::IsNotFound(mount.status())) return mount.status();
  if (const auto it = publications.find(target); it != publications.end() && live) {
    if (it->second.read_only != args.read_only)
      return absl::AlreadyExistsError(
          absl::StrCat("volume ", args.id, " is published at ", target,
                       it->second.read_only ? " read-only" : " for writing"));
    done = true;
    return absl::OkStatus();
  }
  if (mount.ok())
    return absl::FailedPreconditionError(absl::StrCat(
        "target_path ", target, " is the mount point of device ", mount->major, ":", mount->minor));
  const size_t others = publications.size() - publications.count(target);
  if (others > 0 && (args.single_writer || entry.record.single_writer))
    return absl::FailedPreconditionError(
        absl::StrCat("volume ", args.id, " has a single writer, at ", publications.begin()->first));
  return absl::OkStatus();
}

absl::Status VolumeManager::Publish(const CallContext& context, const PublishArgs& args) {
  ASHLAR_RETURN_IF_ERROR(ValidateName("volume_id", args.id));
  ASHLAR_ASSIGN_OR_RETURN(const std::string staging,
                          paths_.Resolve("staging_path", args.staging_path));
  ASHLAR_ASSIGN_OR_RETURN(const std::string target,
                          paths_.Resolve("target_path", args.target_path));
  ASHLAR_ASSIGN_OR_RETURN(const VolumeTable::Claim claim, table_.Acquire(args.id));
  ASHLAR_ASSIGN_OR_RETURN(VolumeEntry entry, Existing(args.id));
  ASHLAR_RETURN_IF_ERROR(CheckMode(entry, args.mode));
  const std::string& fs_type = entry.record.facts.fs_type;
  ASHLAR_ASSIGN_OR_RETURN(const sys::MountOptions own, ParseMountFlags(args.mount_flags, fs_type));
  ASHLAR_ASSIGN_OR_RETURN(bool staged, IsStaged(entry));
  if (!staged && entry.record.staging_path == staging) {
    ASHLAR_ASSIGN_OR_RETURN(const std::vector<sys::MountEntry> mounts, env_.mounts.List());
    if (IsStale(entry, mounts)) {
      ASHLAR_RETURN_IF_ERROR(Heal(context, entry));
      staged = true;
    }
  }
  if (!staged || entry.record.staging_path != staging)
    return absl::FailedPreconditionError(
        absl::StrCat("volume ", args.id, " is not staged at ", staging));
  bool done = false;
  ASHLAR_RETURN_IF_ERROR(CheckTarget(args, entry, target, done));
  if (done) return absl::OkStatus();
  ASHLAR_RETURN_IF_ERROR(CheckWriters(entry.record, target, args.read_only));
  const bool block = entry.record.facts.mode == VolumeMode::kBlock;
  if (args.mount_group && !block && !args.read_only && !entry.record.is_reader())
    ASHLAR_RETURN_IF_ERROR(sys::GiveToGroup(context, staging, *args.mount_group));
  entry.record.phase = VolumePhase::kPublishing;
  entry.record.target_path = target;
  ASHLAR_RETURN_IF_ERROR(table_.Put(entry));
  // A changed bind mount loses the flags that are not named again.
  const unsigned long inherited = ParseMountFlags(entry.record.mount_flags, fs_type)->flags;
  unsigned long flags = own.flags & kPerMountFlags;
  if (args.read_only) flags |= MS_RDONLY;
  if (flags != 0) flags |= inherited & kPerMountFlags;
  absl::Status bound;
  if (block && args.read_only) bound = sys::SetReadOnly(entry.record.device, true);
  if (bound.ok()) bound = env_.mounts.Bind(block ? entry.record.device : staging, target, flags);
  entry.record.phase = VolumePhase::kStaged;
  entry.record.target_path.clear();
  if (bound.ok()) {
    entry.record.publications[target].read_only = args.read_only;
    entry.record.awaited = false;
    entry.record.single_writer = entry.record.single_writer || args.single_writer;
    entry.record.gpu_direct = entry.record.gpu_direct || args.gpu_direct;
  }
  if (entry.record.publications.empty() && !entry.record.is_reader()) TakeWritesAgain(entry.record);
  ASHLAR_RETURN_IF_ERROR(table_.Put(entry));
  ASHLAR_RETURN_IF_ERROR(bound);
  LogInfo("volume published",
          {{"volume", args.id}, {"path", target}, {"request", context.request_id}});
  return absl::OkStatus();
}

absl::Status VolumeManager::Unpublish(const CallContext& context, const std::string& id,
                                      const std::string& target_path) {
  ASHLAR_RETURN_IF_ERROR(ValidateName("volume_id", id));
  ASHLAR_ASSIGN_OR_RETURN(const std::string target, paths_.Resolve("target_path", target_path));
  ASHLAR_ASSIGN_OR_RETURN(const VolumeTable::Claim claim, table_.Acquire(id));
  std::optional<VolumeEntry> entry = table_.Get(id);
  if (!entry) return absl::OkStatus();
  if (entry->record.publications.count(target) == 0) {
    // What is mounted there is not ours; an empty mount point may be left of an earlier call.
    const absl::Status mounted = env_.mounts.Find(target).status();
    return absl::IsNotFound(mounted) ? env_.mounts.RemoveTarget(target) : mounted;
  }
  entry->record.phase = VolumePhase::kUnpublishing;
  entry->record.target_path = target;
  ASHLAR_RETURN_IF_ERROR(table_.Put(*entry));
  absl::Status gone = env_.mounts.Unmount(target);
  if (gone.ok()) gone = env_.mounts.RemoveTarget(target);
  if (gone.ok()) entry->record.publications.erase(target);
  if (entry->record.publications.empty())
    entry->record.single_writer = entry->record.gpu_direct = false;
  if (entry->record.publications.empty() && !entry->record.is_reader())
    TakeWritesAgain(entry->record);
  entry->record.phase = VolumePhase::kStaged;
  entry->record.target_path.clear();
  ASHLAR_RETURN_IF_ERROR(table_.Put(*entry));
  ASHLAR_RETURN_IF_ERROR(gone);
  LogInfo("volume unpublished",
          {{"volume", id}, {"path", target}, {"request", context.request_id}});
  return absl::OkStatus();
}

absl::Status VolumeManager::GrowFilesystem(const CallContext& context, const VolumeEntry& entry) {
  const VolumeFacts& facts = entry.record.facts;
  if (facts.fs_type == "xfs")
    return sys::RunChecked(env_.commands, context, {"xfs_growfs", entry.record.staging_path});
  const absl::Status grown =
      sys::RunChecked(env_.commands, context, {"resize2fs", entry.record.device});
  if (absl::StrContains(grown.message(), "Permission denied to resize"))
    return Annotate(grown, "the kernel grows a mounted ext4 only for CAP_SYS_RESOURCE");
  return grown;
}

absl::StatusOr<int64_t> VolumeManager::Expand(const CallContext& context, const std::string& id,
                                              const std::string& volume_path, int64_t size_bytes) {
  ASHLAR_RETURN_IF_ERROR(ValidateName("volume_id", id));
  ASHLAR_ASSIGN_OR_RETURN(const std::string path, paths_.Resolve("volume_path", volume_path));
  ASHLAR_ASSIGN_OR_RETURN(const VolumeTable::Claim claim, table_.Acquire(id));
  ASHLAR_ASSIGN_OR_RETURN(const VolumeEntry entry, Existing(id));
  if (!entry.record.knows(path))
    return absl::NotFoundError(absl::StrCat("volume ", id, " is not at volume_path ", path));
  if (size_bytes > entry.stored->size_bytes)
    return absl::FailedPreconditionError(absl::StrCat("size_bytes is ", size_bytes, ": volume ", id,
                                                      " has ", entry.stored->size_bytes,
                                                      " and must be resized first"));
  ASHLAR_RETURN_IF_ERROR(attachments_.UpdateCapacity(*entry.stored, entry.record.device));
  if (entry.record.facts.mode == VolumeMode::kBlock || entry.stored->form == VolumeForm::kDirectory)
    return entry.stored->size_bytes;
  if (entry.record.is_reader())
    return absl::FailedPreconditionError(
        absl::StrCat("volume ", id, " is staged read-only; its filesystem can't grow"));
  ASHLAR_RETURN_IF_ERROR(GrowFilesystem(context, entry));
  // The kernel zeroes new inode tables by punching them out of the image.
  ASHLAR_ASSIGN_OR_RETURN(const std::shared_ptr<StorageBackend> backend,
                          env_.pools.Backend(entry.record.facts.pool));
  ASHLAR_RETURN_IF_ERROR(backend->Prepare(context, id).status());
  LogInfo("filesystem grown",
          {{"volume", id}, {"bytes", entry.stored->size_bytes}, {"request", context.request_id}});
  return entry.stored->size_bytes;
}

}  // namespace ashlar::node_agent
