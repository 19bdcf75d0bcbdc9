// Node: the node service of CSI v1.13, translated into calls to the node agent, which does what
// needs privileges. Holds no state and no Kubernetes credentials. Thread-safe.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "csi.pb.h"
#include "csi/agent_mount.h"

namespace ashlar::csi_driver {

struct NodeOptions {
  // Segments of the node's topology beside its name: labels such as topology.kubernetes.io/zone.
  std::vector<std::pair<std::string, std::string>> topology;
  // Whether to announce VOLUME_MOUNT_GROUP. A kubelet then leaves fsGroup to the driver:
  // docs/decisions/0008-who-gives-files-to-a-group.md.
  bool mount_group = false;
};

class Node {
 public:
  // `agent` must outlive this object.
  explicit Node(AgentMount& agent, NodeOptions options = {})
      : agent_(agent), options_(std::move(options)) {}

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
  absl::StatusOr<csi::v1::NodeGetVolumeHealthResponse> GetVolumeHealth(
      const CallContext& context, const csi::v1::NodeGetVolumeHealthRequest& request);
  absl::StatusOr<csi::v1::NodeGetStorageHealthResponse> GetStorageHealth(
      const CallContext& context, const csi::v1::NodeGetStorageHealthRequest& request);
  absl::StatusOr<csi::v1::NodeExpandVolumeResponse> ExpandVolume(
      const CallContext& context, const csi::v1::NodeExpandVolumeRequest& request);
  absl::StatusOr<csi::v1::NodeGetInfoResponse> GetInfo(const CallContext& context,
                                                       const csi::v1::NodeGetInfoRequest& request);
  absl::StatusOr<csi::v1::NodeGetCapabilitiesResponse> GetCapabilities(
      const CallContext& context, const csi::v1::NodeGetCapabilitiesRequest& request);

 private:
  AgentMount& agent_;
  const NodeOptions options_;
};

}  // namespace ashlar::csi_driver
