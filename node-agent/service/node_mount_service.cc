#include "node-agent/service/node_mount_service.h"

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"
#include "node-agent/service/convert.h"

namespace ashlar::node_agent {

namespace pb = agent::v1;

namespace {

absl::StatusOr<InlineVolumeArgs> InlineFromProto(const pb::PublishVolumeRequest& publish) {
  if (publish.mode() != pb::VOLUME_MODE_FILESYSTEM)
    return absl::InvalidArgumentError("mode: an inline volume has a filesystem");
  if (!publish.staging_path().empty())
    return absl::InvalidArgumentError(absl::StrCat("staging_path is \"", publish.staging_path(),
                                                   "\": an inline volume has none"));
  InlineVolumeArgs args;
  args.id = publish.volume_id();
  args.target_path = publish.target_path();
  args.pool = publish.inline_volume().pool();
  args.size_bytes = publish.inline_volume().size_bytes();
  args.fs_type = publish.inline_volume().fs_type();
  args.mount_flags.assign(publish.mount_flags().begin(), publish.mount_flags().end());
  args.read_only = publish.read_only();
  if (publish.has_mount_group()) args.mount_group = publish.mount_group();
  if (!publish.inline_volume().has_near()) return args;
  const pb::Near& near = publish.inline_volume().near();
  if (near.pod_namespace().empty() || near.pod_name().empty())
    return absl::InvalidArgumentError(
        "inline_volume.near: pod_namespace and pod_name are needed, as it is the pod's GPUs that "
        "it is to be near to");
  args.near = NearArgs{
      {near.pod_namespace(), near.pod_name(), near.pod_uid()}, near.level(), near.required()};
  return args;
}

constexpr char kGpuDirectRequired[] = "Required";

absl::Status CheckGpuDirect(const std::string& wish) {
  if (wish.empty() || wish == "Preferred" || wish == kGpuDirectRequired) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("gpu_direct is \"", wish, "\": Preferred and Required are accepted"));
}

}  // namespace

absl::Status NodeMountService::PublishChecked(const CallContext& call, const PublishArgs& args,
                                              bool direct_required) {
  ASHLAR_RETURN_IF_ERROR(volumes_.Publish(call, args));
  if (!direct_required) return absl::OkStatus();
  const DirectWay way = feed_.DirectWayOf(args.id);
  if (way.mode != kCompatibilityMode) return absl::OkStatus();
  ASHLAR_RETURN_IF_ERROR(volumes_.Unpublish(call, args.id, args.target_path));
  return absl::FailedPreconditionError(absl::StrCat(
      "gpuDirect is Required, and cuFile would take its compatibility mode for volume ", args.id,
      ": ", way.message));
}

absl::Status NodeMountService::Stage(const CallContext& call, const StageArgs& args) {
  const absl::Status staged = volumes_.Stage(call, args);
  if (!absl::IsFailedPrecondition(staged)) return staged;
  const std::string claim = claims_.HolderOf(args.id);
  if (claim.empty()) return staged;
  return absl::FailedPreconditionError(
      absl::StrCat("volume ", args.id, " is in use by pods through ResourceClaim ", claim,
                   ": its PersistentVolumeClaim gets it when they have ended (",
                   std::string(staged.message()), ")"));
}

void NodeMountService::PublicationsChanged(const CallContext& call) {
  // Limits hold when the call returns; if its time ends before, they will soon.
  if (attributes_.AnyLimits()) limits_.Refresh(call).IgnoreError();
  feed_.Poke();
}

grpc::ServerUnaryReactor* NodeMountService::GetNode(grpc::CallbackServerContext* context,
                                                    const pb::GetNodeRequest* request,
                                                    pb::GetNodeResponse* response) {
  return runner_.Unary(
      context, *request, *response,
      [this](const CallContext&, const pb::GetNodeRequest&) -> absl::StatusOr<pb::GetNodeResponse> {
        pb::GetNodeResponse node;
        node.set_node(node_);
        node.set_max_volumes(max_volumes_);
        return node;
      });
}

grpc::ServerUnaryReactor* NodeMountService::StageVolume(grpc::CallbackServerContext* context,
                                                        const pb::StageVolumeRequest* request,
                                                        pb::StageVolumeResponse* response) {
  return runner_.Unary(
      context, *request, *response,
      [this](const CallContext& call,
             const pb::StageVolumeRequest& stage) -> absl::StatusOr<pb::StageVolumeResponse> {
        StageArgs args{stage.volume_id(),
                       stage.staging_path(),
                       {},
                       stage.fs_type(),
                       {stage.mount_flags().begin(), stage.mount_flags().end()}};
        args.read_only = stage.read_only();
        ASHLAR_ASSIGN_OR_RETURN(args.mode, ModeFromProto(stage.mode()));
        ASHLAR_RETURN_IF_ERROR(metrics_.Measure("stage", BackendOf(stage.volume_id()),
                                                [&] { return Stage(call, args); }));
        feed_.Poke();
        return pb::StageVolumeResponse();
      });
}

grpc::ServerUnaryReactor* NodeMountService::UnstageVolume(grpc::CallbackServerContext* context,
                                                          const pb::UnstageVolumeRequest* request,
                                                          pb::UnstageVolumeResponse* response) {
  return runner_.Unary(
      context, *request, *response,
      [this](const CallContext& call,
             const pb::UnstageVolumeRequest& unstage) -> absl::StatusOr<pb::UnstageVolumeResponse> {
        ASHLAR_RETURN_IF_ERROR(metrics_.Measure("unstage", BackendOf(unstage.volume_id()), [&] {
          return volumes_.Unstage(call, unstage.volume_id(), unstage.staging_path());
        }));
        feed_.Poke();
        return pb::UnstageVolumeResponse();
      });
}

grpc::ServerUnaryReactor* NodeMountService::PublishVolume(grpc::CallbackServerContext* context,
                                                          const pb::PublishVolumeRequest* request,
                                                          pb::PublishVolumeResponse* response) {
  return runner_.Unary(
      context, *request, *response,
      [this](const CallContext& call,
             const pb::PublishVolumeRequest& publish) -> absl::StatusOr<pb::PublishVolumeResponse> {
        if (publish.has_inline_volume()) {
          ASHLAR_ASSIGN_OR_RETURN(const InlineVolumeArgs args, InlineFromProto(publish));
          const absl::Status published =
              metrics_.Measure("publish_inline", metrics_.BackendOf(args.pool),
                               [&] { return inline_volumes_.Publish(call, args); });
          PublicationsChanged(call);
          ASHLAR_RETURN_IF_ERROR(published);
          return pb::PublishVolumeResponse();
        }
        PublishArgs args;
        args.id = publish.volume_id();
        args.staging_path = publish.staging_path();
        args.target_path = publish.target_path();
        args.read_only = publish.read_only();
        args.single_writer = publish.single_writer();
        if (publish.has_mount_group()) args.mount_group = publish.mount_group();
        args.mount_flags.assign(publish.mount_flags().begin(), publish.mount_flags().end());
        ASHLAR_ASSIGN_OR_RETURN(args.mode, ModeFromProto(publish.mode()));
        ASHLAR_RETURN_IF_ERROR(CheckGpuDirect(publish.gpu_direct()));
        args.gpu_direct = !publish.gpu_direct().empty();
        const absl::Status published = metrics_.Measure(
            "publish", BackendOf(publish.volume_id()),
            [&] { return PublishChecked(call, args, publish.gpu_direct() == kGpuDirectRequired); });
        PublicationsChanged(call);
        ASHLAR_RETURN_IF_ERROR(published);
        return pb::PublishVolumeResponse();
      });
}

grpc::ServerUnaryReactor* NodeMountService::UnpublishVolume(
    grpc::CallbackServerContext* context, const pb::UnpublishVolumeRequest* request,
    pb::UnpublishVolumeResponse* response) {
  return runner_.Unary(
      context, *request, *response,
      [this](const CallContext& call, const pb::UnpublishVolumeRequest& unpublish)
          -> absl::StatusOr<pb::UnpublishVolumeResponse> {
        ASHLAR_RETURN_IF_ERROR(metrics_.Measure("unpublish", BackendOf(unpublish.volume_id()), [&] {
          return inline_volumes_.Unpublish(call, unpublish.volume_id(), unpublish.target_path());
        }));
        PublicationsChanged(call);
        return pb::UnpublishVolumeResponse();
      });
}

grpc::ServerUnaryReactor* NodeMountService::ExpandVolume(grpc::CallbackServerContext* context,
                                                         const pb::ExpandVolumeRequest* request,
                                                         pb::ExpandVolumeResponse* response) {
  return runner_.Unary(
      context, *request, *response,
      [this](const CallContext& call,
             const pb::ExpandVolumeRequest& expand) -> absl::StatusOr<pb::ExpandVolumeResponse> {
        ASHLAR_ASSIGN_OR_RETURN(const int64_t size,
                                metrics_.Measure("expand", BackendOf(expand.volume_id()), [&] {
                                  return volumes_.Expand(call, expand.volume_id(),
                                                         expand.volume_path(), expand.size_bytes());
                                }));
        pb::ExpandVolumeResponse answer;
        answer.set_size_bytes(size);
        return answer;
      });
}

grpc::ServerUnaryReactor* NodeMountService::GetVolumeStats(grpc::CallbackServerContext* context,
                                                           const pb::GetVolumeStatsRequest* request,
                                                           pb::GetVolumeStatsResponse* response) {
  return runner_.Unary(
      context, *request, *response,
      [this](const CallContext&,
             const pb::GetVolumeStatsRequest& ask) -> absl::StatusOr<pb::GetVolumeStatsResponse> {
        ASHLAR_ASSIGN_OR_RETURN(const VolumeStats stats,
                                volumes_.Stats(ask.volume_id(), ask.volume_path()));
        pb::GetVolumeStatsResponse answer;
        answer.set_mode(ModeToProto(stats.mode));
        answer.set_total_bytes(stats.total_bytes);
        answer.set_available_bytes(stats.available_bytes);
        answer.set_used_bytes(stats.used_bytes);
        answer.set_total_inodes(stats.total_inodes);
        answer.set_available_inodes(stats.available_inodes);
        answer.set_used_inodes(stats.used_inodes);
        answer.set_abnormal(!stats.abnormal.reason.empty());
        answer.set_message(stats.abnormal.message);
        return answer;
      });
}

grpc::ServerUnaryReactor* NodeMountService::GetHealth(grpc::CallbackServerContext* context,
                                                      const pb::GetHealthRequest* request,
                                                      pb::GetHealthResponse* response) {
  return runner_.Unary(
      context, *request, *response,
      [this](const CallContext&,
             const pb::GetHealthRequest& ask) -> absl::StatusOr<pb::GetHealthResponse> {
        pb::GetHealthResponse answer;
        for (const PoolStatus& pool : feed_.Latest()->pools) *answer.add_pools() = ToProto(pool);
        if (ask.volume_id().empty()) return answer;
        const std::optional<VolumeStatus> volume = volumes_.Find(ask.volume_id());
        if (!volume)
          return absl::NotFoundError(
              absl::StrCat("there is no volume ", ask.volume_id(), " on this node"));
        *answer.mutable_volume() = ToProto(*volume);
        return answer;
      });
}

}  // namespace ashlar::node_agent
