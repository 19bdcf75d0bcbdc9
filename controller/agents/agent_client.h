// AgentClient: what the controller asks of the agent of one node (proto/ashlar/agent/v1). Two
// implementations pass one contract suite (testing/agent_client_contract.h): the gRPC client
// (grpc_agent_connector.h) and the in-memory agent (testing/fake_agent.h). Thread-safe.
//
// Status codes are those of the service; Unavailable also if the agent cannot be reached.
#pragma once

#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "ashlar/agent/v1/node_agent.pb.h"
#include "lib/base/call_context.h"

namespace ashlar::controller {

class AgentClient {
 public:
  virtual ~AgentClient() = default;

  // Hands over the whole inventory at once, again whenever it changed, and at least every
  // `heartbeat`. Returns when the stream ends, `report` answers an error (returned), or the context
  // ends. `report` runs on the calling thread.
  virtual absl::Status WatchInventory(
      const CallContext& context, absl::Duration heartbeat,
      absl::FunctionRef<absl::Status(agent::v1::Inventory)> report) = 0;

  virtual absl::StatusOr<agent::v1::PoolState> EnsurePool(
      const CallContext& context, const agent::v1::EnsurePoolRequest& request) = 0;
  virtual absl::Status RemovePool(const CallContext& context, const std::string& pool) = 0;
  virtual absl::StatusOr<agent::v1::VolumeState> EnsureVolume(
      const CallContext& context, const agent::v1::EnsureVolumeRequest& request) = 0;
  virtual absl::StatusOr<agent::v1::VolumeState> ResizeVolume(const CallContext& context,
                                                              const std::string& volume,
                                                              int64_t size_bytes) = 0;
  virtual absl::StatusOr<agent::v1::VolumeState> ModifyVolume(
      const CallContext& context, const agent::v1::ModifyVolumeRequest& request) = 0;
  virtual absl::Status RemoveVolume(const CallContext& context, const std::string& volume) = 0;
  virtual absl::StatusOr<agent::v1::EnsureSnapshotsResponse> EnsureSnapshots(
      const CallContext& context, const agent::v1::EnsureSnapshotsRequest& request) = 0;
  virtual absl::Status RemoveSnapshot(const CallContext& context, const std::string& snapshot) = 0;

  // Of the service NodeClaims.
  virtual absl::StatusOr<agent::v1::ClaimState> EnsureClaim(
      const CallContext& context, const agent::v1::EnsureClaimRequest& request) = 0;
  virtual absl::Status RemoveClaim(const CallContext& context, const std::string& uid) = 0;
  virtual absl::Status AnswerPodQuestion(const CallContext& context,
                                         const agent::v1::PodAnswer& answer) = 0;
};

// Where the agent of a node answers.
struct AgentAddress {
  std::string node;
  std::string address;      // host:port
  std::string incarnation;  // differs for each pod, such as its uid
  friend bool operator==(const AgentAddress&, const AgentAddress&) = default;
};

class AgentConnector {
 public:
  virtual ~AgentConnector() = default;
  // Does not block and does not fail: an agent that cannot be reached shows at the first call.
  virtual std::shared_ptr<AgentClient> Connect(const AgentAddress& address) = 0;
};

}  // namespace ashlar::controller
