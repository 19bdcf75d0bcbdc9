// InlineVolumes: volumes that a pod asks for in its own spec, without a claim, and that go with the
// pod. One call carves, stages and publishes such a volume, one call takes it back. The medium says
// that a volume is one (VolumeKind::kInline).
//
//                    Publish                         Unpublish
//   (nothing) ──carved, staged, published──► published ──unpublished, unstaged, removed──►
//   (nothing)
//
// Nobody else knows of such a volume: who asked may never ask again, so none may be left that no
// pod sees (docs/decisions/0014-inline-volumes-of-pods.md).
//   - A Publish that fails takes away what it has made.
//   - What a crash left half made, or half taken back, is removed when the volumes are recovered.
//   - After a reboot a volume waits for its pod, which the kubelet starts again; what is not
//     published within kInlineVolumePatience is removed.
//   - What could not be removed at its time is tried again every minute.
// Thread-safe; a second call on a volume that one is working on is Aborted.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/call_context.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "node-agent/near/near_drives.h"
#include "node-agent/pool/pool_source.h"
#include "node-agent/volume/volume_manager.h"

namespace ashlar::node_agent {

constexpr absl::Duration kInlineVolumePatience = absl::Hours(1);

struct InlineVolumeArgs {
  std::string id, target_path, pool;
  int64_t size_bytes = 0;
  std::string fs_type;  // empty: the first that the pool's backend makes
  std::vector<std::string> mount_flags;
  bool read_only = false;
  std::optional<uint32_t> mount_group;  // that shall own the filesystem
  std::optional<NearArgs> near;         // unset: it lies on whichever drive the backend picks
};

class InlineVolumes {
 public:
  // Mounts each volume below `staging_root` before a pod sees it; the volume manager must accept
  // paths there. `near` says which drives are near the GPUs of a pod. `changed` is called when a
  // volume was removed without a call. All must outlive it.
  InlineVolumes(VolumeManager& volumes, PoolSource& pools, NearDrives& near,
                std::string staging_root, Clock& clock, std::function<void()> changed)
      : volumes_(volumes),
        pools_(pools),
        near_(near),
        staging_root_(std::move(staging_root)),
        clock_(clock),
        changed_(std::move(changed)) {}
  ~InlineVolumes() { Stop(); }

  // FailedPrecondition: the pool gives no inline volumes, or none as large; names the field. So too
  // if no drive is as near as is required.
  // AlreadyExists: the volume is another one.
  absl::Status Publish(const CallContext& context, const InlineVolumeArgs& args);
  // The target path goes, and with it an inline volume. If its pool is not ready the bytes are
  // given back when it is. Volumes that are not inline are unpublished, no more. Absent is OK.
  absl::Status Unpublish(const CallContext& context, const std::string& id,
                         const std::string& target_path);

  // Removes what has waited long enough for its pod, and what could not be removed before.
  void RemoveForgotten(const CallContext& context);
  // Does that every minute, in a thread.
  void Start();
  void Stop();

 private:
  // While it lives, no other call works on the volume.
  class Busy;
  absl::Status CheckAllowed(const InlineVolumeArgs& args);
  absl::Status Make(const CallContext& context, const InlineVolumeArgs& args);
  // On the nearest drive that takes it.
  absl::Status CarveNear(const CallContext& context, const InlineVolumeArgs& args,
                         EnsureVolumeArgs carve);
  absl::Status TakeAway(const CallContext& context, const std::string& id);
  std::string StagingPath(const std::string& id) const;
  // TakeAway, or later, if that fails now.
  absl::Status TakeAwaySoon(const CallContext& context, const std::string& id);

  VolumeManager& volumes_;
  PoolSource& pools_;
  NearDrives& near_;
  const std::string staging_root_;
  Clock& clock_;
  const std::function<void()> changed_;
  Mutex mu_;
  std::set<std::string> busy_ ABSL_GUARDED_BY(mu_);
  // Since when no pod is known to see the volume; InfinitePast: none will.
  std::map<std::string, absl::Time> unseen_since_ ABSL_GUARDED_BY(mu_);
  std::jthread thread_;
};

}  // namespace ashlar::node_agent
