// Between the messages of proto/ashlar/agent/v1/node_claims.proto and the agent's own types. Pure.
#pragma once

#include "absl/status/statusor.h"
#include "ashlar/agent/v1/node_claims.pb.h"
#include "node-agent/claims/claim_record.h"

namespace ashlar::node_agent {

// InvalidArgument: a device says not what it is.
absl::StatusOr<ClaimFacts> FactsFromProto(const agent::v1::EnsureClaimRequest& request);
agent::v1::ClaimState ToProto(const ClaimStatus& status);

}  // namespace ashlar::node_agent
