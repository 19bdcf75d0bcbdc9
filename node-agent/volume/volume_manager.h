// VolumeManager: the life of the volumes of one node. Every call may be repeated, also after the
// process was killed in the middle of it. Thread-safe; a second call on a volume that one is
// working on is Aborted.
//
//               Ensure                 Stage                     Publish
//   (nothing) ──carving──► carved ──staging──► staged ──publishing──► staged + publication
//       ▲                  │  ▲ ▲               │ │ ▲                       │
//       └─────removing─────┘  │ └──unstaging────┘ │ └──────unpublishing─────┘
//             Remove          └────expanding──────┘ (Resize: from and to carved or staged)
//
// A word on an arrow is the phase that the journal holds while that step is under way. After a
// crash the new process finishes removing, unstaging, unpublishing and expanding, and undoes
// staging and publishing; carving is finished if the image is complete and was never begun if not.
// What is staged stays untouched. After a reboot nothing is mounted, so every record becomes carved
// if its image is there, and goes if it is not. An inline volume that no pod saw is removed, unless
// a reboot took it from its pod: its publishing was never acknowledged, or its unpublishing asked
// for.
//
// A snapshot or clone is carved as a volume is; while it is, its source is held still: a mounted
// filesystem is frozen, of which the journal's record tells, so that a new process thaws it.
//
// Facts come from: the medium (which volumes exist, their size), the kernel (loop devices by the
// identity of their image, mounts), the journal (which step was under way, what was asked for).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/call_context.h"
#include "lib/base/clock.h"
#include "lib/system/command_runner.h"
#include "lib/system/loop_devices.h"
#include "lib/system/mount_table.h"
#include "node-agent/inventory/drive_scanner.h"
#include "node-agent/limits/volume_use.h"
#include "node-agent/near/direct_way.h"
#include "node-agent/pool/pool_source.h"
#include "node-agent/volume/attachments.h"
#include "node-agent/volume/attribute_table.h"
#include "node-agent/volume/path_policy.h"
#include "node-agent/volume/snapshot_extents.h"
#include "node-agent/volume/volume_table.h"

namespace ashlar::node_agent {

struct VolumeStatus {
  VolumeFacts facts;
  int64_t size_bytes = 0;
  std::string path;   // the image file or block device
  std::string drive;  // id; empty: several, or not known
  int64_t extents = 0;
  bool staged = false;
  std::string staging_path;  // empty unless it is staged
  int publications = 0;
  bool healthy = true;
  std::string reason;  // of VolumeState in proto/ashlar/agent/v1; empty if it is healthy
  // Why it is not healthy; or, if it is, what a check has corrected before the last mount.
  std::string message;
  VolumeAttributes attributes;
  std::string attributes_message;  // where they are not in force, and why; from the limit keeper
  VolumeLocality locality;
  DirectWay gpu_direct;  // from the feed
};

struct EnsureVolumeArgs {
  std::string id, pool;
  int64_t size_bytes = 0;
  VolumeMode mode = VolumeMode::kFilesystem;
  std::string fs_type;  // empty for a filesystem: the first that the pool's backend makes
  std::string source;   // volume or snapshot that it begins as a copy of; empty: none
  VolumeKind kind = VolumeKind::kVolume;  // or kInline
  std::string drive;             // that it shall lie on; empty: whichever the backend picks
  VolumeLocality locality = {};  // that the drive has; is told of the volume
};
struct SnapshotArgs {
  std::string id, source;
};
struct StageArgs {
  std::string id, staging_path;
  VolumeMode mode = VolumeMode::kFilesystem;
  std::string fs_type;  // empty: whatever the volume has
  std::vector<std::string> mount_flags;
  bool read_only = false;  // the same as "ro" among the flags
};
struct PublishArgs {
  std::string id, staging_path, target_path;
  VolumeMode mode = VolumeMode::kFilesystem;
  bool read_only = false;
  std::vector<std::string> mount_flags;
  bool single_writer = false;
  std::optional<uint32_t> mount_group;  // that shall own the filesystem
  bool gpu_direct = false;              // whether GPUDirect Storage works shall be told
};
struct VolumeStats {
  VolumeMode mode = VolumeMode::kFilesystem;
  int64_t total_bytes = 0, available_bytes = 0, used_bytes = 0;
  int64_t total_inodes = 0, available_inodes = 0, used_inodes = 0;  // 0 for block
  VolumeTrouble abnormal;
};

// What the manager works with; all must outlive it.
struct VolumeEnvironment {
  PoolSource& pools;
  Journal& journal;
  sys::CommandRunner& commands;
  sys::MountTable& mounts;
  sys::LoopDevices& loops;
  Clock& clock;
  AttributeTable& attributes;
};

class FreezeWindow;

class VolumeManager {
 public:
  VolumeManager(VolumeEnvironment environment, PathPolicy paths, std::string boot_id)
      : env_(environment), paths_(std::move(paths)), table_(env_.journal, std::move(boot_id)) {}

  // Brings records, medium, loop devices and mounts together. Called once, before anything else,
  // when the pools are loaded.
  absl::Status Recover(const CallContext& context);
  // The same for the volumes of a pool that has become ready since.
  absl::Status Adopt(const CallContext& context, const std::string& pool);

  // Codes and meaning of all that follows: proto/ashlar/agent/v1.
  absl::StatusOr<VolumeStatus> Ensure(const CallContext& context, EnsureVolumeArgs args);
  absl::StatusOr<VolumeStatus> Resize(const CallContext& context, const std::string& id,
                                      int64_t size_bytes);
  // What has the id but is of the other kind stays.
  absl::Status Remove(const CallContext& context, const std::string& id,
                      VolumeKind kind = VolumeKind::kVolume);
  absl::StatusOr<std::vector<VolumeStatus>> EnsureSnapshots(const CallContext& context,
                                                            const std::vector<SnapshotArgs>& args);
  // What of the snapshot was written, or, with `base`, may differ from that one.
  absl::StatusOr<SnapshotExtents> OpenExtents(const CallContext& context,
                                              const std::string& snapshot, const std::string& base,
                                              int64_t offset);
  // Keeps the attributes. Who enforces them is told by Uses.
  absl::StatusOr<VolumeStatus> Modify(const CallContext& context, const std::string& id,
                                      const VolumeAttributes& attributes);
  std::vector<VolumeStatus> List();
  std::optional<VolumeStatus> Find(const std::string& id);
  // What is attached now.
  std::vector<VolumeUse> Uses();
  // Which way cuFile will take, of volumes that were published with gpu_direct, by id.
  std::map<std::string, DirectWay> DirectWays(const NearFacts& node, const DirectPlaces& places);
  // Asks pools whether they are ready, and backends that tell problems for those of volumes; List
  // then shows them.
  void LookForProblems();
  // Compares what is staged and published with what the medium has now, and makes anew what hangs
  // on a drive that went and is back: what is staged, and published devices. Filesystems that pods
  // see stay what they are until those are gone. List then shows what is wrong.
  void HealStaged(const CallContext& context);

  absl::Status Stage(const CallContext& context, const StageArgs& args);
  absl::Status Unstage(const CallContext& context, const std::string& id,
                       const std::string& staging_path);
  absl::Status Publish(const CallContext& context, const PublishArgs& args);
  absl::Status Unpublish(const CallContext& context, const std::string& id,
                         const std::string& target_path);
  // The size of the volume after growing its filesystem.
  absl::StatusOr<int64_t> Expand(const CallContext& context, const std::string& id,
                                 const std::string& volume_path, int64_t size_bytes);
  absl::StatusOr<VolumeStats> Stats(const std::string& id, const std::string& volume_path);

 private:
  VolumeStatus StatusOf(const VolumeEntry& entry) const;
  // What is wrong with volumes of the pool, by id; an error is wrong with all of them.
  struct Problem {
    std::string message;
    bool unreachable = false;
    std::string drive;  // that it lies on now
    bool operator==(const Problem&) const = default;
  };
  absl::StatusOr<std::map<std::string, Problem>> ProblemsOf(const std::string& pool);
  // NotFound, or FailedPrecondition while the medium cannot be reached.
  absl::StatusOr<VolumeEntry> Existing(const std::string& id);
  // Fills fs_type if a filesystem is wanted and none is named. InvalidArgument: the pool's backend
  // makes no such volumes; names what it makes.
  absl::Status ChooseFormat(EnsureVolumeArgs& args);
  // `args` say where it shall lie.
  absl::StatusOr<VolumeStatus> Carve(const CallContext& context, const VolumeFacts& facts,
                                     int64_t size_bytes, const EnsureVolumeArgs& args);

  struct CopyToMake {
    VolumeFacts facts;
    int64_t size_bytes = 0;
    std::string drive;  // empty: its source's
  };
  // All at one moment, or none of them. Call with claims on the sources.
  absl::StatusOr<std::vector<StoredVolume>> MakeCopies(const CallContext& context,
                                                       const std::vector<CopyToMake>& copies);
  absl::StatusOr<StoredVolume> MakeClone(const CallContext& context, const VolumeFacts& facts,
                                         int64_t size_bytes, const std::string& drive);
  absl::Status HoldStill(VolumeEntry& source, bool copy_freezes, FreezeWindow& window);
  absl::Status FindSnapshots(const std::vector<SnapshotArgs>& args, bool& done);
  absl::Status TakeSnapshots(const CallContext& context, const std::vector<SnapshotArgs>& args);
  absl::StatusOr<StoredVolume> FindSnapshot(absl::string_view field, const std::string& id);
  absl::Status RemoveInterrupted(const CallContext& context, const std::vector<SnapshotArgs>& args);
  absl::Status RenewFilesystemUuid(const CallContext& context, const VolumeEntry& entry);

  absl::Status MountStaged(const CallContext& context, VolumeEntry& entry,
                           const sys::MountOptions& options);
  absl::Status MountFilesystem(const CallContext& context, VolumeEntry& entry,
                               const sys::MountOptions& options);
  absl::Status CheckFilesystem(const CallContext& context, VolumeEntry& entry, bool& must_grow);
  absl::Status CountAgainstQuota(const VolumeEntry& entry, VolumeStats& stats);
  absl::Status GrowFilesystem(const CallContext& context, const VolumeEntry& entry);
  // Takes away every mount and the loop device of a staged volume and makes it carved.
  absl::Status TearDown(VolumeEntry& entry);
  absl::Status CheckTarget(const PublishArgs& args, const VolumeEntry& entry,
                           const std::string& target, bool& done);
  // NotFound if nothing is mounted there, or only what was left of a drive that went. `live`: it
  // shows the volume.
  absl::StatusOr<sys::MountPoint> FindTarget(const VolumeEntry& entry, const std::string& target,
                                             bool& live);
  absl::StatusOr<bool> IsStaged(const VolumeEntry& entry);

  // Whether what was staged is of a medium that went. `mounts` is of this moment.
  bool IsStale(const VolumeEntry& entry, const std::vector<sys::MountEntry>& mounts);
  VolumeTrouble TroubleOf(const VolumeEntry& entry, const std::vector<sys::MountEntry>& mounts);
  VolumeTrouble TroubleOfPublished(const VolumeEntry& entry,
                                   const std::vector<sys::MountEntry>& mounts);
  // Stages anew what is stale, and publishes stale devices anew. After an error everything is stale
  // as before.
  absl::Status Heal(const CallContext& context, VolumeEntry& entry);
  absl::Status StageAnew(const CallContext& context, VolumeEntry& entry);
  absl::Status PublishDevicesAnew(const VolumeEntry& entry);
  // Unmounts what is left of a medium that went; what else is mounted there stays.
  absl::Status UnmountStale(const std::string& target);
  // Unmounts what is ours at the staging path.
  absl::Status UnmountStaged(const VolumeEntry& entry);

  struct KernelState {
    std::vector<sys::MountEntry> mounts;
    std::vector<sys::LoopDevice> loops;
  };
  absl::StatusOr<KernelState> ReadKernelState();
  absl::Status Settle(VolumeEntry entry, const KernelState& kernel);
  absl::Status SettleMissing(const VolumeEntry& entry);
  absl::Status FinishRemoval(const std::string& pool, const std::string& id);
  absl::Status SettleAttached(VolumeEntry entry, const KernelState& kernel,
                              const Attachment& attached);
  VolumeEntry Reconstruct(const StoredVolume& stored, const KernelState& kernel);

  VolumeEnvironment env_;
  const PathPolicy paths_;
  Attachments attachments_{env_.loops};
  VolumeTable table_;
};

}  // namespace ashlar::node_agent
