#include "node-agent/near/near_drives.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "lib/base/status_macros.h"

namespace ashlar::node_agent {

absl::StatusOr<std::vector<std::string>> NearDrives::GpusOf(const CallContext& context,
                                                            const NearFacts& facts,
                                                            const NearArgs& args) {
  const std::string pod = absl::StrCat("pod ", args.pod.name_space, "/", args.pod.name);
  std::vector<std::string> silent;
  for (PodDevices* one : {&kubelet_, &claims_}) {
    const absl::StatusOr<std::vector<PodDevice>> devices = one->Find(context, args.pod);
    if (!devices.ok()) {
      silent.emplace_back(devices.status().message());
      continue;
    }
    PodGpus found = FindGpus(*devices, facts.gpus);
    if (!found.unknown.empty())
      return absl::FailedPreconditionError(absl::StrCat(
          pod, " has GPUs that this node does not know: ", absl::StrJoin(found.unknown, ", ")));
    if (!found.uuids.empty()) return std::move(found.uuids);
  }
  if (!silent.empty()) return absl::UnavailableError(absl::StrJoin(silent, "; "));
  return absl::FailedPreconditionError(
      absl::StrCat(pod, " has no GPU: neither a device plugin nor a ResourceClaim gave it one"));
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
