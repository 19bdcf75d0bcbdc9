#include "csi/publications.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "ashlar/v1alpha1/pool.pb.h"
#include "csi/carve_outcome.h"
#include "csi/request_validation.h"
#include "lib/api/kinds.h"
#include "lib/base/status_macros.h"

namespace ashlar::csi_driver {
namespace {

using v1alpha1::Volume;

constexpr char kPublished[] = "ashlar.dev/csi-published";  // how: "block writer" and the like

std::string Describe(const Access& access, bool read_only) {
  return absl::StrCat(access.block ? "block" : "mount", " ", read_only ? "reader" : "writer");
}

std::string PublishedAs(const Volume& volume) {
  const auto& annotations = volume.metadata().annotations();
  const auto found = annotations.find(kPublished);
  return found == annotations.end() ? std::string() : found->second;
}

absl::Status CheckAccess(const Volume& volume, const Access& access) {
  const bool block = volume.spec().mode() == "Block";
  if (access.block != block) {
    return absl::InvalidArgumentError(
        absl::StrCat("volume_capability: the volume has mode ", volume.spec().mode()));
  }
  if (!access.fs_type.empty() && access.fs_type != volume.spec().fs_type()) {
    return absl::InvalidArgumentError(
        absl::StrCat("volume_capability: the volume has filesystem ", volume.spec().fs_type()));
  }
  return absl::OkStatus();
}

}  // namespace

bool IsPublished(const Volume& volume) { return !PublishedAs(volume).empty(); }

std::string PublishedNode(const Volume& volume) {
  const k8s::Condition* used = FindCondition(volume, "Published");
  const bool in_use = used != nullptr && used->status() == "True";
  return in_use || IsPublished(volume) ? volume.spec().node_name() : std::string();
}

bool Publications::IsNode(const std::string& node) const {
  const auto objects = pools_.List();
  return std::any_of(objects.begin(), objects.end(), [&](const runtime::ObjectPtr& object) {
    const auto pool = api::FromJson<v1alpha1::Pool>(*object);
    if (!pool.ok()) return false;
    const auto& nodes = pool->status().nodes();
    return std::any_of(nodes.begin(), nodes.end(),
                       [&](const v1alpha1::PoolNodeStatus& one) { return one.node() == node; });
  });
}

absl::StatusOr<csi::v1::ControllerPublishVolumeResponse> Publications::Publish(
    const CallContext& context, const csi::v1::ControllerPublishVolumeRequest& request) {
  if (request.volume_id().empty()) return CheckVolumeId(request.volume_id());
  if (request.node_id().empty()) return absl::InvalidArgumentError("node_id is required");
  if (!request.has_volume_capability()) {
    return absl::InvalidArgumentError("volume_capability is required");
  }
  ASHLAR_ASSIGN_OR_RETURN(const Access access, ReadAccess(request.volume_capability()));
  ASHLAR_RETURN_IF_ERROR(CheckVolumeId(request.volume_id()));
  const std::string wanted = Describe(access, access.read_only || request.readonly());
  const auto publish = [&](const Volume& volume) -> absl::StatusOr<std::string> {
    ASHLAR_RETURN_IF_ERROR(CheckAccess(volume, access));
    const std::string& node = volume.spec().node_name();
    if (node != request.node_id()) {
      if (!IsNode(request.node_id())) {
        return absl::NotFoundError(absl::StrCat("there is no node '", request.node_id(), "'"));
      }
      return absl::FailedPreconditionError(
          absl::StrCat("volume ", request.volume_id(), " lies on node ", node));
    }
    if (CarvedBytes(volume) == 0 || volume.metadata().has_deletion_timestamp()) {
      return absl::FailedPreconditionError(
          absl::StrCat("volume ", request.volume_id(), ": ", DescribeConditions(volume)));
    }
    const std::string present = PublishedAs(volume);
    if (present.empty() || present == wanted) return wanted;
    return absl::AlreadyExistsError(absl::StrCat("volume ", request.volume_id(),
                                                 " is published at ", node, " as ", present,
                                                 ", asked for is ", wanted));
  };
  ASHLAR_RETURN_IF_ERROR(volumes_.SetAnnotation(context, request.volume_id(), kPublished, publish));
  return csi::v1::ControllerPublishVolumeResponse();
}

absl::StatusOr<csi::v1::ControllerUnpublishVolumeResponse> Publications::Unpublish(
    const CallContext& context, const csi::v1::ControllerUnpublishVolumeRequest& request) {
  csi::v1::ControllerUnpublishVolumeResponse done;
  const absl::Status id = CheckVolumeId(request.volume_id());
  if (absl::IsNotFound(id)) return done;
  ASHLAR_RETURN_IF_ERROR(id);
  const absl::Status cleared =
      volumes_.SetAnnotation(context, request.volume_id(), kPublished,
                             [&](const Volume& volume) -> absl::StatusOr<std::string> {
                               const bool here = request.node_id().empty() ||
                                                 request.node_id() == volume.spec().node_name();
                               return here ? std::string() : PublishedAs(volume);
                             });
  if (!absl::IsNotFound(cleared)) ASHLAR_RETURN_IF_ERROR(cleared);
  return done;
}

}  // namespace ashlar::csi_driver
