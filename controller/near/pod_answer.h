// What ResourceClaims gave to a pod on its node: the answer to a PodQuestion of the node's agent
// (proto/ashlar/agent/v1/node_claims.proto). Pure.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "ashlar/agent/v1/node_agent.pb.h"
#include "ashlar/k8s/resource.pb.h"

namespace ashlar::controller {

// The slice that publishes the device, or nullptr: it is not known.
using FindSlice = std::function<const k8s::ResourceSlice*(
    const std::string& driver, const std::string& pool, const std::string& device)>;

// Whether the claim is reserved for the pod.
bool IsReservedFor(const k8s::ResourceClaim& claim, const std::string& pod_uid);

// One GPU, or part of one, that a claim was given; false: it is none, or of another node. A device
// that no slice publishes is known by its name alone, if its pool has the node's name.
bool DescribeGpu(const k8s::DeviceRequestAllocationResult& result, const std::string& node,
                 const FindSlice& find_slice, agent::v1::PodClaimDevice& device);

// UUIDs of the node's GPUs that the claim was given, or was given parts of; each once.
std::vector<std::string> GpusOf(const k8s::ResourceClaim& claim, const std::string& node,
                                const agent::v1::Inventory& inventory, const FindSlice& find_slice);

// `claims` are of the pod's namespace; those of other pods, and devices of other nodes, are left
// out.
agent::v1::PodAnswer AnswerOf(const agent::v1::PodQuestion& question, const std::string& node,
                              const std::vector<k8s::ResourceClaim>& claims,
                              const FindSlice& find_slice);

}  // namespace ashlar::controller
