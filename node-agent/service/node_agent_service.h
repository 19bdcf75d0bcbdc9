// The gRPC service NodeAgent (proto/ashlar/agent/v1/node_agent.proto): a thin adapter. Thread-safe.
#pragma once

#include <string>

#include "ashlar/agent/v1/node_agent.grpc.pb.h"
#include "lib/rpc/call_runner.h"
#include "node-agent/service/operation_metrics.h"
#include "node-agent/volume/inventory_feed.h"

namespace ashlar::node_agent {

struct NodeFacts {
  std::string node, agent_version, boot_id, kernel;
};

class NodeAgentService final : public agent::v1::NodeAgent::CallbackService {
 public:
  // Everything must outlive the service.
  NodeAgentService(NodeFacts facts, PoolSet& pools, VolumeManager& volumes, InventoryFeed& feed,
                   LimitKeeper& limits, OperationMetrics& metrics, Clock& clock,
                   rpc::CallRunner& runner)
      : facts_(std::move(facts)),
        pools_(pools),
        volumes_(volumes),
        feed_(feed),
        limits_(limits),
        metrics_(metrics),
        clock_(clock),
        runner_(runner) {}

  grpc::ServerWriteReactor<agent::v1::Inventory>* WatchInventory(
      grpc::CallbackServerContext* context,
      const agent::v1::WatchInventoryRequest* request) override;
  grpc::ServerUnaryReactor* EnsurePool(grpc::CallbackServerContext* context,
                                       const agent::v1::EnsurePoolRequest* request,
                                       agent::v1::PoolState* response) override;
  grpc::ServerUnaryReactor* RemovePool(grpc::CallbackServerContext* context,
                                       const agent::v1::RemovePoolRequest* request,
                                       agent::v1::RemovePoolResponse* response) override;
  grpc::ServerUnaryReactor* EnsureVolume(grpc::CallbackServerContext* context,
                                         const agent::v1::EnsureVolumeRequest* request,
                                         agent::v1::VolumeState* response) override;
  grpc::ServerUnaryReactor* ResizeVolume(grpc::CallbackServerContext* context,
                                         const agent::v1::ResizeVolumeRequest* request,
                                         agent::v1::VolumeState* response) override;
  grpc::ServerUnaryReactor* ModifyVolume(grpc::CallbackServerContext* context,
                                         const agent::v1::ModifyVolumeRequest* request,
                                         agent::v1::VolumeState* response) override;
  grpc::ServerUnaryReactor* RemoveVolume(grpc::CallbackServerContext* context,
                                         const agent::v1::RemoveVolumeRequest* request,
                                         agent::v1::RemoveVolumeResponse* response) override;
  grpc::ServerUnaryReactor* EnsureSnapshots(grpc::CallbackServerContext* context,
                                            const agent::v1::EnsureSnapshotsRequest* request,
                                            agent::v1::EnsureSnapshotsResponse* response) override;
  grpc::ServerUnaryReactor* RemoveSnapshot(grpc::CallbackServerContext* context,
                                           const agent::v1::RemoveSnapshotRequest* request,
                                           agent::v1::RemoveSnapshotResponse* response) override;
  grpc::ServerWriteReactor<agent::v1::Extents>* ListExtents(
      grpc::CallbackServerContext* context, const agent::v1::ListExtentsRequest* request) override;
  grpc::ServerUnaryReactor* ListVolumes(grpc::CallbackServerContext* context,
                                        const agent::v1::ListVolumesRequest* request,
                                        agent::v1::ListVolumesResponse* response) override;

 private:
  agent::v1::Inventory Describe(const InventorySnapshot& snapshot) const;
  absl::Status Watch(const CallContext& call, const agent::v1::WatchInventoryRequest& request,
                     rpc::ServerStream<agent::v1::Inventory>& stream);

  // Of the volume or snapshot, for metrics.
  std::string BackendOf(const std::string& id) { return metrics_.BackendOf(volumes_.Find(id)); }

  const NodeFacts facts_;
  PoolSet& pools_;
  VolumeManager& volumes_;
  InventoryFeed& feed_;
  LimitKeeper& limits_;
  OperationMetrics& metrics_;
  Clock& clock_;
  rpc::CallRunner& runner_;
};

}  // namespace ashlar::node_agent
