// PodQuestionsReconciler: answers what agents ask of the ResourceClaims of pods that are starting
// (Inventory.pod_questions). A key is the name of a node. Thread-safe.
//
// An agent is told only of devices of its own node, whatever it asks.
#pragma once

#include <string>
#include <vector>

#include "controller/agents/agent_directory.h"
#include "controller/claims/dra_informers.h"
#include "controller/near/pod_answer.h"
#include "lib/base/clock.h"
#include "lib/kube/client.h"
#include "lib/runtime/reconciler.h"

namespace ashlar::controller {

class PodQuestionsReconciler final : public runtime::Reconciler {
 public:
  // All must outlive the reconciler. `dra` is nullptr where the cluster has no ResourceClaims.
  PodQuestionsReconciler(kube::Client& client, DraInformers* dra, const AgentDirectory& agents,
                         Clock& clock)
      : client_(client), dra_(dra), agents_(agents), clock_(clock) {}

  absl::StatusOr<runtime::Action> Reconcile(const CallContext& context,
                                            const api::ObjectKey& key) override;

 private:
  // Claims of the pod's namespace. A pod is bound after its claims are reserved for it: a cache
  // that shows none of the pod may be behind, and the server is asked.
  absl::StatusOr<std::vector<k8s::ResourceClaim>> ClaimsFor(
      const CallContext& context, const agent::v1::PodQuestion& question) const;
  absl::StatusOr<agent::v1::PodAnswer> Answer(const CallContext& context, const std::string& node,
                                              const agent::v1::PodQuestion& question) const;

  kube::Client& client_;
  DraInformers* const dra_;
  const AgentDirectory& agents_;
  Clock& clock_;
};

}  // namespace ashlar::controller
