// The gRPC side of the driver: binds the services of csi.v1 to the objects that do the work. Every
// request is checked against the size limits of the specification first.
#pragma once

#include <functional>
#include <string>

#include "csi.grpc.pb.h"
#include "csi/controller.h"
#include "csi/node.h"
#include "csi/publications.h"
#include "csi/snapshot_metadata.h"
#include "csi/snapshots.h"
#include "lib/rpc/call_runner.h"

namespace ashlar::csi_driver {

// Which services one process serves.
enum class Mode { kController, kNode, kAll };

// All of them borrow the runner and what they bind; both must outlive them.
class IdentityService final : public csi::v1::Identity::CallbackService {
 public:
  // `metadata`: SnapshotMetadata is served. `ready` answers OK, or why calls would fail.
  IdentityService(Mode mode, bool metadata, std::string version,
                  std::function<absl::Status()> ready, rpc::CallRunner& runner)
      : mode_(mode),
        metadata_(metadata),
        version_(std::move(version)),
        ready_(std::move(ready)),
        runner_(runner) {}

  grpc::ServerUnaryReactor* GetPluginInfo(grpc::CallbackServerContext* context,
                                          const csi::v1::GetPluginInfoRequest* request,
                                          csi::v1::GetPluginInfoResponse* response) override;
  grpc::ServerUnaryReactor* GetPluginCapabilities(
      grpc::CallbackServerContext* context, const csi::v1::GetPluginCapabilitiesRequest* request,
      csi::v1::GetPluginCapabilitiesResponse* response) override;
  grpc::ServerUnaryReactor* Probe(grpc::CallbackServerContext* context,
                                  const csi::v1::ProbeRequest* request,
                                  csi::v1::ProbeResponse* response) override;

 private:
  const Mode mode_;
  const bool metadata_;
  const std::string version_;
  const std::function<absl::Status()> ready_;
  rpc::CallRunner& runner_;
};

class ControllerService final : public csi::v1::Controller::CallbackService {
 public:
  ControllerService(Controller& controller, Publications& publications, Snapshots& snapshots,
                    rpc::CallRunner& runner)
      : controller_(controller),
        publications_(publications),
        snapshots_(snapshots),
        runner_(runner) {}

  grpc::ServerUnaryReactor* CreateVolume(grpc::CallbackServerContext* context,
                                         const csi::v1::CreateVolumeRequest* request,
                                         csi::v1::CreateVolumeResponse* response) override;
  grpc::ServerUnaryReactor* DeleteVolume(grpc::CallbackServerContext* context,
                                         const csi::v1::DeleteVolumeRequest* request,
                                         csi::v1::DeleteVolumeResponse* response) override;
  grpc::ServerUnaryReactor* ValidateVolumeCapabilities(
      grpc::CallbackServerContext* context,
      const csi::v1::ValidateVolumeCapabilitiesRequest* request,
      csi::v1::ValidateVolumeCapabilitiesResponse* response) override;
  grpc::ServerUnaryReactor* ListVolumes(grpc::CallbackServerContext* context,
                                        const csi::v1::ListVolumesRequest* request,
                                        csi::v1::ListVolumesResponse* response) override;
  grpc::ServerUnaryReactor* ControllerGetVolume(
      grpc::CallbackServerContext* context, const csi::v1::ControllerGetVolumeRequest* request,
      csi::v1::ControllerGetVolumeResponse* response) override;
  grpc::ServerUnaryReactor* CreateSnapshot(grpc::CallbackServerContext* context,
                                           const csi::v1::CreateSnapshotRequest* request,
                                           csi::v1::CreateSnapshotResponse* response) override;
  grpc::ServerUnaryReactor* DeleteSnapshot(grpc::CallbackServerContext* context,
                                           const csi::v1::DeleteSnapshotRequest* request,
                                           csi::v1::DeleteSnapshotResponse* response) override;
  grpc::ServerUnaryReactor* ListSnapshots(grpc::CallbackServerContext* context,
                                          const csi::v1::ListSnapshotsRequest* request,
                                          csi::v1::ListSnapshotsResponse* response) override;
  grpc::ServerUnaryReactor* GetSnapshot(grpc::CallbackServerContext* context,
                                        const csi::v1::GetSnapshotRequest* request,
                                        csi::v1::GetSnapshotResponse* response) override;
  grpc::ServerUnaryReactor* GetCapacity(grpc::CallbackServerContext* context,
                                        const csi::v1::GetCapacityRequest* request,
                                        csi::v1::GetCapacityResponse* response) override;
  grpc::ServerUnaryReactor* ControllerExpandVolume(
      grpc::CallbackServerContext* context, const csi::v1::ControllerExpandVolumeRequest* request,
      csi::v1::ControllerExpandVolumeResponse* response) override;
  grpc::ServerUnaryReactor* ControllerModifyVolume(
      grpc::CallbackServerContext* context, const csi::v1::ControllerModifyVolumeRequest* request,
      csi::v1::ControllerModifyVolumeResponse* response) override;
  grpc::ServerUnaryReactor* ControllerGetCapabilities(
      grpc::CallbackServerContext* context,
      const csi::v1::ControllerGetCapabilitiesRequest* request,
      csi::v1::ControllerGetCapabilitiesResponse* response) override;
  grpc::ServerUnaryReactor* ControllerGetVolumeHealth(
      grpc::CallbackServerContext* context,
      const csi::v1::ControllerGetVolumeHealthRequest* request,
      csi::v1::ControllerGetVolumeHealthResponse* response) override;
  grpc::ServerUnaryReactor* ControllerListVolumeHealth(
      grpc::CallbackServerContext* context,
      const csi::v1::ControllerListVolumeHealthRequest* request,
      csi::v1::ControllerListVolumeHealthResponse* response) override;
  grpc::ServerUnaryReactor* ControllerPublishVolume(
      grpc::CallbackServerContext* context, const csi::v1::ControllerPublishVolumeRequest* request,
      csi::v1::ControllerPublishVolumeResponse* response) override;
  grpc::ServerUnaryReactor* ControllerUnpublishVolume(
      grpc::CallbackServerContext* context,
      const csi::v1::ControllerUnpublishVolumeRequest* request,
      csi::v1::ControllerUnpublishVolumeResponse* response) override;

 private:
  Controller& controller_;
  Publications& publications_;
  Snapshots& snapshots_;
  rpc::CallRunner& runner_;
};

class GroupControllerService final : public csi::v1::GroupController::CallbackService {
 public:
  GroupControllerService(Snapshots& snapshots, rpc::CallRunner& runner)
      : snapshots_(snapshots), runner_(runner) {}

  grpc::ServerUnaryReactor* GroupControllerGetCapabilities(
      grpc::CallbackServerContext* context,
      const csi::v1::GroupControllerGetCapabilitiesRequest* request,
      csi::v1::GroupControllerGetCapabilitiesResponse* response) override;
  grpc::ServerUnaryReactor* CreateVolumeGroupSnapshot(
      grpc::CallbackServerContext* context,
      const csi::v1::CreateVolumeGroupSnapshotRequest* request,
      csi::v1::CreateVolumeGroupSnapshotResponse* response) override;
  grpc::ServerUnaryReactor* DeleteVolumeGroupSnapshot(
      grpc::CallbackServerContext* context,
      const csi::v1::DeleteVolumeGroupSnapshotRequest* request,
      csi::v1::DeleteVolumeGroupSnapshotResponse* response) override;
  grpc::ServerUnaryReactor* GetVolumeGroupSnapshot(
      grpc::CallbackServerContext* context, const csi::v1::GetVolumeGroupSnapshotRequest* request,
      csi::v1::GetVolumeGroupSnapshotResponse* response) override;

 private:
  Snapshots& snapshots_;
  rpc::CallRunner& runner_;
};

class SnapshotMetadataService final : public csi::v1::SnapshotMetadata::CallbackService {
 public:
  SnapshotMetadataService(SnapshotMetadata& metadata, rpc::CallRunner& runner)
      : metadata_(metadata), runner_(runner) {}

  grpc::ServerWriteReactor<csi::v1::GetMetadataAllocatedResponse>* GetMetadataAllocated(
      grpc::CallbackServerContext* context,
      const csi::v1::GetMetadataAllocatedRequest* request) override;
  grpc::ServerWriteReactor<csi::v1::GetMetadataDeltaResponse>* GetMetadataDelta(
      grpc::CallbackServerContext* context,
      const csi::v1::GetMetadataDeltaRequest* request) override;

 private:
  SnapshotMetadata& metadata_;
  rpc::CallRunner& runner_;
};

class NodeService final : public csi::v1::Node::CallbackService {
 public:
  NodeService(Node& node, rpc::CallRunner& runner) : node_(node), runner_(runner) {}

  grpc::ServerUnaryReactor* NodeStageVolume(grpc::CallbackServerContext* context,
                                            const csi::v1::NodeStageVolumeRequest* request,
                                            csi::v1::NodeStageVolumeResponse* response) override;
  grpc::ServerUnaryReactor* NodeUnstageVolume(
      grpc::CallbackServerContext* context, const csi::v1::NodeUnstageVolumeRequest* request,
      csi::v1::NodeUnstageVolumeResponse* response) override;
  grpc::ServerUnaryReactor* NodePublishVolume(
      grpc::CallbackServerContext* context, const csi::v1::NodePublishVolumeRequest* request,
      csi::v1::NodePublishVolumeResponse* response) override;
  grpc::ServerUnaryReactor* NodeUnpublishVolume(
      grpc::CallbackServerContext* context, const csi::v1::NodeUnpublishVolumeRequest* request,
      csi::v1::NodeUnpublishVolumeResponse* response) override;
  grpc::ServerUnaryReactor* NodeGetVolumeStats(
      grpc::CallbackServerContext* context, const csi::v1::NodeGetVolumeStatsRequest* request,
      csi::v1::NodeGetVolumeStatsResponse* response) override;
  grpc::ServerUnaryReactor* NodeExpandVolume(grpc::CallbackServerContext* context,
                                             const csi::v1::NodeExpandVolumeRequest* request,
                                             csi::v1::NodeExpandVolumeResponse* response) override;
  grpc::ServerUnaryReactor* NodeGetCapabilities(
      grpc::CallbackServerContext* context, const csi::v1::NodeGetCapabilitiesRequest* request,
      csi::v1::NodeGetCapabilitiesResponse* response) override;
  grpc::ServerUnaryReactor* NodeGetInfo(grpc::CallbackServerContext* context,
                                        const csi::v1::NodeGetInfoRequest* request,
                                        csi::v1::NodeGetInfoResponse* response) override;
  grpc::ServerUnaryReactor* NodeGetVolumeHealth(
      grpc::CallbackServerContext* context, const csi::v1::NodeGetVolumeHealthRequest* request,
      csi::v1::NodeGetVolumeHealthResponse* response) override;
  grpc::ServerUnaryReactor* NodeGetStorageHealth(
      grpc::CallbackServerContext* context, const csi::v1::NodeGetStorageHealthRequest* request,
      csi::v1::NodeGetStorageHealthResponse* response) override;

 private:
  Node& node_;
  rpc::CallRunner& runner_;
};

}  // namespace ashlar::csi_driver
