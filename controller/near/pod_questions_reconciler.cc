#include "controller/near/pod_questions_reconciler.h"

#include "ashlar/k8s/resource.codec.h"
#include "lib/base/status_macros.h"

namespace ashlar::controller {

using k8s::ResourceClaim;
using runtime::Action;

namespace {

// Nobody waits longer for an answer.
constexpr absl::Duration kAnswerTime = absl::Seconds(3);

}  // namespace

absl::StatusOr<std::vector<ResourceClaim>> PodQuestionsReconciler::ClaimsFor(
    const CallContext& context, const agent::v1::PodQuestion& question) const {
  std::vector<ResourceClaim> claims;
  for (const runtime::ObjectPtr& object : dra_->claims.List()) {
    if (JsonString(*object, {"metadata", "namespace"}) != question.pod_namespace()) continue;
    auto claim = api::FromJson<ResourceClaim>(*object);
    if (claim.ok() && IsReservedFor(*claim, question.pod_uid()))
      claims.push_back(*std::move(claim));
  }
  if (!claims.empty()) return claims;
  ASHLAR_ASSIGN_OR_RETURN(
      const kube::ListResult list,
      client_.List(context, api::Kind<ResourceClaim>(), {.space = question.pod_namespace()}));
  for (const Json& object : list.items)
    if (auto claim = api::FromJson<ResourceClaim>(object); claim.ok())
      claims.push_back(*std::move(claim));
  return claims;
}

absl::StatusOr<agent::v1::PodAnswer> PodQuestionsReconciler::Answer(
    const CallContext& context, const std::string& node,
    const agent::v1::PodQuestion& question) const {
  if (dra_ == nullptr || question.pod_namespace().empty())
    return AnswerOf(question, node, {}, nullptr);
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<ResourceClaim> claims, ClaimsFor(context, question));
  SliceFinder slices(*dra_);
  const auto find_slice = [&](const std::string& driver, const std::string& pool,
                              const std::string& device) {
    return slices.Find(driver, pool, device);
  };
  return AnswerOf(question, node, claims, find_slice);
}

absl::StatusOr<Action> PodQuestionsReconciler::Reconcile(const CallContext& context,
                                                         const api::ObjectKey& key) {
  const AgentView view = agents_.View(key.name);
  if (view.report == nullptr || view.report->inventory().pod_questions().empty())
    return Action::AwaitChange();
  const CallContext call = context.Until(clock_.Now() + kAnswerTime);
  ASHLAR_ASSIGN_OR_RETURN(const std::shared_ptr<AgentClient> agent, agents_.Client(key.name));
  for (const agent::v1::PodQuestion& question : view.report->inventory().pod_questions()) {
    ASHLAR_ASSIGN_OR_RETURN(const agent::v1::PodAnswer answer, Answer(call, key.name, question));
    ASHLAR_RETURN_IF_ERROR(agent->AnswerPodQuestion(call, answer));
  }
  return Action::AwaitChange();
}

}  // namespace ashlar::controller
