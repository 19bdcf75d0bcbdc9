// FakeAgent: an agent in memory, for tests of what talks to agents. It keeps the promises of the
// service (proto/ashlar/agent/v1) and passes the same contract suite as the real one. Every pool
// that it is asked for gets `pool_bytes`. Thread-safe.
#pragma once

#include <limits>
#include <map>
#include <set>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "controller/agents/agent_client.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"

namespace ashlar::controller {

class FakeAgent final : public AgentClient {
 public:
  FakeAgent(std::string node, int64_t pool_bytes, Clock& clock);

  absl::Status WatchInventory(
      const CallContext& context, absl::Duration heartbeat,
      absl::FunctionRef<absl::Status(agent::v1::Inventory)> report) override;
  absl::StatusOr<agent::v1::PoolState> EnsurePool(
      const CallContext& context, const agent::v1::EnsurePoolRequest& request) override;
  absl::Status RemovePool(const CallContext& context, const std::string& pool) override;
  absl::StatusOr<agent::v1::VolumeState> EnsureVolume(
      const CallContext& context, const agent::v1::EnsureVolumeRequest& request) override;
  absl::StatusOr<agent::v1::VolumeState> ResizeVolume(const CallContext& context,
                                                      const std::string& volume,
                                                      int64_t size_bytes) override;
  absl::StatusOr<agent::v1::VolumeState> ModifyVolume(
      const CallContext& context, const agent::v1::ModifyVolumeRequest& request) override;
  absl::Status RemoveVolume(const CallContext& context, const std::string& volume) override;
  absl::StatusOr<agent::v1::EnsureSnapshotsResponse> EnsureSnapshots(
      const CallContext& context, const agent::v1::EnsureSnapshotsRequest& request) override;
  absl::Status RemoveSnapshot(const CallContext& context, const std::string& snapshot) override;
  absl::StatusOr<agent::v1::ClaimState> EnsureClaim(
      const CallContext& context, const agent::v1::EnsureClaimRequest& request) override;
  absl::Status RemoveClaim(const CallContext& context, const std::string& uid) override;
  absl::Status AnswerPodQuestion(const CallContext& context,
                                 const agent::v1::PodAnswer& answer) override;

  // For tests.
  enum class When { kBefore, kAfter };  // of its effect
  // The next `count` calls of `method`, such as "EnsureVolume", answer `status`.
  void FailNext(std::string method, absl::Status status, int count = 1, When when = When::kBefore);
  // An unreachable agent ends its streams and answers Unavailable.
  void SetReachable(bool reachable);
  // A frozen agent keeps its streams open and says nothing; calls wait.
  void SetFrozen(bool frozen);
  // The pool is not ready until the reason is empty.
  void SetPoolProblem(const std::string& reason, const std::string& message);
  // No volume can be larger, as on several drives, and none can grow by more.
  void SetLargestVolume(int64_t bytes);
  // Its pools have these drives, of that many bytes each, instead of `pool_bytes`. Volumes that
  // name none lie on the roomiest.
  void SetPoolDrives(std::map<std::string, int64_t> drives);
  // Of the last call of `method`.
  std::string RequestIdOf(const std::string& method);
  void SetStaged(const std::string& volume, bool staged, int publications);
  // Where the volume's limits are not in force, and why; "": they are.
  // It has the default attributes though nobody said so.
  void Forget(const std::string& volume);
  void SetAttributesMessage(const std::string& volume, const std::string& message);
  // "": it is healthy again.
  void SetUnhealthy(const std::string& volume, const std::string& message);
  // The volume is gone though nobody removed it.
  void Lose(const std::string& volume);
  // A volume that nobody asked this agent for.
  void AddVolume(const std::string& volume, const std::string& pool, int64_t bytes,
                 bool inline_volume = false);
  // As the agent tells of it; one of the id that is there becomes this.
  void PutVolume(const agent::v1::VolumeState& volume);
  void AddDrive(agent::v1::Drive drive);
  void AddPath(v1alpha1::GpuDrivePath path);
  // As the kubelet has it prepared, or not any more.
  void SetPrepared(const std::string& claim, bool prepared);
  void AddGpu(v1alpha1::Gpu gpu);
  // The one of the UUID is so from now on.
  void PutGpu(const v1alpha1::Gpu& gpu);

  // Asks the controller what claims gave to the pod, and waits for the answer.
  agent::v1::PodAnswer Ask(const std::string& pod_namespace, const std::string& pod_uid);

  std::set<std::string> Volumes() const;
  int64_t VolumeBytes(const std::string& volume) const;  // -1 if absent
  std::set<std::string> Pools() const;
  // As the agent was told of it; without a uid if it was not.
  agent::v1::EnsureClaimRequest Claim(const std::string& uid) const;
  int Calls(const std::string& method) const;
  // Blocks until `count` streams run, or calls of `method` have come.
  void AwaitStreams(int count) const;
  void AwaitCalls(const std::string& method, int count) const;
  void AwaitClaim(const std::string& uid) const;  // until the agent was told of it

 private:
  struct Failure {
    absl::Status status;
    int count = 0;
    When when = When::kBefore;
  };

  absl::Status RemoveKind(const std::string& id, bool snapshot) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Counts the call, waits while frozen, and answers the failure that is due before its effect.
  absl::Status Enter(const CallContext& context, const std::string& method)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status Leave(const std::string& method) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status TakeFailure(const std::string& method, When when) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Changed() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The drive that the volume of that many bytes comes to lie on; empty without drives.
  absl::StatusOr<std::string> DriveFor(const agent::v1::EnsureVolumeRequest& request,
                                       int64_t bytes) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  agent::v1::PoolState StateOf(const std::string& pool) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  agent::v1::Inventory Snapshot() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::string node_;
  const int64_t pool_bytes_;
  Clock& clock_;
  mutable Mutex mu_;
  mutable CondVar changed_;
  bool reachable_ ABSL_GUARDED_BY(mu_) = true;
  bool frozen_ ABSL_GUARDED_BY(mu_) = false;
  uint64_t revision_ ABSL_GUARDED_BY(mu_) = 1;
  int streams_ ABSL_GUARDED_BY(mu_) = 0;
  std::string problem_reason_ ABSL_GUARDED_BY(mu_);
  std::string problem_message_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, agent::v1::EnsurePoolRequest> pools_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, agent::v1::VolumeState> volumes_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<std::string, int64_t> pool_used_ ABSL_GUARDED_BY(mu_);
  int64_t largest_volume_bytes_ ABSL_GUARDED_BY(mu_) = std::numeric_limits<int64_t>::max();
  std::vector<agent::v1::Drive> drives_ ABSL_GUARDED_BY(mu_);
  struct KnownClaim {
    agent::v1::EnsureClaimRequest request;
    agent::v1::ClaimState state;
  };
  std::map<std::string, KnownClaim> claims_ ABSL_GUARDED_BY(mu_);  // by uid
  std::vector<v1alpha1::Gpu> gpus_ ABSL_GUARDED_BY(mu_);
  std::vector<v1alpha1::GpuDrivePath> paths_ ABSL_GUARDED_BY(mu_);
  uint64_t last_question_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<uint64_t, agent::v1::PodQuestion> questions_ ABSL_GUARDED_BY(mu_);
  std::map<uint64_t, agent::v1::PodAnswer> answers_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, int64_t> pool_drives_ ABSL_GUARDED_BY(mu_);  // bytes by id
  std::map<std::string, Failure> failures_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, int> calls_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, std::string> request_ids_ ABSL_GUARDED_BY(mu_);
};

// Connects to fake agents by their address, "<node>:9500". An agent that was not added cannot be
// reached. Thread-safe.
class FakeAgentConnector final : public AgentConnector {
 public:
  void Add(const std::string& address, std::shared_ptr<FakeAgent> agent);
  std::shared_ptr<AgentClient> Connect(const AgentAddress& address) override;

 private:
  Mutex mu_;
  std::map<std::string, std::shared_ptr<FakeAgent>> agents_ ABSL_GUARDED_BY(mu_);
};

}  // namespace ashlar::controller
