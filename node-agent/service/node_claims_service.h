// The gRPC service NodeClaims (proto/ashlar/agent/v1/node_claims.proto): a thin adapter.
// Thread-safe.
#pragma once

#include "ashlar/agent/v1/node_claims.grpc.pb.h"
#include "lib/rpc/call_runner.h"
#include "node-agent/claims/claims.h"
#include "node-agent/near/pod_questions.h"

namespace ashlar::node_agent {

class NodeClaimsService final : public agent::v1::NodeClaims::CallbackService {
 public:
  // All must outlive the service.
  NodeClaimsService(Claims& claims, PodQuestions& questions, rpc::CallRunner& runner)
      : claims_(claims), questions_(questions), runner_(runner) {}

  grpc::ServerUnaryReactor* EnsureClaim(grpc::CallbackServerContext* context,
                                        const agent::v1::EnsureClaimRequest* request,
                                        agent::v1::ClaimState* response) override;
  grpc::ServerUnaryReactor* RemoveClaim(grpc::CallbackServerContext* context,
                                        const agent::v1::RemoveClaimRequest* request,
                                        agent::v1::RemoveClaimResponse* response) override;
  grpc::ServerUnaryReactor* AnswerPodQuestion(
      grpc::CallbackServerContext* context, const agent::v1::PodAnswer* request,
      agent::v1::AnswerPodQuestionResponse* response) override;

 private:
  Claims& claims_;
  PodQuestions& questions_;
  rpc::CallRunner& runner_;
};

}  // namespace ashlar::node_agent
