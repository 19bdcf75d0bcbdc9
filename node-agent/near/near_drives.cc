#include "node-agent/near/near_drives.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "lib/base/status_macros.h"

namespace ashlar::node_agent {

absl::StatusOr<std::vector<std::string>> NearDrives::GpusOf(const CallContext& context,
                                                            const NearFacts& facts,
                                                            const NearArgs& args) {
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<PodDevice> devices,
                          pods_.Find(context, args.pod_namespace, args.pod_name));
  PodGpus found = FindGpus(devices, facts.gpus);
  const std::string pod = absl::StrCat("pod ", args.pod_namespace, "/", args.pod_name);
  if (!found.unknown.empty())
    return absl::FailedPreconditionError(absl::StrCat(
        pod, " has GPUs that this node does not know: ", absl::StrJoin(found.unknown, ", ")));
  if (found.uuids.empty())
    return absl::FailedPreconditionError(
        absl::StrCat("the kubelet shows no GPU of ", pod,
                     ": it has none, or gets it by a ResourceClaim, which the kubelet prepares "
                     "after the pod's volumes"));
  return std::move(found.uuids);
}

absl::StatusOr<NearPlan> NearDrives::Plan(const CallContext& context, const PoolUsage& usage,
                                          int64_t size_bytes, const NearArgs& args) {
  ASHLAR_ASSIGN_OR_RETURN(const NearLevel level, LevelFromName(args.level));
  NearPlan plan;
  plan.anywhere = !args.required;
  const NearFacts facts = facts_();
  const absl::StatusOr<std::vector<std::string>> gpus = GpusOf(context, facts, args);
  if (!gpus.ok() && args.required) return gpus.status();
  if (!gpus.ok()) {
    plan.why = std::string(gpus.status().message());
    return plan;
  }
  plan.gpus = *gpus;
  if (usage.drives.empty()) {
    plan.why = "volumes of the pool lie on no one drive";
    if (args.required) return absl::FailedPreconditionError(plan.why);
    return plan;
  }
  const std::vector<NearDrive> ordered =
      OrderDrives(usage.drives, facts.drives, facts.paths, plan.gpus);
  for (const NearDrive& drive : ordered)
    if (drive.room_bytes >= size_bytes && (!args.required || drive.level <= level))
      plan.drives.push_back(drive);
  if (plan.drives.empty() && args.required)
    return absl::FailedPreconditionError(
        absl::StrCat("a drive within level ", args.level, " of ", absl::StrJoin(plan.gpus, ", "),
                     " is required: ", ExplainFar(ordered, level, size_bytes)));
  return plan;
}

}  // namespace ashlar::node_agent
