// Node: the node service of CSI v1.12, translated into calls to the node agent, which does what
// needs privileges. Holds no state and no Kubernetes credentials. Thread-safe.
#pragma once

#include "absl/status/statusor.h"
#include "csi.pb.h"
#include "csi/agent_mount.h"

namespace ashlar::csi_driver {

class Node {
 public:
  explicit Node(AgentMount& agent) : agent_(agent) {}  // must outlive this object

  absl::StatusOr<csi::v1::NodeStageVolumeResponse> StageVolume(
      const CallContext& context, const csi::v1::NodeStageVolumeRequest& request);
  absl::StatusOr<csi::v1::NodeUnstageVolumeResponse> UnstageVolume(
      const CallContext& context, const csi::v1::NodeUnstageVolumeRequest& request);
  absl::StatusOr<csi::v1::NodePublishVolumeResponse> PublishVolume(
      const CallContext& context, const csi::v1::NodePublishVolumeRequest& request);
  absl::StatusOr<csi::v1::NodeUnpublishVolumeResponse> UnpublishVolume(
      const CallContext& context, const csi::v1::NodeUnpublishVolumeRequest& request);
  absl::StatusOr<csi::v1::NodeGetVolumeStatsResponse> GetVolumeStats(
      const CallContext& context, const csi::v1::NodeGetVolumeStatsRequest& request);
  absl::StatusOr<csi::v1::NodeExpandVolumeResponse> ExpandVolume(
      const CallContext& context, const csi::v1::NodeExpandVolumeRequest& request);
  absl::StatusOr<csi::v1::NodeGetInfoResponse> GetInfo(const CallContext& context,
                                                       const csi::v1::NodeGetInfoRequest& request);
  absl::StatusOr<csi::v1::NodeGetCapabilitiesResponse> GetCapabilities(
      const CallContext& context, const csi::v1::NodeGetCapabilitiesRequest& request);

 private:
  AgentMount& agent_;
};

}  // namespace ashlar::csi_driver
