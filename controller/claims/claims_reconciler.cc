#include "controller/claims/claims_reconciler.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ashlar/k8s/resource.codec.h"
#include "controller/dra_names/drive_names.h"
#include "controller/volume/volume_plan.h"
#include "lib/api/kinds.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/kube/object.h"

namespace ashlar::controller {

using k8s::ResourceClaim;
using runtime::Action;
using v1alpha1::Volume;

namespace {

const agent::v1::ClaimState* FindClaim(const AgentView& agent, const std::string& uid) {
  if (agent.report == nullptr) return nullptr;
  for (const agent::v1::ClaimState& claim : agent.report->inventory().claims())
    if (claim.uid() == uid) return &claim;
  return nullptr;
}

// What the agent says of the devices that it knows.
void HeedAgent(const agent::v1::ClaimState& state, ClaimPlan& plan) {
  for (PlannedDevice& device : plan.devices)
    for (const agent::v1::ClaimDeviceState& told : state.devices()) {
      if (told.driver() != device.told.driver() || told.device() != device.told.device() ||
          told.request() != device.told.request() || told.problem().empty())
        continue;
      device.trouble = Trouble::kWaiting;
      device.reason = "DeviceProblem";
      device.message = told.problem();
    }
}

bool AllAre(const ClaimPlan& plan, Trouble trouble) {
  return std::all_of(plan.devices.begin(), plan.devices.end(),
                     [&](const PlannedDevice& device) { return device.trouble == trouble; });
}

std::string ClaimUidOf(const Json& volume) {
  return JsonString(volume, {"metadata", "labels", kClaimUidLabel});
}

}  // namespace

ClaimsReconciler::ClaimsReconciler(ClaimsReconcilerOptions options, ClaimsReconcilerParts parts)
    : options_(options), parts_(std::move(parts)) {}

absl::StatusOr<Action> ClaimsReconciler::Reconcile(const CallContext& context,
                                                   const api::ObjectKey& key) {
  return key.space.empty() ? Sweep(context, key.name) : ReconcileClaim(context, key);
}

void ClaimsReconciler::NoteNode(const api::ObjectKey& claim, const std::string& node) {
  std::string before;
  {
    MutexLock lock(mu_);
    const auto found = node_of_.find(claim);
    if (found != node_of_.end()) before = found->second;
    if (node.empty())
      node_of_.erase(claim);
    else
      node_of_[claim] = node;
  }
  if (!before.empty() && before != node) parts_.queue({"", before});
}

ClaimPlan ClaimsReconciler::Plan(const ResourceClaim& claim) const {
  // They outlive the plan's pointers.
  std::shared_ptr<const AgentReport> report;
  std::map<std::string, Volume> volumes;
  SliceFinder slices(parts_.dra);
  ClaimSources sources;
  sources.inventory = [&](const std::string& node) -> const agent::v1::Inventory* {
    report = parts_.agents.View(node).report;
    return report == nullptr ? nullptr : &report->inventory();
  };
  sources.volume = [&](const std::string& name) -> const Volume* {
    const runtime::ObjectPtr volume = parts_.volumes.Get({"", name});
    if (volume == nullptr) return nullptr;
    auto read = api::FromJson<Volume>(*volume);
    return read.ok() ? &(volumes[name] = *std::move(read)) : nullptr;
  };
  sources.offered = [&](const std::string& node, const std::string& device) -> const Volume* {
    std::optional<Volume> volume = parts_.offered.Find(node, device);
    if (!volume) return nullptr;
    Volume& kept = volumes[volume->metadata().name()];
    kept = *std::move(volume);
    return &kept;
  };
  sources.slice = [&](const std::string& driver, const std::string& pool,
                      const std::string& device) { return slices.Find(driver, pool, device); };
  return PlanClaim(claim, sources);
}

void ClaimsReconciler::Withdraw(const CallContext& context, const ClaimPlan& plan,
                                const std::string& uid) {
  const bool withdrawn = std::any_of(plan.devices.begin(), plan.devices.end(),
                                     [](const PlannedDevice& device) { return device.withdrawn; });
  if (!withdrawn) return;
  const absl::Status forgotten = Forget(context, plan.node, uid);
  if (!forgotten.ok())
    LogInfo("a claim keeps a volume that is not offered to it any more",
            {{"node", plan.node}, {"claim", uid}, {"status", forgotten.ToString()}});
}

ClaimsReconciler::Result ClaimsReconciler::ReconcileClaim(const CallContext& context,
                                                          const api::ObjectKey& key) {
  const runtime::ObjectPtr object = parts_.dra.claims.Get(key);
  if (object == nullptr) {
    NoteNode(key, "");
    return Action::AwaitChange();
  }
  ASHLAR_ASSIGN_OR_RETURN(const ResourceClaim claim, api::FromJson<ResourceClaim>(*object));
  ClaimPlan plan = Plan(claim);
  NoteNode(key, plan.node);
  if (plan.node.empty()) return Action::AwaitChange();

  // What cannot be had whole is not begun.
  const bool sound =
      std::none_of(plan.devices.begin(), plan.devices.end(), [](const PlannedDevice& device) {
        return device.trouble == Trouble::kInvalid || device.trouble == Trouble::kFailed;
      });
  if (sound) ASHLAR_RETURN_IF_ERROR(EnsureVolumes(context, plan));
  Withdraw(context, plan, claim.metadata().uid());
  const bool settled = sound && AllAre(plan, Trouble::kNone) && Tell(context, claim, plan);
  ResourceClaim after = claim;
  SetDeviceStatus(plan, after, parts_.clock.Now());
  ASHLAR_RETURN_IF_ERROR(WriteStatus(context, *object, claim, after));
  return settled && AllAre(plan, Trouble::kNone) ? Action::AwaitChange()
                                                 : Action::RequeueAfter(options_.retry);
}

absl::Status ClaimsReconciler::EnsureVolumes(const CallContext& context, ClaimPlan& plan) {
  for (PlannedDevice& device : plan.devices)
    if (device.wants_volume) ASHLAR_RETURN_IF_ERROR(EnsureVolume(context, device));
  return absl::OkStatus();
}

absl::Status ClaimsReconciler::EnsureVolume(const CallContext& context, PlannedDevice& device) {
  const api::KindInfo& kind = api::Kind<Volume>();
  const api::ObjectKey key{"", device.volume.metadata().name()};
  const runtime::ObjectPtr object = parts_.volumes.Get(key);
  if (object == nullptr) {
    const auto made = parts_.volume_writer.Create(context, api::ToJson(device.volume));
    // The cache is behind: the next pass sees it.
    if (!made.ok() && !absl::IsAlreadyExists(made.status())) return made.status();
    JudgeVolume(nullptr, device);
    return absl::OkStatus();
  }
  ASHLAR_ASSIGN_OR_RETURN(const Volume exists, api::FromJson<Volume>(*object));
  JudgeVolume(&exists, device);
  if (IsTheSameVolume(device.volume, exists) || kube::IsBeingDeleted(*object))
    return absl::OkStatus();
  const absl::Status deleted =
      parts_.client.Delete(context, kind, key, {.uid = exists.metadata().uid()});
  return absl::IsNotFound(deleted) ? absl::OkStatus() : deleted;
}

bool ClaimsReconciler::Tell(const CallContext& context, const ResourceClaim& claim,
                            ClaimPlan& plan) {
  const agent::v1::EnsureClaimRequest request = TellRequest(claim, plan);
  const std::string& uid = request.uid();
  const AgentView agent = parts_.agents.View(plan.node);
  const agent::v1::ClaimState* known = FindClaim(agent, uid);
  const Told telling{request.SerializeAsString(),
                     agent.report == nullptr ? "" : agent.report->inventory().boot_id()};
  if (known != nullptr) {
    MutexLock lock(mu_);
    const auto before = told_.find(uid);
    if (before != told_.end() && before->second.request == telling.request &&
        before->second.boot == telling.boot) {
      HeedAgent(*known, plan);
      return true;
    }
  }
  CallContext call = context;
  call.deadline = std::min(call.deadline, parts_.clock.Now() + options_.agent_timeout);
  absl::StatusOr<agent::v1::ClaimState> state;
  if (auto client = parts_.agents.Client(plan.node); client.ok())
    state = (*client)->EnsureClaim(call, request);
  else
    state = client.status();
  if (state.ok()) {
    HeedAgent(*state, plan);
    MutexLock lock(mu_);
    told_[uid] = telling;
    return known != nullptr;
  }
  for (PlannedDevice& device : plan.devices) {
    device.trouble = Trouble::kWaiting;
    device.reason = absl::IsUnavailable(state.status()) ? kAgentUnavailable : "AgentRefused";
    device.message =
        absl::StrCat("the agent of node ", plan.node, ": ", std::string(state.status().message()));
  }
  return false;
}

absl::Status ClaimsReconciler::WriteStatus(const CallContext& context, const Json& object,
                                           const ResourceClaim& before,
                                           const ResourceClaim& after) {
  if (before.SerializeAsString() == after.SerializeAsString()) return absl::OkStatus();
  Json wanted = object;
  api::MergeIntoJson(after, wanted);
  const auto answer =
      parts_.client.Update(context, api::Kind<ResourceClaim>(), wanted, kube::Subresource::kStatus);
  if (absl::IsNotFound(answer.status())) return absl::OkStatus();
  ASHLAR_RETURN_IF_ERROR(answer.status());
  parts_.dra.claims.Put(*answer);
  for (const k8s::AllocatedDeviceStatus& device : after.status().devices()) {
    if (!IsOurDriver(device.driver())) continue;
    for (const k8s::Condition& condition : device.conditions())
      if (condition.type() == "Ready" &&
          (condition.reason() == "InvalidConfig" || condition.reason() == "InvalidSize" ||
           condition.reason() == "NotOffered"))
        parts_.events.Publish(EventSink::Type::kWarning, object, condition.reason(),
                              condition.message());
  }
  return absl::OkStatus();
}

ClaimsReconciler::Live ClaimsReconciler::LiveClaims() const {
  Live live;
  for (const runtime::ObjectPtr& claim : parts_.dra.claims.List()) {
    const Json* results = FindJson(*claim, {"status", "allocation", "devices", "results"});
    if (results == nullptr || !results->is_array()) continue;
    for (const Json& result : *results)
      if (IsOurDriver(JsonString(result, {"driver"})))
        live[JsonString(*claim, {"metadata", "uid"})].insert(
            absl::StrCat(JsonString(result, {"pool"}), "/", JsonString(result, {"device"})));
  }
  return live;
}

absl::Status ClaimsReconciler::Forget(const CallContext& context, const std::string& node,
                                      const std::string& uid) {
  {
    MutexLock lock(mu_);
    told_.erase(uid);
  }
  // Nobody is left who could use the claim's devices.
  if (!parts_.nodes.Exists(node)) return absl::OkStatus();
  ASHLAR_ASSIGN_OR_RETURN(const auto client, parts_.agents.Client(node));
  CallContext call = context;
  call.deadline = std::min(call.deadline, parts_.clock.Now() + options_.agent_timeout);
  const absl::Status removed = client->RemoveClaim(call, uid);
  // An agent without the service knows of no claim.
  return absl::IsUnimplemented(removed) ? absl::OkStatus() : removed;
}

bool ClaimsReconciler::LivesOn(const Live& live, const std::string& uid, const std::string& node) {
  const auto found = live.find(uid);
  return found != live.end() &&
         std::any_of(found->second.begin(), found->second.end(), [&](const std::string& device) {
           return device.substr(0, device.find('/')) == node;
         });
}

std::vector<runtime::ObjectPtr> ClaimsReconciler::LeftVolumes(const Live& live,
                                                              const std::string& node) const {
  std::vector<runtime::ObjectPtr> left;
  for (const runtime::ObjectPtr& volume : parts_.volumes.List()) {
    const std::string uid = ClaimUidOf(*volume);
    if (uid.empty() || JsonString(*volume, {"spec", "nodeName"}) != node) continue;
    const auto found = live.find(uid);
    const std::string device =
        absl::StrCat(node, "/", DriveDeviceName(JsonString(*volume, {"spec", "drive"})));
    if (found == live.end() || !found->second.contains(device)) left.push_back(volume);
  }
  return left;
}

ClaimsReconciler::Result ClaimsReconciler::Sweep(const CallContext& context,
                                                 const std::string& node) {
  const Live live = LiveClaims();
  const std::vector<runtime::ObjectPtr> left = LeftVolumes(live, node);
  std::set<std::string> ended;
  for (const runtime::ObjectPtr& volume : left)
    if (!LivesOn(live, ClaimUidOf(*volume), node)) ended.insert(ClaimUidOf(*volume));
  if (const AgentView agent = parts_.agents.View(node); agent.report != nullptr)
    for (const agent::v1::ClaimState& claim : agent.report->inventory().claims())
      if (!LivesOn(live, claim.uid(), node)) ended.insert(claim.uid());

  std::set<std::string> in_use;
  for (const std::string& uid : ended) {
    const absl::Status status = Forget(context, node, uid);
    if (status.ok()) continue;
    in_use.insert(uid);
    LogInfo("a claim that ended is still in use",
            {{"node", node}, {"claim", uid}, {"status", status.ToString()}});
  }
  for (const runtime::ObjectPtr& volume : left) {
    if (in_use.count(ClaimUidOf(*volume)) > 0 || kube::IsBeingDeleted(*volume)) continue;
    const absl::Status deleted =
        parts_.client.Delete(context, api::Kind<Volume>(), kube::KeyOf(*volume),
                             {.uid = JsonString(*volume, {"metadata", "uid"})});
    if (!deleted.ok() && !absl::IsNotFound(deleted)) return deleted;
  }
  return in_use.empty() ? Action::AwaitChange() : Action::RequeueAfter(options_.retry);
}

}  // namespace ashlar::controller
