// What is to be done about one GPUPartition, and what its status says: decided from facts alone.
//
//   status.allocations   ResourceClaim         step
//   ──────────────────   ───────────────────   ─────────────────────────────────────────────────
//   none                 none                  kChoose (the choice is a promise once it is written)
//                                              or kRefuse
//   some                 none                  kMakeClaim
//   some                 ours                  kObserve; kDropClaim if nobody uses the claim yet
//   and
//                                              the place is taken, to choose anew
//   any                  somebody else's       kRefuse
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ashlar/k8s/resource.pb.h"
#include "ashlar/v1alpha1/gpu_partition.pb.h"
#include "controller/gpu_partition/gpu_stock.h"
#include "lib/base/json.h"

namespace ashlar::controller {

struct GpuPartitionFacts {
  v1alpha1::GPUPartition object;
  std::vector<GpuNodeFacts> nodes;  // those that its selector names, with gpuOwnership Manage
  std::vector<v1alpha1::GPUPartitionAllocation> promised;  // to others
  std::vector<std::string> promised_by;                    // as PromisedParts::owners
  std::optional<k8s::ResourceClaim> claim;                 // of its name
};

enum class GpuPartitionStep { kNothing, kRefuse, kChoose, kMakeClaim, kDropClaim, kObserve };

struct GpuPartitionDecision {
  GpuPartitionStep step = GpuPartitionStep::kNothing;
  std::string reason, message;                                // of kRefuse
  std::vector<v1alpha1::GPUPartitionAllocation> allocations;  // of kChoose
};

GpuPartitionDecision DecideGpuPartition(const GpuPartitionFacts& facts);

// The ResourceClaim for exactly the parts that were chosen.
Json ClaimOf(const v1alpha1::GPUPartition& object);

// The changes to a status. Each keeps what it does not speak of.
void SetPartsRefused(v1alpha1::GPUPartition& object, const std::string& reason,
                     const std::string& message, absl::Time now);
void SetPartsChosen(v1alpha1::GPUPartition& object,
                    const std::vector<v1alpha1::GPUPartitionAllocation>& allocations,
                    absl::Time now);
// What the node's agent says of the parts.
void SetPartsObserved(GpuPartitionFacts& facts, absl::Time now);

}  // namespace ashlar::controller
