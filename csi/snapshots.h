// Snapshots: the calls of CSI's Controller and GroupController that speak of snapshots, translated
// into Snapshot and SnapshotGroup objects. Thread-safe. Codes as in the CSI specification; refusals
// leave no object behind.
#pragma once

#include <string>

#include "ashlar/v1alpha1/snapshot.pb.h"
#include "csi.pb.h"
#include "csi/volume_objects.h"
#include "lib/runtime/informer.h"
#include "lib/runtime/object_waiter.h"

namespace ashlar::csi_driver {

class Snapshots {
 public:
  // All must outlive this object. `snapshots` and `groups` are informers of these kinds.
  Snapshots(kube::Client& client, VolumeObjects& volumes, runtime::Informer& snapshots,
            runtime::Informer& groups, Clock& clock)
      : client_(client),
        volumes_(volumes),
        snapshots_(snapshots),
        groups_(groups),
        clock_(clock),
        snapshot_waiter_(snapshots, clock),
        group_waiter_(groups, clock) {}

  // NotFound: no such volume. AlreadyExists: the name is that of a snapshot of another volume.
  // ResourceExhausted: no room, or its volume's node is none of those that are asked for.
  // FailedPrecondition: the pool makes no copies, or the volume cannot be copied now.
  // DeadlineExceeded: it is still being taken, a repeat goes on.
  absl::StatusOr<csi::v1::CreateSnapshotResponse> CreateSnapshot(
      const CallContext& context, const csi::v1::CreateSnapshotRequest& request);
  absl::StatusOr<csi::v1::DeleteSnapshotResponse> DeleteSnapshot(
      const CallContext& context, const csi::v1::DeleteSnapshotRequest& request);
  // Snapshots that were taken, by name; tokens as those of ListVolumes.
  absl::StatusOr<csi::v1::ListSnapshotsResponse> ListSnapshots(
      const CallContext& context, const csi::v1::ListSnapshotsRequest& request);
  absl::StatusOr<csi::v1::GetSnapshotResponse> GetSnapshot(
      const CallContext& context, const csi::v1::GetSnapshotRequest& request);

  // All volumes at one moment. FailedPrecondition, naming the nodes: they lie on several.
  absl::StatusOr<csi::v1::CreateVolumeGroupSnapshotResponse> CreateGroup(
      const CallContext& context, const csi::v1::CreateVolumeGroupSnapshotRequest& request);
  absl::StatusOr<csi::v1::DeleteVolumeGroupSnapshotResponse> DeleteGroup(
      const CallContext& context, const csi::v1::DeleteVolumeGroupSnapshotRequest& request);
  absl::StatusOr<csi::v1::GetVolumeGroupSnapshotResponse> GetGroup(
      const CallContext& context, const csi::v1::GetVolumeGroupSnapshotRequest& request);
  absl::StatusOr<csi::v1::GroupControllerGetCapabilitiesResponse> GroupCapabilities(
      const CallContext& context, const csi::v1::GroupControllerGetCapabilitiesRequest& request);

  // The snapshot as it is in Kubernetes now. NotFound, with the name.
  absl::StatusOr<v1alpha1::Snapshot> Find(const CallContext& context, const std::string& id);
  bool Synced() const { return snapshots_.Synced() && groups_.Synced(); }

 private:
  absl::Status CheckSynced() const;
  // ResourceExhausted: the copies of what lies on `node` cannot be used where it is required.
  absl::Status CheckTopology(const CallContext& context,
                             const csi::v1::TopologyRequirement& required, const std::string& node);
  absl::StatusOr<v1alpha1::SnapshotGroup> FindGroup(const CallContext& context,
                                                    const std::string& id);
  absl::StatusOr<csi::v1::VolumeGroupSnapshot> Describe(const CallContext& context,
                                                        const v1alpha1::SnapshotGroup& group);
  // Deletes the object and waits until it is gone. Absent is success.
  absl::Status Remove(const CallContext& context, const api::KindInfo& kind,
                      runtime::Informer& informer, runtime::ObjectWaiter& waiter,
                      const std::string& id);

  kube::Client& client_;
  VolumeObjects& volumes_;
  runtime::Informer& snapshots_;
  runtime::Informer& groups_;
  Clock& clock_;
  runtime::ObjectWaiter snapshot_waiter_;
  runtime::ObjectWaiter group_waiter_;
};

}  // namespace ashlar::csi_driver
