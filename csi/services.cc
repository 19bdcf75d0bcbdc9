#include "csi/services.h"

#include "csi/names.h"
#include "csi/request_validation.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"

namespace ashlar::csi_driver {
namespace {

using Context = grpc::CallbackServerContext;
using Reactor = grpc::ServerUnaryReactor;

template <class Target, class Request, class Response>
Reactor* Run(rpc::CallRunner& runner, Context* context, const Request* request, Response* response,
             Target& target,
             absl::StatusOr<Response> (Target::*method)(const CallContext&, const Request&)) {
  return runner.Unary(context, *request, *response,
                      [&target, method](const CallContext& call,
                                        const Request& checked) -> absl::StatusOr<Response> {
                        ASHLAR_RETURN_IF_ERROR(CheckFieldSizes(checked));
                        return (target.*method)(call, checked);
                      });
}

template <class Item, class Request>
grpc::ServerWriteReactor<Item>* RunStream(
    rpc::CallRunner& runner, Context* context, const Request* request, SnapshotMetadata& target,
    absl::Status (SnapshotMetadata::*method)(const CallContext&, const Request&,
                                             rpc::ServerStream<Item>&)) {
  return runner.Stream<Item>(context, *request,
                             [&target, method](const CallContext& call, const Request& checked,
                                               rpc::ServerStream<Item>& stream) -> absl::Status {
                               ASHLAR_RETURN_IF_ERROR(CheckFieldSizes(checked));
                               return (target.*method)(call, checked, stream);
                             });
}

csi::v1::GetPluginCapabilitiesResponse Capabilities(Mode mode, bool metadata) {
  using Service = csi::v1::PluginCapability::Service;
  using Expansion = csi::v1::PluginCapability::VolumeExpansion;
  csi::v1::GetPluginCapabilitiesResponse response;
  if (mode != Mode::kNode) {
    response.add_capabilities()->mutable_service()->set_type(
        Service::SNAPSHOT_ACCESSIBILITY_CONSTRAINTS);
    response.add_capabilities()->mutable_service()->set_type(Service::CONTROLLER_SERVICE);
    response.add_capabilities()->mutable_service()->set_type(Service::GROUP_CONTROLLER_SERVICE);
  }
  if (metadata)
    response.add_capabilities()->mutable_service()->set_type(Service::SNAPSHOT_METADATA_SERVICE);
  response.add_capabilities()->mutable_service()->set_type(
      Service::VOLUME_ACCESSIBILITY_CONSTRAINTS);
  response.add_capabilities()->mutable_volume_expansion()->set_type(Expansion::ONLINE);
  return response;
}

}  // namespace

Reactor* IdentityService::GetPluginInfo(Context* context,
                                        const csi::v1::GetPluginInfoRequest* request,
                                        csi::v1::GetPluginInfoResponse* response) {
  return runner_.Unary(context, *request, *response,
                       [this](const CallContext&, const csi::v1::GetPluginInfoRequest&) {
                         csi::v1::GetPluginInfoResponse info;
                         info.set_name(kDriverName);
                         info.set_vendor_version(version_);
                         return absl::StatusOr<csi::v1::GetPluginInfoResponse>(info);
                       });
}

Reactor* IdentityService::GetPluginCapabilities(
    Context* context, const csi::v1::GetPluginCapabilitiesRequest* request,
    csi::v1::GetPluginCapabilitiesResponse* response) {
  return runner_.Unary(context, *request, *response,
                       [this](const CallContext&, const csi::v1::GetPluginCapabilitiesRequest&) {
                         return absl::StatusOr<csi::v1::GetPluginCapabilitiesResponse>(
                             Capabilities(mode_, metadata_));
                       });
}

Reactor* IdentityService::Probe(Context* context, const csi::v1::ProbeRequest* request,
                                csi::v1::ProbeResponse* response) {
  return runner_.Unary(
      context, *request, *response, [this](const CallContext& call, const csi::v1::ProbeRequest&) {
        const absl::Status ready = ready_();
        if (!ready.ok()) {
          LogWarning("not ready",
                     {{"request", call.request_id}, {"error", std::string(ready.message())}});
        }
        csi::v1::ProbeResponse probe;
        probe.mutable_ready()->set_value(ready.ok());
        return absl::StatusOr<csi::v1::ProbeResponse>(probe);
      });
}

Reactor* ControllerService::CreateVolume(Context* context,
                                         const csi::v1::CreateVolumeRequest* request,
                                         csi::v1::CreateVolumeResponse* response) {
  return Run(runner_, context, request, response, controller_, &Controller::CreateVolume);
}

Reactor* ControllerService::DeleteVolume(Context* context,
                                         const csi::v1::DeleteVolumeRequest* request,
                                         csi::v1::DeleteVolumeResponse* response) {
  return Run(runner_, context, request, response, controller_, &Controller::DeleteVolume);
}

Reactor* ControllerService::ValidateVolumeCapabilities(
    Context* context, const csi::v1::ValidateVolumeCapabilitiesRequest* request,
    csi::v1::ValidateVolumeCapabilitiesResponse* response) {
  return Run(runner_, context, request, response, controller_,
             &Controller::ValidateVolumeCapabilities);
}

Reactor* ControllerService::ListVolumes(Context* context,
                                        const csi::v1::ListVolumesRequest* request,
                                        csi::v1::ListVolumesResponse* response) {
  return Run(runner_, context, request, response, controller_, &Controller::ListVolumes);
}

Reactor* ControllerService::ControllerGetVolume(Context* context,
                                                const csi::v1::ControllerGetVolumeRequest* request,
                                                csi::v1::ControllerGetVolumeResponse* response) {
  return Run(runner_, context, request, response, controller_, &Controller::GetVolume);
}

Reactor* ControllerService::GetCapacity(Context* context,
                                        const csi::v1::GetCapacityRequest* request,
                                        csi::v1::GetCapacityResponse* response) {
  return Run(runner_, context, request, response, controller_, &Controller::GetCapacity);
}

Reactor* ControllerService::ControllerExpandVolume(
    Context* context, const csi::v1::ControllerExpandVolumeRequest* request,
    csi::v1::ControllerExpandVolumeResponse* response) {
  return Run(runner_, context, request, response, controller_, &Controller::ExpandVolume);
}

Reactor* ControllerService::ControllerModifyVolume(
    Context* context, const csi::v1::ControllerModifyVolumeRequest* request,
    csi::v1::ControllerModifyVolumeResponse* response) {
  return Run(runner_, context, request, response, controller_, &Controller::ModifyVolume);
}

Reactor* ControllerService::ControllerGetCapabilities(
    Context* context, const csi::v1::ControllerGetCapabilitiesRequest* request,
    csi::v1::ControllerGetCapabilitiesResponse* response) {
  return Run(runner_, context, request, response, controller_, &Controller::GetCapabilities);
}

Reactor* ControllerService::ControllerGetVolumeHealth(
    Context* context, const csi::v1::ControllerGetVolumeHealthRequest* request,
    csi::v1::ControllerGetVolumeHealthResponse* response) {
  return Run(runner_, context, request, response, controller_, &Controller::GetVolumeHealth);
}

Reactor* ControllerService::ControllerListVolumeHealth(
    Context* context, const csi::v1::ControllerListVolumeHealthRequest* request,
    csi::v1::ControllerListVolumeHealthResponse* response) {
  return Run(runner_, context, request, response, controller_, &Controller::ListVolumeHealth);
}

Reactor* ControllerService::ControllerPublishVolume(
    Context* context, const csi::v1::ControllerPublishVolumeRequest* request,
    csi::v1::ControllerPublishVolumeResponse* response) {
  return Run(runner_, context, request, response, publications_, &Publications::Publish);
}

Reactor* ControllerService::ControllerUnpublishVolume(
    Context* context, const csi::v1::ControllerUnpublishVolumeRequest* request,
    csi::v1::ControllerUnpublishVolumeResponse* response) {
  return Run(runner_, context, request, response, publications_, &Publications::Unpublish);
}

Reactor* ControllerService::CreateSnapshot(Context* context,
                                           const csi::v1::CreateSnapshotRequest* request,
                                           csi::v1::CreateSnapshotResponse* response) {
  return Run(runner_, context, request, response, snapshots_, &Snapshots::CreateSnapshot);
}

Reactor* ControllerService::DeleteSnapshot(Context* context,
                                           const csi::v1::DeleteSnapshotRequest* request,
                                           csi::v1::DeleteSnapshotResponse* response) {
  return Run(runner_, context, request, response, snapshots_, &Snapshots::DeleteSnapshot);
}

Reactor* ControllerService::ListSnapshots(Context* context,
                                          const csi::v1::ListSnapshotsRequest* request,
                                          csi::v1::ListSnapshotsResponse* response) {
  return Run(runner_, context, request, response, snapshots_, &Snapshots::ListSnapshots);
}

Reactor* ControllerService::GetSnapshot(Context* context,
                                        const csi::v1::GetSnapshotRequest* request,
                                        csi::v1::GetSnapshotResponse* response) {
  return Run(runner_, context, request, response, snapshots_, &Snapshots::GetSnapshot);
}

Reactor* GroupControllerService::GroupControllerGetCapabilities(
    Context* context, const csi::v1::GroupControllerGetCapabilitiesRequest* request,
    csi::v1::GroupControllerGetCapabilitiesResponse* response) {
  return Run(runner_, context, request, response, snapshots_, &Snapshots::GroupCapabilities);
}

Reactor* GroupControllerService::CreateVolumeGroupSnapshot(
    Context* context, const csi::v1::CreateVolumeGroupSnapshotRequest* request,
    csi::v1::CreateVolumeGroupSnapshotResponse* response) {
  return Run(runner_, context, request, response, snapshots_, &Snapshots::CreateGroup);
}

Reactor* GroupControllerService::DeleteVolumeGroupSnapshot(
    Context* context, const csi::v1::DeleteVolumeGroupSnapshotRequest* request,
    csi::v1::DeleteVolumeGroupSnapshotResponse* response) {
  return Run(runner_, context, request, response, snapshots_, &Snapshots::DeleteGroup);
}

Reactor* GroupControllerService::GetVolumeGroupSnapshot(
    Context* context, const csi::v1::GetVolumeGroupSnapshotRequest* request,
    csi::v1::GetVolumeGroupSnapshotResponse* response) {
  return Run(runner_, context, request, response, snapshots_, &Snapshots::GetGroup);
}

grpc::ServerWriteReactor<csi::v1::GetMetadataAllocatedResponse>*
SnapshotMetadataService::GetMetadataAllocated(Context* context,
                                              const csi::v1::GetMetadataAllocatedRequest* request) {
  return RunStream<csi::v1::GetMetadataAllocatedResponse>(runner_, context, request, metadata_,
                                                          &SnapshotMetadata::GetAllocated);
}

grpc::ServerWriteReactor<csi::v1::GetMetadataDeltaResponse>*
SnapshotMetadataService::GetMetadataDelta(Context* context,
                                          const csi::v1::GetMetadataDeltaRequest* request) {
  return RunStream<csi::v1::GetMetadataDeltaResponse>(runner_, context, request, metadata_,
                                                      &SnapshotMetadata::GetDelta);
}

Reactor* NodeService::NodeStageVolume(Context* context,
                                      const csi::v1::NodeStageVolumeRequest* request,
                                      csi::v1::NodeStageVolumeResponse* response) {
  return Run(runner_, context, request, response, node_, &Node::StageVolume);
}

Reactor* NodeService::NodeUnstageVolume(Context* context,
                                        const csi::v1::NodeUnstageVolumeRequest* request,
                                        csi::v1::NodeUnstageVolumeResponse* response) {
  return Run(runner_, context, request, response, node_, &Node::UnstageVolume);
}

Reactor* NodeService::NodePublishVolume(Context* context,
                                        const csi::v1::NodePublishVolumeRequest* request,
                                        csi::v1::NodePublishVolumeResponse* response) {
  return Run(runner_, context, request, response, node_, &Node::PublishVolume);
}

Reactor* NodeService::NodeUnpublishVolume(Context* context,
                                          const csi::v1::NodeUnpublishVolumeRequest* request,
                                          csi::v1::NodeUnpublishVolumeResponse* response) {
  return Run(runner_, context, request, response, node_, &Node::UnpublishVolume);
}

Reactor* NodeService::NodeGetVolumeStats(Context* context,
                                         const csi::v1::NodeGetVolumeStatsRequest* request,
                                         csi::v1::NodeGetVolumeStatsResponse* response) {
  return Run(runner_, context, request, response, node_, &Node::GetVolumeStats);
}

Reactor* NodeService::NodeGetVolumeHealth(Context* context,
                                          const csi::v1::NodeGetVolumeHealthRequest* request,
                                          csi::v1::NodeGetVolumeHealthResponse* response) {
  return Run(runner_, context, request, response, node_, &Node::GetVolumeHealth);
}

Reactor* NodeService::NodeGetStorageHealth(Context* context,
                                           const csi::v1::NodeGetStorageHealthRequest* request,
                                           csi::v1::NodeGetStorageHealthResponse* response) {
  return Run(runner_, context, request, response, node_, &Node::GetStorageHealth);
}

Reactor* NodeService::NodeExpandVolume(Context* context,
                                       const csi::v1::NodeExpandVolumeRequest* request,
                                       csi::v1::NodeExpandVolumeResponse* response) {
  return Run(runner_, context, request, response, node_, &Node::ExpandVolume);
}

Reactor* NodeService::NodeGetCapabilities(Context* context,
                                          const csi::v1::NodeGetCapabilitiesRequest* request,
                                          csi::v1::NodeGetCapabilitiesResponse* response) {
  return Run(runner_, context, request, response, node_, &Node::GetCapabilities);
}

Reactor* NodeService::NodeGetInfo(Context* context, const csi::v1::NodeGetInfoRequest* request,
                                  csi::v1::NodeGetInfoResponse* response) {
  return Run(runner_, context, request, response, node_, &Node::GetInfo);
}

}  // namespace ashlar::csi_driver
