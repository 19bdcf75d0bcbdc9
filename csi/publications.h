// Publications: ControllerPublishVolume and its reverse. A volume lies on its node already, so
// there is nothing to attach: the call checks that the node is the volume's and remembers, on the
// Volume object, that the volume is published there. Kubernetes never calls it (the CSIDriver
// object says attachRequired: false); other orchestrators may. Thread-safe.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "csi.pb.h"
#include "csi/volume_objects.h"
#include "lib/runtime/cache.h"

namespace ashlar::csi_driver {

class Publications {
 public:
  // Both must outlive this object. `pools` is a cache of the kind Pool.
  Publications(VolumeObjects& volumes, const runtime::Cache& pools)
      : volumes_(volumes), pools_(pools) {}

  // NotFound: the volume, or the node. AlreadyExists: published there for other access.
  // FailedPrecondition: the volume lies on another node, which the message names, or is not carved.
  absl::StatusOr<csi::v1::ControllerPublishVolumeResponse> Publish(
      const CallContext& context, const csi::v1::ControllerPublishVolumeRequest& request);
  // A volume or node that is not there is not published: success.
  absl::StatusOr<csi::v1::ControllerUnpublishVolumeResponse> Unpublish(
      const CallContext& context, const csi::v1::ControllerUnpublishVolumeRequest& request);

 private:
  bool IsNode(const std::string& node) const;

  VolumeObjects& volumes_;
  const runtime::Cache& pools_;
};

// Whether ControllerPublishVolume was called and not reversed.
bool IsPublished(const v1alpha1::Volume& volume);

// The node of a volume that is published, or that a pod of the node uses as its agent says; or
// empty.
std::string PublishedNode(const v1alpha1::Volume& volume);

}  // namespace ashlar::csi_driver
