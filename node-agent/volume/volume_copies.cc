// Copies: snapshots, groups of them taken at one moment, clones and restores.
#include <fcntl.h>

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/system/files.h"
#include "lib/system/kernel_version.h"
#include "node-agent/storage/pool_types.h"
#include "node-agent/volume/freeze_window.h"
#include "node-agent/volume/superblock.h"
#include "node-agent/volume/volume_manager.h"

namespace ashlar::node_agent {
namespace {

// FICLONE takes about 20 µs for each extent, and the volume's writers wait meanwhile.
constexpr int64_t kMostLiveExtents = 100'000, kManyExtents = 10'000;

absl::Status CheckExtents(const StoredVolume& source) {
  if (source.extents > kMostLiveExtents)
    return absl::FailedPreconditionError(
        absl::StrCat("volume ", source.facts.id, " is in use and in ", source.extents,
                     " pieces; a copy would stop its writers for too long: more than ",
                     kMostLiveExtents, " are only copied while no pod uses it"));
  if (source.extents > kManyExtents)
    LogWarning("a volume of many extents is copied while it is in use",
               {{"volume", source.facts.id}, {"extents", source.extents}});
  return absl::OkStatus();
}

absl::StatusOr<std::string> UuidOnMedium(const VolumeEntry& entry) {
  ASHLAR_ASSIGN_OR_RETURN(const std::string head,
                          sys::ReadHead(entry.stored->path, kSuperblockBytes));
  ASHLAR_ASSIGN_OR_RETURN(const SuperblockState state,
                          ParseSuperblock(entry.record.facts.fs_type, head));
  return state.uuid;
}

absl::Status CheckSnapshotArgs(const std::vector<SnapshotArgs>& args) {
  if (args.empty()) return absl::InvalidArgumentError("snapshots is empty: at least one is needed");
  std::set<std::string> seen;
  for (const SnapshotArgs& snapshot : args) {
    ASHLAR_RETURN_IF_ERROR(ValidateName("snapshot_id", snapshot.id));
    ASHLAR_RETURN_IF_ERROR(ValidateName("volume_id", snapshot.source));
    for (const std::string& name : {snapshot.id, snapshot.source})
      if (!seen.insert(name).second)
        return absl::InvalidArgumentError(absl::StrCat(name, " is named twice in snapshots"));
  }
  return absl::OkStatus();
}

// Appends to `made` what was made, also if one cannot be.
template <class Copies>
absl::Status CreateAll(PoolSource& pools, const CallContext& context, const Copies& copies,
                       std::vector<StoredVolume>& made) {
  for (const auto& copy : copies) {
    ASHLAR_ASSIGN_OR_RETURN(const std::shared_ptr<StorageBackend> backend,
                            pools.Backend(copy.facts.pool));
    ASHLAR_ASSIGN_OR_RETURN(StoredVolume stored,
                            backend->Create(context, copy.facts, copy.size_bytes, copy.drive));
    made.push_back(std::move(stored));
  }
  return absl::OkStatus();
}

void RemoveAll(PoolSource& pools, const std::vector<StoredVolume>& copies) {
  for (const StoredVolume& copy : copies) {
    const auto backend = pools.Backend(copy.facts.pool);
    const absl::Status gone =
        backend.ok() ? (*backend)->Remove({}, copy.facts.id) : backend.status();
    if (!gone.ok())
      LogError("a copy is left over", {{"volume", copy.facts.id}, {"error", gone.ToString()}});
  }
}

}  // namespace

// Whether what is attached may change while it is copied: freezes it, or writes out what the kernel
// holds of it.
absl::Status VolumeManager::HoldStill(VolumeEntry& source, bool copy_freezes,
                                      FreezeWindow& window) {
  ASHLAR_RETURN_IF_ERROR(CheckExtents(*source.stored));
  if (source.record.facts.mode == VolumeMode::kBlock) {
    // Who writes to a raw device decides itself what of it is consistent.
    ASHLAR_ASSIGN_OR_RETURN(const sys::UniqueFd fd, sys::OpenFile(source.record.device, O_RDWR));
    return sys::SyncFile(fd.get(), source.record.device);
  }
  if (copy_freezes) return absl::OkStatus();
  source.record.frozen = true;
  ASHLAR_RETURN_IF_ERROR(table_.Put(source));
  return window.Freeze(source.record.staging_path);
}

absl::StatusOr<std::vector<StoredVolume>> VolumeManager::MakeCopies(
    const CallContext& context, const std::vector<CopyToMake>& copies) {
  std::vector<VolumeEntry> sources;
  std::vector<bool> live;
  size_t mounted = 0;
  bool copy_freezes = false;
  for (const CopyToMake& copy : copies) {
    ASHLAR_ASSIGN_OR_RETURN(VolumeEntry source, Existing(copy.facts.source));
    ASHLAR_ASSIGN_OR_RETURN(const std::shared_ptr<StorageBackend> backend,
                            env_.pools.Backend(source.record.facts.pool));
    // The extents of this moment.
    ASHLAR_ASSIGN_OR_RETURN(source.stored, backend->Find(copy.facts.source));
    ASHLAR_ASSIGN_OR_RETURN(const bool staged, IsStaged(source));
    if (staged && source.record.facts.mode == VolumeMode::kFilesystem) {
      ++mounted;
      copy_freezes = copy_freezes || backend->Traits().copy_freezes;
    }
    sources.push_back(std::move(source));
    live.push_back(staged);
  }
  // One filesystem is of one moment when the copying of it freezes it; several are not.
  if (copy_freezes && mounted > 1 && sys::RunningKernel() < sys::KernelVersion{6, 8})
    return absl::FailedPreconditionError(
        "thin volumes on LVM that are mounted cannot be copied as a group by this kernel, for it "
        "freezes no filesystem twice: Linux 6.8 or later can; copy them one by one, or while no "
        "pod uses them");
  const absl::Time begin = env_.clock.Now();
  FreezeWindow window(env_.mounts, env_.clock);
  std::vector<StoredVolume> made;
  absl::Status status;
  for (size_t i = 0; i < sources.size() && status.ok(); ++i)
    if (live[i]) status = HoldStill(sources[i], copy_freezes && mounted == 1, window);
  if (status.ok()) status = CreateAll(env_.pools, context, copies, made);
  const absl::Status thawed = window.Thaw();
  for (VolumeEntry& source : sources) {
    if (!source.record.frozen || !(thawed.ok() || absl::IsDeadlineExceeded(thawed))) continue;
    source.record.frozen = false;
    if (const absl::Status put = table_.Put(source); status.ok()) status = put;
  }
  if (status.ok()) status = thawed;
  if (!status.ok()) {
    RemoveAll(env_.pools, made);
    return status;
  }
  LogInfo("copies made", {{"copies", made.size()},
                          {"microseconds", (env_.clock.Now() - begin) / absl::Microseconds(1)},
                          {"request", context.request_id}});
  return made;
}

absl::StatusOr<StoredVolume> VolumeManager::MakeClone(const CallContext& context,
                                                      const VolumeFacts& facts, int64_t size_bytes,
                                                      const std::string& drive) {
  ASHLAR_ASSIGN_OR_RETURN(const VolumeTable::Claim claim, table_.Acquire(facts.source));
  ASHLAR_ASSIGN_OR_RETURN(const VolumeEntry source, Existing(facts.source));
  const VolumeFacts& has = source.record.facts;
  const auto refuse = [&](absl::string_view field, absl::string_view is, absl::string_view want) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, " is \"", want, "\": the source ", facts.source, " has \"", is, "\""));
  };
  if (has.pool != facts.pool) return refuse("pool", has.pool, facts.pool);
  if (has.mode != facts.mode) return refuse("mode", ModeName(has.mode), ModeName(facts.mode));
  if (has.fs_type != facts.fs_type) return refuse("fs_type", has.fs_type, facts.fs_type);
  if (source.stored->size_bytes > size_bytes)
    return refuse("size_bytes", absl::StrCat(source.stored->size_bytes), absl::StrCat(size_bytes));
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<StoredVolume> made,
                          MakeCopies(context, {{facts, size_bytes, drive}}));
  return made.front();
}

// `done`: all of them are there.
absl::Status VolumeManager::FindSnapshots(const std::vector<SnapshotArgs>& args, bool& done) {
  size_t found = 0;
  for (const SnapshotArgs& wanted : args) {
    if (!table_.Get(wanted.id)) continue;
    ASHLAR_ASSIGN_OR_RETURN(const VolumeEntry entry, Existing(wanted.id));
    const VolumeFacts& has = entry.record.facts;
    if (has.kind != VolumeKind::kSnapshot || has.source != wanted.source)
      return absl::AlreadyExistsError(absl::StrCat(
          wanted.id, " exists as a ", KindName(has.kind), " of \"", has.source, "\", wanted is a ",
          KindName(VolumeKind::kSnapshot), " of \"", wanted.source, "\""));
    ++found;
  }
  done = found == args.size();
  return absl::OkStatus();
}

// What an interrupted call left of a group is of another moment than what is to come.
absl::Status VolumeManager::RemoveInterrupted(const CallContext& context,
                                              const std::vector<SnapshotArgs>& args) {
  for (const SnapshotArgs& snapshot : args) {
    const std::optional<VolumeEntry> entry = table_.Get(snapshot.id);
    if (!entry) continue;
    ASHLAR_ASSIGN_OR_RETURN(const std::shared_ptr<StorageBackend> backend,
                            env_.pools.Backend(entry->record.facts.pool));
    ASHLAR_RETURN_IF_ERROR(backend->Remove(context, snapshot.id));
    ASHLAR_RETURN_IF_ERROR(table_.Erase(snapshot.id));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<VolumeStatus>> VolumeManager::EnsureSnapshots(
    const CallContext& context, const std::vector<SnapshotArgs>& args) {
  ASHLAR_RETURN_IF_ERROR(CheckSnapshotArgs(args));
  std::vector<VolumeTable::Claim> claims;
  for (const SnapshotArgs& snapshot : args) {
    ASHLAR_ASSIGN_OR_RETURN(VolumeTable::Claim claim, table_.Acquire(snapshot.id));
    claims.push_back(std::move(claim));
  }
  bool done = false;
  ASHLAR_RETURN_IF_ERROR(FindSnapshots(args, done));
  if (!done) {
    for (const SnapshotArgs& snapshot : args) {
      ASHLAR_ASSIGN_OR_RETURN(VolumeTable::Claim claim, table_.Acquire(snapshot.source));
      claims.push_back(std::move(claim));
    }
    ASHLAR_RETURN_IF_ERROR(TakeSnapshots(context, args));
  }
  std::vector<VolumeStatus> statuses;
  for (const SnapshotArgs& snapshot : args) {
    ASHLAR_ASSIGN_OR_RETURN(const VolumeEntry entry, Existing(snapshot.id));
    statuses.push_back(StatusOf(entry));
  }
  return statuses;
}

absl::Status VolumeManager::TakeSnapshots(const CallContext& context,
                                          const std::vector<SnapshotArgs>& args) {
  std::vector<CopyToMake> copies;
  for (const SnapshotArgs& snapshot : args) {
    ASHLAR_ASSIGN_OR_RETURN(const VolumeEntry source, Existing(snapshot.source));
    if (source.record.facts.kind != VolumeKind::kVolume)
      return absl::InvalidArgumentError(
          absl::StrCat("volume_id is \"", snapshot.source, "\", which is a snapshot"));
    VolumeFacts facts = source.record.facts;
    facts.id = snapshot.id;
    facts.kind = VolumeKind::kSnapshot;
    facts.source = snapshot.source;
    copies.push_back({facts, source.stored->size_bytes, ""});
  }
  ASHLAR_RETURN_IF_ERROR(RemoveInterrupted(context, args));
  absl::Status status;
  for (const CopyToMake& copy : copies) {
    VolumeEntry entry;
    entry.record.facts = copy.facts;
    entry.record.phase = VolumePhase::kCarving;
    if (status.ok()) status = env_.journal.Save(entry.record);
  }
  absl::StatusOr<std::vector<StoredVolume>> made = absl::UnknownError("not tried");
  if (status.ok()) {
    made = MakeCopies(context, copies);
  } else {
    made = status;
  }
  if (!made.ok()) {
    for (const CopyToMake& copy : copies)
      if (const absl::Status gone = table_.Erase(copy.facts.id); !gone.ok())
        LogError("a record is left over", {{"volume", copy.facts.id}, {"error", gone.ToString()}});
    return made.status();
  }
  for (StoredVolume& stored : *made) {
    VolumeEntry entry;
    entry.record.facts = stored.facts;
    entry.stored = std::move(stored);
    ASHLAR_RETURN_IF_ERROR(table_.Put(entry));
    LogInfo("snapshot taken", {{"snapshot", entry.record.facts.id},
                               {"volume", entry.record.facts.source},
                               {"bytes", entry.stored->size_bytes},
                               {"extents", entry.stored->extents},
                               {"request", context.request_id}});
  }
  return absl::OkStatus();
}

absl::StatusOr<StoredVolume> VolumeManager::FindSnapshot(absl::string_view field,
                                                         const std::string& id) {
  ASHLAR_RETURN_IF_ERROR(ValidateName(field, id));
  ASHLAR_ASSIGN_OR_RETURN(const VolumeTable::Claim claim, table_.Acquire(id));
  ASHLAR_ASSIGN_OR_RETURN(const VolumeEntry entry, Existing(id));
  if (entry.record.facts.kind == VolumeKind::kSnapshot) return *entry.stored;
  return absl::NotFoundError(absl::StrCat(field, " is \"", id, "\", which is not a snapshot"));
}

absl::StatusOr<SnapshotExtents> VolumeManager::OpenExtents(const CallContext& context,
                                                           const std::string& snapshot,
                                                           const std::string& base,
                                                           int64_t offset) {
  ASHLAR_ASSIGN_OR_RETURN(const StoredVolume wanted, FindSnapshot("snapshot_id", snapshot));
  std::optional<StoredVolume> other;
  if (!base.empty()) {
    ASHLAR_ASSIGN_OR_RETURN(other, FindSnapshot("base_snapshot_id", base));
    if (other->facts.source != wanted.facts.source)
      return absl::InvalidArgumentError(
          absl::StrCat("base_snapshot_id is \"", base, "\", a snapshot of ", other->facts.source,
                       "; ", snapshot, " is one of ", wanted.facts.source));
  }
  return SnapshotExtents::Open(context, wanted, other, offset);
}

// A filesystem that was copied has the UUID of its source, and XFS mounts no UUID twice. Each step
// finds what the ones before it did, so that a crash between any two does no harm.
absl::Status VolumeManager::RenewFilesystemUuid(const CallContext& context,
                                                const VolumeEntry& entry) {
  const VolumeFacts& facts = entry.record.facts;
  const std::string& device = entry.record.device;
  const std::string uuid = FilesystemUuid(facts.id);
  ASHLAR_ASSIGN_OR_RETURN(std::string found, UuidOnMedium(entry));
  if (found == uuid) return absl::OkStatus();
  LogInfo("giving a copy a UUID of its own",
          {{"volume", facts.id}, {"uuid", uuid}, {"request", context.request_id}});
  if (facts.fs_type == "ext4")
    // With the seed of its checksums kept, only the superblock changes.
    return sys::RunChecked(env_.commands, context,
                           {"tune2fs", "-O", "metadata_csum_seed", "-U", uuid, device});
  // xfs_db wants a clean log: a mount replays it.
  const std::string& target = entry.record.staging_path;
  ASHLAR_RETURN_IF_ERROR(
      env_.mounts.MountDevice(context, device, target, facts.fs_type, {0, "nouuid"}));
  ASHLAR_RETURN_IF_ERROR(env_.mounts.Unmount(target));
  // What xfs_admin -U does, which is a shell script. It ends with 0 whatever happened.
  const std::vector<std::string> argv = {
      "xfs_db", "-x", "-p", "xfs_admin", "-c", absl::StrCat("uuid ", uuid), device};
  ASHLAR_ASSIGN_OR_RETURN(const sys::CommandResult result, env_.commands.Run(context, argv));
  ASHLAR_ASSIGN_OR_RETURN(found, UuidOnMedium(entry));
  if (found == uuid) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat("xfs_db did not give ", device, " the UUID ", uuid, ": ", result.err));
}

}  // namespace ashlar::node_agent
