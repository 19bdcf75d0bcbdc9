// The gRPC service NodeMount (proto/ashlar/agent/v1/node_mount.proto): a thin adapter. Thread-safe.
#pragma once

#include <string>

#include "ashlar/agent/v1/node_mount.grpc.pb.h"
#include "lib/rpc/call_runner.h"
#include "node-agent/claims/claims.h"
#include "node-agent/service/operation_metrics.h"
#include "node-agent/volume/inline_volumes.h"
#include "node-agent/volume/inventory_feed.h"

namespace ashlar::node_agent {

class NodeMountService final : public agent::v1::NodeMount::CallbackService {
 public:
  // Everything must outlive the service.
  NodeMountService(std::string node, int64_t max_volumes, VolumeManager& volumes,
                   InlineVolumes& inline_volumes, InventoryFeed& feed,
                   const AttributeTable& attributes, LimitKeeper& limits, OperationMetrics& metrics,
                   rpc::CallRunner& runner, Claims& claims)
      : node_(std::move(node)),
        max_volumes_(max_volumes),
        volumes_(volumes),
        inline_volumes_(inline_volumes),
        feed_(feed),
        attributes_(attributes),
        limits_(limits),
        metrics_(metrics),
        runner_(runner),
        claims_(claims) {}

  grpc::ServerUnaryReactor* GetNode(grpc::CallbackServerContext* context,
                                    const agent::v1::GetNodeRequest* request,
                                    agent::v1::GetNodeResponse* response) override;
  grpc::ServerUnaryReactor* StageVolume(grpc::CallbackServerContext* context,
                                        const agent::v1::StageVolumeRequest* request,
                                        agent::v1::StageVolumeResponse* response) override;
  grpc::ServerUnaryReactor* UnstageVolume(grpc::CallbackServerContext* context,
                                          const agent::v1::UnstageVolumeRequest* request,
                                          agent::v1::UnstageVolumeResponse* response) override;
  grpc::ServerUnaryReactor* PublishVolume(grpc::CallbackServerContext* context,
                                          const agent::v1::PublishVolumeRequest* request,
                                          agent::v1::PublishVolumeResponse* response) override;
  grpc::ServerUnaryReactor* UnpublishVolume(grpc::CallbackServerContext* context,
                                            const agent::v1::UnpublishVolumeRequest* request,
                                            agent::v1::UnpublishVolumeResponse* response) override;
  grpc::ServerUnaryReactor* ExpandVolume(grpc::CallbackServerContext* context,
                                         const agent::v1::ExpandVolumeRequest* request,
                                         agent::v1::ExpandVolumeResponse* response) override;
  grpc::ServerUnaryReactor* GetVolumeStats(grpc::CallbackServerContext* context,
                                           const agent::v1::GetVolumeStatsRequest* request,
                                           agent::v1::GetVolumeStatsResponse* response) override;
  grpc::ServerUnaryReactor* GetHealth(grpc::CallbackServerContext* context,
                                      const agent::v1::GetHealthRequest* request,
                                      agent::v1::GetHealthResponse* response) override;

 private:
  // `direct_required`: it is taken back where cuFile would take its compatibility mode.
  absl::Status PublishChecked(const CallContext& call, const PublishArgs& args,
                              bool direct_required);
  // Who has the volume is told, if a ResourceClaim has.
  absl::Status Stage(const CallContext& call, const StageArgs& args);
  // Of the volume or snapshot, for metrics.
  std::string BackendOf(const std::string& id) { return metrics_.BackendOf(volumes_.Find(id)); }
  // Something was published or unpublished.
  void PublicationsChanged(const CallContext& call);

  const std::string node_;
  const int64_t max_volumes_;
  VolumeManager& volumes_;
  InlineVolumes& inline_volumes_;
  InventoryFeed& feed_;
  const AttributeTable& attributes_;
  LimitKeeper& limits_;
  OperationMetrics& metrics_;
  rpc::CallRunner& runner_;
  Claims& claims_;
};

}  // namespace ashlar::node_agent
