#include "controller/node_inventory/node_inventory_reconciler.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "controller/objects/transitions.h"
#include "lib/api/kinds.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"

namespace ashlar::controller {

using runtime::Action;
using v1alpha1::NodeInventory;

NodeInventoryReconciler::NodeInventoryReconciler(NodeInventoryReconcilerOptions options,
                                                 NodeInventoryReconcilerParts parts)
    : options_(options),
      parts_(std::move(parts)),
      unknown_volumes_(parts_.metrics.GetCounter(
          "ashlar_controller_unknown_volumes_total",
          "Volumes that an agent reported and that no Volume object speaks of.")) {}

absl::StatusOr<Action> NodeInventoryReconciler::Reconcile(const CallContext& context,
                                                          const api::ObjectKey& key) {
  const AgentView agent = parts_.agents.View(key.name);
  runtime::ObjectPtr object = parts_.node_inventories.Get(key);
  NodeInventoryFacts facts;
  facts.exists = object != nullptr;
  if (facts.exists) {
    ASHLAR_ASSIGN_OR_RETURN(facts.object, api::FromJson<NodeInventory>(*object));
  }
  facts.node_exists = parts_.nodes.Exists(key.name);
  facts.agent = agent.state;
  facts.settling = agent.settling;
  facts.agent_detail = agent.detail;
  facts.last_heard = agent.last_heard;
  if (agent.report != nullptr) facts.inventory = &agent.report->inventory();
  facts.other_gpu_owner = parts_.other_gpu_owner(key.name);

  NoteFreshness(key.name, agent.state == AgentState::kHeard);
  switch (DecideNodeInventory(facts)) {
    case NodeInventoryStep::kNothing:
      return Action::AwaitChange();
    case NodeInventoryStep::kDelete: {
      const absl::Status deleted = parts_.client.Delete(context, api::Kind<NodeInventory>(), key,
                                                        {.uid = facts.object.metadata().uid()});
      if (!deleted.ok() && !absl::IsNotFound(deleted)) return deleted;
      return Action::AwaitChange();
    }
    case NodeInventoryStep::kCreate:
      ASHLAR_RETURN_IF_ERROR(Create(context, key.name, facts, object));
      [[fallthrough]];
    case NodeInventoryStep::kUpdate:
      ASHLAR_RETURN_IF_ERROR(Update(context, facts, object));
  }
  // A silent agent that looks connected gets a new connection.
  if (agent.state == AgentState::kSilent && !agent.settling) parts_.agents.Reconnect(key.name);
  bool pending = false;
  if (agent.state == AgentState::kHeard) {
    pending = LookForUnknownVolumes(key.name, *facts.inventory, *object);
  }
  return Next(agent, pending);
}

absl::Status NodeInventoryReconciler::Create(const CallContext& context, const std::string& node,
                                             NodeInventoryFacts& facts,
                                             runtime::ObjectPtr& object) {
  const api::KindInfo& kind = api::Kind<NodeInventory>();
  auto answer = parts_.writer.Create(context, {{"apiVersion", kind.ApiVersion()},
                                               {"kind", kind.kind},
                                               {"metadata", {{"name", node}}},
                                               {"spec", Json::object()}});
  // The cache is behind: take what is there.
  if (absl::IsAlreadyExists(answer.status())) {
    answer = parts_.client.Get(context, kind, {"", node});
  }
  ASHLAR_RETURN_IF_ERROR(answer.status());
  object = std::make_shared<const Json>(*std::move(answer));
  ASHLAR_ASSIGN_OR_RETURN(facts.object, api::FromJson<NodeInventory>(*object));
  return absl::OkStatus();
}

absl::Status NodeInventoryReconciler::Update(const CallContext& context, NodeInventoryFacts& facts,
                                             const runtime::ObjectPtr& object) {
  const v1alpha1::NodeInventoryStatus before = facts.object.status();
  SetNodeInventoryStatus(facts, options_.last_heard_every, parts_.clock.Now());
  const v1alpha1::NodeInventoryStatus& after = facts.object.status();
  if (before.SerializeAsString() == after.SerializeAsString()) return absl::OkStatus();
  const auto answer = parts_.writer.UpdateStatus(context, *object, after);
  if (absl::IsNotFound(answer.status())) return absl::OkStatus();
  ASHLAR_RETURN_IF_ERROR(answer.status());
  for (const k8s::Condition& turned : TurnedConditions(before.conditions(), after.conditions())) {
    // InventoryFresh and Ready turn together: one event tells it.
    const absl::string_view bad = turned.type() == "OwnershipConflict" ? api::kTrue : api::kFalse;
    if (turned.type() == "Ready" || turned.status() != bad) continue;
    parts_.events.Publish(EventSink::Type::kWarning, *object, turned.reason(), turned.message());
  }
  return absl::OkStatus();
}

void NodeInventoryReconciler::NoteFreshness(const std::string& node, bool heard) {
  {
    MutexLock lock(mu_);
    auto [it, added] = heard_.try_emplace(node, heard);
    if (!added && it->second == heard) return;
    it->second = heard;
  }
  parts_.freshness_changed(node);
}

bool NodeInventoryReconciler::LookForUnknownVolumes(const std::string& node,
                                                    const agent::v1::Inventory& inventory,
                                                    const Json& object) {
  if (!parts_.volumes.Synced()) return false;
  const absl::Time now = parts_.clock.Now();
  std::vector<std::string> news;
  bool pending = false;
  {
    MutexLock lock(mu_);
    UnknownVolumes& old = unknown_[node];
    UnknownVolumes present;
    for (const agent::v1::VolumeState& volume : inventory.volumes()) {
      // The pod's, and the agent's care; snapshots have objects of another kind.
      if (volume.inline_volume() || volume.snapshot()) continue;
      if (parts_.volumes.Get({"", volume.volume_id()}) != nullptr) continue;
      auto it = old.find(volume.volume_id());
      Unknown& entry = present[volume.volume_id()];
      entry = it == old.end() ? Unknown{now} : it->second;
      if (entry.told) continue;
      if (now - entry.since < options_.unknown_after) {
        pending = true;
        continue;
      }
      entry.told = true;
      news.push_back(volume.volume_id());
    }
    old = std::move(present);
  }
  for (const std::string& volume : news) {
    unknown_volumes_.Increment();
    LogWarning("agent holds a volume without Volume object", {{"node", node}, {"volume", volume}});
    parts_.events.Publish(EventSink::Type::kWarning, object, "UnknownVolume",
                          absl::StrCat("the agent holds volume ", volume,
                                       ", which no Volume object speaks of; it is left alone"));
  }
  return pending;
}

Action NodeInventoryReconciler::Next(const AgentView& agent, bool unknown_pending) const {
  const absl::Duration silent_after = parts_.agents.options().silent_after;
  absl::Duration wait = options_.last_heard_every;
  if (agent.state == AgentState::kHeard) {
    const absl::Duration quiet = parts_.clock.Now() - agent.last_heard;
    wait = std::min(wait, std::max(silent_after - quiet, absl::Milliseconds(100)));
  } else if (agent.settling || agent.state == AgentState::kSilent) {
    wait = std::min(wait, silent_after);
  } else {
    return Action::AwaitChange();
  }
  if (unknown_pending) wait = std::min(wait, options_.unknown_after);
  return Action::RequeueAfter(wait);
}

}  // namespace ashlar::controller
