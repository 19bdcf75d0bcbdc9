// Controller: the controller service of CSI v1.13 on Volume and Pool objects. It writes what is
// asked for and waits; the Ashlar controller picks the node and carves. It holds no state of its
// own, so that any replica can answer, and any call be repeated. Thread-safe.
#pragma once

#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "csi.pb.h"
#include "csi/request_validation.h"
#include "csi/snapshots.h"
#include "csi/volume_objects.h"
#include "lib/runtime/cache.h"

namespace ashlar::csi_driver {

class Controller {
 public:
  // All must outlive this object. `pools` is a cache of the kind Pool.
  Controller(kube::Client& client, VolumeObjects& volumes, Snapshots& snapshots,
             const runtime::Cache& pools)
      : client_(client), volumes_(volumes), snapshots_(snapshots), pools_(pools) {}

  // InvalidArgument: the request, or a pool that does not exist. AlreadyExists: a volume of the
  // name differs. OutOfRange: the size. ResourceExhausted: no node has room; nothing is left
  // behind. DeadlineExceeded: it is still being carved, a repeat goes on.
  absl::StatusOr<csi::v1::CreateVolumeResponse> CreateVolume(
      const CallContext& context, const csi::v1::CreateVolumeRequest& request);
  absl::StatusOr<csi::v1::DeleteVolumeResponse> DeleteVolume(
      const CallContext& context, const csi::v1::DeleteVolumeRequest& request);
  absl::StatusOr<csi::v1::ValidateVolumeCapabilitiesResponse> ValidateVolumeCapabilities(
      const CallContext& context, const csi::v1::ValidateVolumeCapabilitiesRequest& request);
  // Volumes that exist, by name, with the node where each is published or in use. A token names the
  // last volume of the page before, so it outlives that volume: no page misses or repeats another.
  absl::StatusOr<csi::v1::ListVolumesResponse> ListVolumes(
      const CallContext& context, const csi::v1::ListVolumesRequest& request);
  absl::StatusOr<csi::v1::ControllerGetVolumeResponse> GetVolume(
      const CallContext& context, const csi::v1::ControllerGetVolumeRequest& request);
  // What is abnormal of one volume; of all, in pages like those of ListVolumes.
  absl::StatusOr<csi::v1::ControllerGetVolumeHealthResponse> GetVolumeHealth(
      const CallContext& context, const csi::v1::ControllerGetVolumeHealthRequest& request);
  absl::StatusOr<csi::v1::ControllerListVolumeHealthResponse> ListVolumeHealth(
      const CallContext& context, const csi::v1::ControllerListVolumeHealthRequest& request);
  // The bytes that the named pool, or all pools, can still give on the named node, or on all nodes;
  // 0 for a pool or node that is not there or not ready.
  absl::StatusOr<csi::v1::GetCapacityResponse> GetCapacity(
      const CallContext& context, const csi::v1::GetCapacityRequest& request);
  // ResourceExhausted: the volume's node has not that many bytes left. Then, and whenever the
  // growth is refused for good, the volume asks for no more than it has, so that nobody tries again
  // until the next call. A call for less than an earlier one that is still under way replaces it.
  absl::StatusOr<csi::v1::ControllerExpandVolumeResponse> ExpandVolume(
      const CallContext& context, const csi::v1::ControllerExpandVolumeRequest& request);
  // Answers when the volume's node has taken the attributes, of which the request says all: what it
  // leaves out goes back to its default. Of a volume that is in use they are in force then.
  absl::StatusOr<csi::v1::ControllerModifyVolumeResponse> ModifyVolume(
      const CallContext& context, const csi::v1::ControllerModifyVolumeRequest& request);
  absl::StatusOr<csi::v1::ControllerGetCapabilitiesResponse> GetCapabilities(
      const CallContext& context, const csi::v1::ControllerGetCapabilitiesRequest& request);

 private:
  // The pool, or nullptr.
  runtime::ObjectPtr FindPool(const std::string& name) const;
  absl::Status CheckSynced() const;
  // Up to `max_entries` of the volumes that are wanted, from `starting_token` on. Aborted: a token
  // of somebody else.
  absl::StatusOr<std::vector<v1alpha1::Volume>> Page(
      int32_t max_entries, const std::string& starting_token,
      absl::FunctionRef<bool(const v1alpha1::Volume&)> wanted, std::string& next_token) const;
  // InvalidArgument, with the names of all pools: there is none of this name.
  absl::StatusOr<Json> ReadPool(const CallContext& context, const std::string& name);
  // Makes the plan fit what it is to be a copy of, and answers the node where that lies; "" if the
  // volume was made of it and the source is gone since. NotFound: no such source. OutOfRange: it is
  // larger. InvalidArgument: it is of another pool, mode or filesystem.
  absl::StatusOr<std::string> FitSource(const CallContext& context, CreateVolumePlan& plan);
  absl::Status CheckRoomToGrow(const v1alpha1::Volume& volume, int64_t bytes) const;

  kube::Client& client_;
  VolumeObjects& volumes_;
  Snapshots& snapshots_;
  const runtime::Cache& pools_;
};

}  // namespace ashlar::csi_driver
