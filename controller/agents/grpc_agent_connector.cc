#include "controller/agents/grpc_agent_connector.h"

#include <utility>

#include "ashlar/agent/v1/node_agent.grpc.pb.h"
#include "ashlar/agent/v1/node_claims.grpc.pb.h"
#include "lib/agents/agent_pod.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/client_call.h"
#include "lib/rpc/tls_files.h"

namespace ashlar::controller {
namespace {

using agent::v1::NodeAgent;
using agent::v1::NodeClaims;

class GrpcAgentClient final : public AgentClient {
 public:
  explicit GrpcAgentClient(const std::shared_ptr<grpc::Channel>& channel)
      : stub_(NodeAgent::NewStub(channel)), claims_(NodeClaims::NewStub(channel)) {}

  absl::Status WatchInventory(
      const CallContext& context, absl::Duration heartbeat,
      absl::FunctionRef<absl::Status(agent::v1::Inventory)> report) override {
    agent::v1::WatchInventoryRequest request;
    request.set_heartbeat_seconds(static_cast<int32_t>(absl::ToInt64Seconds(heartbeat)));
    rpc::ClientCall call(context);
    auto stream = stub_->WatchInventory(call.get(), request);
    agent::v1::Inventory inventory;
    while (stream->Read(&inventory)) {
      if (absl::Status status = report(std::move(inventory)); !status.ok()) {
        call.get()->TryCancel();
        while (stream->Read(&inventory)) continue;
        stream->Finish();
        return status;
      }
      inventory.Clear();
    }
    return rpc::FromGrpc(stream->Finish());
  }

  absl::StatusOr<agent::v1::PoolState> EnsurePool(
      const CallContext& context, const agent::v1::EnsurePoolRequest& request) override {
    return rpc::Call(context, *stub_, &NodeAgent::Stub::EnsurePool, request);
  }

  absl::Status RemovePool(const CallContext& context, const std::string& pool) override {
    agent::v1::RemovePoolRequest request;
    request.set_name(pool);
    return rpc::Call(context, *stub_, &NodeAgent::Stub::RemovePool, request).status();
  }

  absl::StatusOr<agent::v1::VolumeState> EnsureVolume(
      const CallContext& context, const agent::v1::EnsureVolumeRequest& request) override {
    return rpc::Call(context, *stub_, &NodeAgent::Stub::EnsureVolume, request);
  }

  absl::StatusOr<agent::v1::VolumeState> ResizeVolume(const CallContext& context,
                                                      const std::string& volume,
                                                      int64_t size_bytes) override {
    agent::v1::ResizeVolumeRequest request;
    request.set_volume_id(volume);
    request.set_size_bytes(size_bytes);
    return rpc::Call(context, *stub_, &NodeAgent::Stub::ResizeVolume, request);
  }

  absl::StatusOr<agent::v1::VolumeState> ModifyVolume(
      const CallContext& context, const agent::v1::ModifyVolumeRequest& request) override {
    return rpc::Call(context, *stub_, &NodeAgent::Stub::ModifyVolume, request);
  }

  absl::Status RemoveVolume(const CallContext& context, const std::string& volume) override {
    agent::v1::RemoveVolumeRequest request;
    request.set_volume_id(volume);
    return rpc::Call(context, *stub_, &NodeAgent::Stub::RemoveVolume, request).status();
  }

  absl::StatusOr<agent::v1::EnsureSnapshotsResponse> EnsureSnapshots(
      const CallContext& context, const agent::v1::EnsureSnapshotsRequest& request) override {
    return rpc::Call(context, *stub_, &NodeAgent::Stub::EnsureSnapshots, request);
  }

  absl::Status RemoveSnapshot(const CallContext& context, const std::string& snapshot) override {
    agent::v1::RemoveSnapshotRequest request;
    request.set_snapshot_id(snapshot);
    return rpc::Call(context, *stub_, &NodeAgent::Stub::RemoveSnapshot, request).status();
  }

  absl::StatusOr<agent::v1::ClaimState> EnsureClaim(
      const CallContext& context, const agent::v1::EnsureClaimRequest& request) override {
    return rpc::Call(context, *claims_, &NodeClaims::Stub::EnsureClaim, request);
  }

  absl::Status RemoveClaim(const CallContext& context, const std::string& uid) override {
    agent::v1::RemoveClaimRequest request;
    request.set_uid(uid);
    return rpc::Call(context, *claims_, &NodeClaims::Stub::RemoveClaim, request).status();
  }

  absl::Status AnswerPodQuestion(const CallContext& context,
                                 const agent::v1::PodAnswer& answer) override {
    return rpc::Call(context, *claims_, &NodeClaims::Stub::AnswerPodQuestion, answer).status();
  }

 private:
  const std::unique_ptr<NodeAgent::Stub> stub_;
  const std::unique_ptr<NodeClaims::Stub> claims_;
};

class GrpcAgentConnector final : public AgentConnector {
 public:
  explicit GrpcAgentConnector(std::shared_ptr<grpc::ChannelCredentials> credentials)
      : credentials_(std::move(credentials)) {}

  std::shared_ptr<AgentClient> Connect(const AgentAddress& address) override {
    return std::make_shared<GrpcAgentClient>(
        rpc::MakeTlsChannel(address.address, credentials_, kAgentName));
  }

 private:
  const std::shared_ptr<grpc::ChannelCredentials> credentials_;
};

class SocketAgentConnector final : public AgentConnector {
 public:
  std::shared_ptr<AgentClient> Connect(const AgentAddress& address) override {
    return std::make_shared<GrpcAgentClient>(rpc::MakeUnixChannel(address.address));
  }
};

}  // namespace

absl::StatusOr<std::unique_ptr<AgentConnector>> MakeGrpcAgentConnector(
    const std::string& tls_directory) {
  auto credentials =
      rpc::MakeChannelCredentials({.directory = tls_directory, .peer_name = kAgentName});
  if (!credentials.ok()) return credentials.status();
  return std::make_unique<GrpcAgentConnector>(*std::move(credentials));
}

std::unique_ptr<AgentConnector> MakeSocketAgentConnector() {
  return std::make_unique<SocketAgentConnector>();
}

}  // namespace ashlar::controller
