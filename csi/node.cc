#include "csi/node.h"

#include "absl/strings/str_cat.h"
#include "csi/names.h"
#include "csi/parameters.h"
#include "csi/request_validation.h"
#include "csi/volume_health.h"
#include "lib/base/status_macros.h"

namespace ashlar::csi_driver {
namespace {

using Stub = AgentMount::Stub;

agent::v1::VolumeMode ModeOf(const Access& access) {
  return access.block ? agent::v1::VOLUME_MODE_BLOCK : agent::v1::VOLUME_MODE_FILESYSTEM;
}

absl::StatusOr<Access> RequiredAccess(bool present, const csi::v1::VolumeCapability& capability) {
  if (!present) return absl::InvalidArgumentError("volume_capability is required");
  return ReadAccess(capability);
}

absl::Status CheckOptionalPath(absl::string_view field, const std::string& path) {
  return path.empty() ? absl::OkStatus() : CheckPath(field, path);
}

// Kubernetes says so of a volume that stands in the spec of a pod; without CSIDriver's
// podInfoOnMount it would not.
bool IsInline(const csi::v1::NodePublishVolumeRequest& request) {
  const auto said = request.volume_context().find("csi.storage.k8s.io/ephemeral");
  return said != request.volume_context().end() && said->second == "true";
}

absl::StatusOr<agent::v1::InlineVolume> ReadInlineVolume(const StringMap& attributes,
                                                         const Access& access) {
  if (access.block) return absl::InvalidArgumentError("an inline volume can't be a block device");
  ASHLAR_ASSIGN_OR_RETURN(const Parameters parameters,
                          ReadParameters(ParameterPlace::kInlineVolume, attributes));
  ASHLAR_RETURN_IF_ERROR(CheckRequired(ParameterPlace::kInlineVolume, attributes));
  agent::v1::InlineVolume volume;
  volume.set_pool(parameters.pool);
  volume.set_size_bytes(parameters.size_bytes);
  volume.set_fs_type(access.fs_type);
  if (!parameters.near) return volume;
  agent::v1::Near& near = *volume.mutable_near();
  near.set_level(parameters.near_level.empty() ? "Switch" : parameters.near_level);
  near.set_required(parameters.near_enforcement == "Required");
  // Who the pod is Kubernetes says, as CSIDriver's podInfoOnMount asks for it.
  for (const auto& [name, value] : attributes) {
    if (name == "csi.storage.k8s.io/pod.namespace") near.set_pod_namespace(value);
    if (name == "csi.storage.k8s.io/pod.name") near.set_pod_name(value);
    if (name == "csi.storage.k8s.io/pod.uid") near.set_pod_uid(value);
  }
  return volume;
}

void AddUsage(csi::v1::VolumeUsage::Unit unit, int64_t total, int64_t available, int64_t used,
              csi::v1::NodeGetVolumeStatsResponse& response) {
  csi::v1::VolumeUsage& usage = *response.add_usage();
  usage.set_unit(unit);
  usage.set_total(total);
  usage.set_available(available);
  usage.set_used(used);
}

}  // namespace

absl::StatusOr<csi::v1::NodeStageVolumeResponse> Node::StageVolume(
    const CallContext& context, const csi::v1::NodeStageVolumeRequest& request) {
  ASHLAR_RETURN_IF_ERROR(CheckVolumeId(request.volume_id()));
  ASHLAR_RETURN_IF_ERROR(CheckPath("staging_target_path", request.staging_target_path()));
  ASHLAR_ASSIGN_OR_RETURN(const Access access, RequiredAccess(request.has_volume_capability(),
                                                              request.volume_capability()));
  agent::v1::StageVolumeRequest stage;
  stage.set_volume_id(request.volume_id());
  stage.set_staging_path(request.staging_target_path());
  stage.set_mode(ModeOf(access));
  stage.set_fs_type(access.fs_type);
  for (const std::string& flag : access.mount_flags) stage.add_mount_flags(flag);
  stage.set_read_only(access.read_only);
  ASHLAR_RETURN_IF_ERROR(agent_.Call(context, &Stub::StageVolume, stage).status());
  return csi::v1::NodeStageVolumeResponse();
}

absl::StatusOr<csi::v1::NodeUnstageVolumeResponse> Node::UnstageVolume(
    const CallContext& context, const csi::v1::NodeUnstageVolumeRequest& request) {
  ASHLAR_RETURN_IF_ERROR(CheckVolumeId(request.volume_id()));
  ASHLAR_RETURN_IF_ERROR(CheckPath("staging_target_path", request.staging_target_path()));
  agent::v1::UnstageVolumeRequest unstage;
  unstage.set_volume_id(request.volume_id());
  unstage.set_staging_path(request.staging_target_path());
  ASHLAR_RETURN_IF_ERROR(agent_.Call(context, &Stub::UnstageVolume, unstage).status());
  return csi::v1::NodeUnstageVolumeResponse();
}

absl::StatusOr<csi::v1::NodePublishVolumeResponse> Node::PublishVolume(
    const CallContext& context, const csi::v1::NodePublishVolumeRequest& request) {
  ASHLAR_RETURN_IF_ERROR(CheckVolumeId(request.volume_id()));
  ASHLAR_RETURN_IF_ERROR(CheckPath("target_path", request.target_path()));
  ASHLAR_ASSIGN_OR_RETURN(const Access access, RequiredAccess(request.has_volume_capability(),
                                                              request.volume_capability()));
  agent::v1::PublishVolumeRequest publish;
  publish.set_volume_id(request.volume_id());
  if (IsInline(request)) {
    ASHLAR_ASSIGN_OR_RETURN(*publish.mutable_inline_volume(),
                            ReadInlineVolume(request.volume_context(), access));
  } else if (request.staging_target_path().empty()) {
    // The code that the specification names for this case.
    return absl::FailedPreconditionError("staging_target_path is required: stage the volume first");
  } else {
    ASHLAR_RETURN_IF_ERROR(CheckPath("staging_target_path", request.staging_target_path()));
    publish.set_staging_path(request.staging_target_path());
    if (const auto wish = request.volume_context().find(kGpuDirectContext);
        wish != request.volume_context().end())
      publish.set_gpu_direct(wish->second);
  }
  publish.set_target_path(request.target_path());
  publish.set_mode(ModeOf(access));
  publish.set_read_only(request.readonly() || access.read_only);
  // SINGLE_NODE_WRITER may have several target paths: docs/decisions/0007-writers-of-a-node.md.
  publish.set_single_writer(access.single_writer);
  for (const std::string& flag : access.mount_flags) publish.add_mount_flags(flag);
  if (access.mount_group) publish.set_mount_group(*access.mount_group);
  ASHLAR_RETURN_IF_ERROR(agent_.Call(context, &Stub::PublishVolume, publish).status());
  return csi::v1::NodePublishVolumeResponse();
}

absl::StatusOr<csi::v1::NodeUnpublishVolumeResponse> Node::UnpublishVolume(
    const CallContext& context, const csi::v1::NodeUnpublishVolumeRequest& request) {
  ASHLAR_RETURN_IF_ERROR(CheckVolumeId(request.volume_id()));
  ASHLAR_RETURN_IF_ERROR(CheckPath("target_path", request.target_path()));
  agent::v1::UnpublishVolumeRequest unpublish;
  unpublish.set_volume_id(request.volume_id());
  unpublish.set_target_path(request.target_path());
  ASHLAR_RETURN_IF_ERROR(agent_.Call(context, &Stub::UnpublishVolume, unpublish).status());
  return csi::v1::NodeUnpublishVolumeResponse();
}

absl::StatusOr<csi::v1::NodeGetVolumeStatsResponse> Node::GetVolumeStats(
    const CallContext& context, const csi::v1::NodeGetVolumeStatsRequest& request) {
  ASHLAR_RETURN_IF_ERROR(CheckVolumeId(request.volume_id()));
  ASHLAR_RETURN_IF_ERROR(CheckVolumePath(request.volume_path()));
  ASHLAR_RETURN_IF_ERROR(CheckOptionalPath("staging_target_path", request.staging_target_path()));
  agent::v1::GetVolumeStatsRequest ask;
  ask.set_volume_id(request.volume_id());
  ask.set_volume_path(request.volume_path());
  ASHLAR_ASSIGN_OR_RETURN(const agent::v1::GetVolumeStatsResponse stats,
                          agent_.Call(context, &Stub::GetVolumeStats, ask));
  csi::v1::NodeGetVolumeStatsResponse response;
  AddUsage(csi::v1::VolumeUsage::BYTES, stats.total_bytes(), stats.available_bytes(),
           stats.used_bytes(), response);
  if (stats.mode() != agent::v1::VOLUME_MODE_BLOCK) {
    AddUsage(csi::v1::VolumeUsage::INODES, stats.total_inodes(), stats.available_inodes(),
             stats.used_inodes(), response);
  }
  SetVolumeCondition(
      {stats.abnormal(), stats.abnormal() ? stats.message() : "the volume is healthy"}, response);
  return response;
}

absl::StatusOr<csi::v1::NodeGetVolumeHealthResponse> Node::GetVolumeHealth(
    const CallContext& context, const csi::v1::NodeGetVolumeHealthRequest& request) {
  ASHLAR_RETURN_IF_ERROR(CheckVolumeId(request.volume_id()));
  ASHLAR_RETURN_IF_ERROR(CheckOptionalPath("staging_target_path", request.staging_target_path()));
  ASHLAR_RETURN_IF_ERROR(CheckOptionalPath("volume_publish_path", request.volume_publish_path()));
  agent::v1::GetHealthRequest ask;
  ask.set_volume_id(request.volume_id());
  ASHLAR_ASSIGN_OR_RETURN(const agent::v1::GetHealthResponse health,
                          agent_.Call(context, &Stub::GetHealth, ask));
  csi::v1::NodeGetVolumeHealthResponse response;
  *response.mutable_volume_health() = HealthOf(health.volume());
  return response;
}

absl::StatusOr<csi::v1::NodeGetStorageHealthResponse> Node::GetStorageHealth(
    const CallContext& context, const csi::v1::NodeGetStorageHealthRequest&) {
  ASHLAR_ASSIGN_OR_RETURN(const agent::v1::GetHealthResponse health,
                          agent_.Call(context, &Stub::GetHealth, agent::v1::GetHealthRequest()));
  return StorageHealthOf(health);
}

absl::StatusOr<csi::v1::NodeExpandVolumeResponse> Node::ExpandVolume(
    const CallContext& context, const csi::v1::NodeExpandVolumeRequest& request) {
  ASHLAR_RETURN_IF_ERROR(CheckVolumeId(request.volume_id()));
  ASHLAR_RETURN_IF_ERROR(CheckVolumePath(request.volume_path()));
  ASHLAR_RETURN_IF_ERROR(CheckOptionalPath("staging_target_path", request.staging_target_path()));
  if (request.has_volume_capability()) {
    ASHLAR_RETURN_IF_ERROR(ReadAccess(request.volume_capability()).status());
  }
  agent::v1::ExpandVolumeRequest expand;
  expand.set_volume_id(request.volume_id());
  expand.set_volume_path(request.volume_path());
  if (request.has_capacity_range()) {
    ASHLAR_ASSIGN_OR_RETURN(const SizeRange range, ReadSize(request.capacity_range(), ""));
    expand.set_size_bytes(range.required_bytes);
  }
  ASHLAR_ASSIGN_OR_RETURN(const agent::v1::ExpandVolumeResponse expanded,
                          agent_.Call(context, &Stub::ExpandVolume, expand));
  csi::v1::NodeExpandVolumeResponse response;
  response.set_capacity_bytes(expanded.size_bytes());
  return response;
}

absl::StatusOr<csi::v1::NodeGetInfoResponse> Node::GetInfo(const CallContext& context,
                                                           const csi::v1::NodeGetInfoRequest&) {
  ASHLAR_ASSIGN_OR_RETURN(const agent::v1::GetNodeResponse node, agent_.GetNode(context));
  csi::v1::NodeGetInfoResponse response;
  response.set_node_id(node.node());
  response.set_max_volumes_per_node(node.max_volumes());
  auto& segments = *response.mutable_accessible_topology()->mutable_segments();
  segments.insert(options_.topology.begin(), options_.topology.end());
  segments[kTopologyKey] = node.node();
  return response;
}

absl::StatusOr<csi::v1::NodeGetCapabilitiesResponse> Node::GetCapabilities(
    const CallContext&, const csi::v1::NodeGetCapabilitiesRequest&) {
  using Capability = csi::v1::NodeServiceCapability::RPC;
  csi::v1::NodeGetCapabilitiesResponse response;
  const auto add = [&](Capability::Type type) {
    response.add_capabilities()->mutable_rpc()->set_type(type);
  };
  for (const auto type :
       {Capability::STAGE_UNSTAGE_VOLUME, Capability::GET_VOLUME_STATS, Capability::EXPAND_VOLUME,
        kNodeVolumeCondition, Capability::GET_VOLUME_HEALTH, Capability::GET_STORAGE_HEALTH,
        Capability::SINGLE_NODE_MULTI_WRITER}) {
    add(type);
  }
  if (options_.mount_group) add(Capability::VOLUME_MOUNT_GROUP);
  return response;
}

}  // namespace ashlar::csi_driver
