// ClaimsReconciler: has Volumes carved for ResourceClaims that were given drives of ours, tells the
// agents what claims hold, says in the claims' status how far that is, and takes back what no claim
// holds any more. What is needed is decided in claim_plan.h. Thread-safe.
//
// Keys with a namespace are claims; a key without one is the name of a node, on which what is left
// of claims is looked for.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "controller/agents/agent_directory.h"
#include "controller/claims/claim_plan.h"
#include "controller/claims/dra_informers.h"
#include "controller/objects/event_sink.h"
#include "controller/objects/object_writer.h"
#include "controller/pool/node_offers.h"
#include "controller/slices/offered_volumes.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/runtime/cache.h"
#include "lib/runtime/informer.h"
#include "lib/runtime/reconciler.h"

namespace ashlar::controller {

// All must outlive the reconciler.
struct ClaimsReconcilerParts {
  kube::Client& client;
  DraInformers& dra;
  const runtime::Cache& volumes;
  const OfferedVolumes& offered;
  ObjectWriter& volume_writer;
  const AgentDirectory& agents;
  const NodeOffers& nodes;
  EventSink& events;
  Clock& clock;
  // Queues a key of this reconciler. Must not block.
  std::function<void(const api::ObjectKey&)> queue;
};

struct ClaimsReconcilerOptions {
  absl::Duration agent_timeout = absl::Seconds(30);
  // How often is tried again what an agent refuses because the claim is in use, or cannot do now.
  absl::Duration retry = absl::Seconds(5);
};

class ClaimsReconciler final : public runtime::Reconciler {
 public:
  ClaimsReconciler(ClaimsReconcilerOptions options, ClaimsReconcilerParts parts);

  absl::StatusOr<runtime::Action> Reconcile(const CallContext& context,
                                            const api::ObjectKey& key) override;

 private:
  // What the agent of the node was told of a claim, and by which connection it may have forgotten.
  struct Told {
    std::string request;  // serialized
    std::string boot;     // of the agent's node and version
  };
  using Result = absl::StatusOr<runtime::Action>;

  Result ReconcileClaim(const CallContext& context, const api::ObjectKey& key);
  ClaimPlan Plan(const k8s::ResourceClaim& claim) const;
  absl::Status EnsureVolumes(const CallContext& context, ClaimPlan& plan);
  absl::Status EnsureVolume(const CallContext& context, PlannedDevice& device);
  // True if the agent took it, and its report shows the claim. A report may skip what came and went
  // since the last one, so that what the agent took and lost at once would never be told again.
  bool Tell(const CallContext& context, const k8s::ResourceClaim& claim, ClaimPlan& plan);
  absl::Status WriteStatus(const CallContext& context, const Json& object,
                           const k8s::ResourceClaim& before, const k8s::ResourceClaim& after);

  // The claim must not have a volume that the agent may have been told of.
  void Withdraw(const CallContext& context, const ClaimPlan& plan, const std::string& uid);

  Result Sweep(const CallContext& context, const std::string& node);
  // uids of claims, and devices as NODE/DEVICE that each has.
  using Live = absl::flat_hash_map<std::string, absl::flat_hash_set<std::string>>;
  Live LiveClaims() const;
  static bool LivesOn(const Live& live, const std::string& uid, const std::string& node);
  // Volumes of the node that were carved for claims and that no claim has.
  std::vector<runtime::ObjectPtr> LeftVolumes(const Live& live, const std::string& node) const;
  // OK: the agent of the node knows nothing of the claim.
  absl::Status Forget(const CallContext& context, const std::string& node, const std::string& uid);
  void NoteNode(const api::ObjectKey& claim, const std::string& node);

  const ClaimsReconcilerOptions options_;
  const ClaimsReconcilerParts parts_;

  Mutex mu_;
  absl::flat_hash_map<api::ObjectKey, std::string> node_of_ ABSL_GUARDED_BY(mu_);  // by claim
  absl::flat_hash_map<std::string, Told> told_ ABSL_GUARDED_BY(mu_);               // by uid
};

}  // namespace ashlar::controller
