// CompositionGatherer: the facts by which is decided what is to be done about a Composition, out of
// caches, agents and the API server. Thread-safe.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "ashlar/v1alpha1/gpu_partition.pb.h"
#include "controller/agents/agent_directory.h"
#include "controller/composition/composition_plan.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/kube/client.h"
#include "lib/runtime/cache.h"

namespace ashlar::controller {

// All must outlive the gatherer.
struct CompositionSources {
  kube::Client& client;
  const runtime::Cache& compositions;
  const runtime::Cache& classes;
  const runtime::Cache& volumes;
  const runtime::Cache& gpu_partitions;
  const runtime::Cache* claims;         // nullptr: the API server does not serve resource.k8s.io/v1
  const runtime::Cache* nvidia_slices;  // likewise: ResourceSlices of gpu.nvidia.com
  const runtime::Cache& node_inventories;
  const runtime::Cache& nodes;
  const AgentDirectory& agents;
  Clock& clock;
};

struct GatheredComposition {
  CompositionFacts facts;
  std::vector<ComposableNode> nodes;  // that its stock is of
  // Held for `facts`.
  std::vector<std::shared_ptr<const AgentReport>> reports;
};

struct GatheredStock {
  DeviceStock stock;
  std::vector<std::shared_ptr<const AgentReport>> reports;  // held for `stock`
};

class CompositionGatherer {
 public:
  explicit CompositionGatherer(CompositionSources sources) : sources_(sources) {}

  absl::StatusOr<GatheredComposition> Gather(const CallContext& context, const Json& object) const;
  // What a Composition could have that selects all nodes.
  absl::StatusOr<GatheredStock> GatherWholeStock(const CallContext& context) const;

 private:
  struct Pass;

  absl::Status GatherMade(Pass& pass) const;
  absl::Status GatherNamed(Pass& pass, const api::KindInfo& kind,
                           std::set<std::string>& names) const;
  absl::Status GatherSchedulers(Pass& pass) const;
  absl::Status GatherStock(Pass& pass) const;
  absl::StatusOr<std::vector<ComposableNode>> GatherNodes(Pass& pass) const;
  void GatherMemberNodes(Pass& pass) const;
  std::string GpusProblemOf(const Json& inventory) const;
  std::vector<v1alpha1::GPUPartitionAllocation> PromisedParts(const api::ObjectKey& own) const;
  std::vector<PromisedBytes> PromisedToOthers(const api::ObjectKey& own) const;

  const CompositionSources sources_;
  // What the API server said last of which schedulers of gangs are installed.
  mutable Mutex mu_;
  mutable absl::Time asked_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();
  mutable std::set<std::string> installed_ ABSL_GUARDED_BY(mu_);
};

// What the Compositions of the cache but `own` have of GPUs, as places that are promised.
std::vector<v1alpha1::GPUPartitionAllocation> PartsOfCompositions(
    const runtime::Cache& compositions, const api::ObjectKey& own);

// What bears the uid of a Composition; empty: none.
std::string CompositionUidOf(const Json& object);

}  // namespace ashlar::controller
