#include "node-agent/service/node_claims_service.h"

#include "lib/base/status_macros.h"
#include "node-agent/service/claim_convert.h"
#include "node-agent/service/convert.h"

namespace ashlar::node_agent {

namespace pb = agent::v1;

grpc::ServerUnaryReactor* NodeClaimsService::EnsureClaim(grpc::CallbackServerContext* context,
                                                         const pb::EnsureClaimRequest* request,
                                                         pb::ClaimState* response) {
  return runner_.Unary(
      context, *request, *response,
      [this](const CallContext& call,
             const pb::EnsureClaimRequest& claim) -> absl::StatusOr<pb::ClaimState> {
        ASHLAR_ASSIGN_OR_RETURN(const ClaimFacts facts, FactsFromProto(claim));
        ASHLAR_ASSIGN_OR_RETURN(
            const ClaimStatus status,
            claims_.Ensure(call, facts, {claim.pod_uids().begin(), claim.pod_uids().end()}));
        return ToProto(status);
      });
}

grpc::ServerUnaryReactor* NodeClaimsService::RemoveClaim(grpc::CallbackServerContext* context,
                                                         const pb::RemoveClaimRequest* request,
                                                         pb::RemoveClaimResponse* response) {
  return runner_.Unary(
      context, *request, *response,
      [this](const CallContext& call,
             const pb::RemoveClaimRequest& claim) -> absl::StatusOr<pb::RemoveClaimResponse> {
        ASHLAR_RETURN_IF_ERROR(claims_.Remove(call, claim.uid()));
        return pb::RemoveClaimResponse();
      });
}

grpc::ServerUnaryReactor* NodeClaimsService::AnswerPodQuestion(
    grpc::CallbackServerContext* context, const pb::PodAnswer* request,
    pb::AnswerPodQuestionResponse* response) {
  return runner_.Unary(
      context, *request, *response,
      [this](const CallContext&,
             const pb::PodAnswer& answer) -> absl::StatusOr<pb::AnswerPodQuestionResponse> {
        questions_.Answer(answer.id(), DevicesFromProto(answer));
        return pb::AnswerPodQuestionResponse();
      });
}

}  // namespace ashlar::node_agent
