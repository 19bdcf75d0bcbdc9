#include "controller/pool/pool_reconciler.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <utility>

#include "controller/objects/transitions.h"
#include "lib/api/kinds.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/kube/request_id.h"

namespace ashlar::controller {

using runtime::Action;
using v1alpha1::Pool;

namespace {

constexpr char kBytesMetric[] = "ashlar_pool_bytes";
constexpr const char* kByteStates[] = {"capacity", "allocated", "in_flight", "allocatable"};

// Runs work(i) for every i below `count` on up to `threads` threads, and returns when all are done.
void ForEachInParallel(int count, int threads, const std::function<void(int)>& work) {
  if (count == 1) return work(0);
  std::atomic<int> next = 0;
  std::vector<std::jthread> workers;
  for (int t = 0; t < std::min(count, threads); ++t) {
    workers.emplace_back([&] {
      for (int i = next++; i < count; i = next++) work(i);
    });
  }
}

}  // namespace

PoolReconciler::PoolReconciler(PoolReconcilerOptions options, PoolReconcilerParts parts)
    : options_(options), parts_(parts) {}

absl::StatusOr<Action> PoolReconciler::Reconcile(const CallContext& context,
                                                 const api::ObjectKey& key) {
  runtime::ObjectPtr object = parts_.pools.Get(key);
  if (object == nullptr) {
    Forget(key.name);
    return Action::AwaitChange();
  }
  ASHLAR_ASSIGN_OR_RETURN(Pass pass, Gather(context, std::move(object)));
  const bool deleting = pass.facts.pool.metadata().has_deletion_timestamp();
  if (!HasAgentFinalizer(*pass.object)) {
    if (deleting) return Action::AwaitChange();
    // Before anything is made on a node.
    ASHLAR_ASSIGN_OR_RETURN(Json answer,
                            parts_.writer.UpdateOwned(pass.context, *pass.object, Json()));
    pass.object = std::make_shared<const Json>(std::move(answer));
  }
  AskAgents(pass);
  SetPoolStatus(pass.facts, parts_.clock.Now());
  return deleting ? FinishDeletion(pass) : Finish(pass);
}

absl::StatusOr<PoolReconciler::Pass> PoolReconciler::Gather(const CallContext& context,
                                                            runtime::ObjectPtr object) {
  Pass pass{.context = context, .object = std::move(object)};
  ASHLAR_ASSIGN_OR_RETURN(pass.facts.pool, api::FromJson<Pool>(*pass.object));
  Pool& pool = pass.facts.pool;
  if (pass.context.request_id.empty()) pass.context.request_id = kube::RequestIdOf(*pass.object);
  pass.status_before = pool.status();
  {
    MutexLock lock(mu_);
    pass.asked = memory_[pool.metadata().uid()].asked;
  }
  const absl::StatusOr<PoolSelection> selection = PoolSelection::Make(pool);
  if (!selection.ok()) pass.facts.selector_error = std::string(selection.status().message());
  if (pool.metadata().has_deletion_timestamp()) {
    pass.facts.volumes = VolumesOf(pool.metadata().name());
  }
  const std::vector<std::string> nodes = parts_.offers.Names();
  pass.agents.reserve(nodes.size());
  for (const std::string& node : nodes) {
    GatherNode(pass, node, selection.ok() ? &*selection : nullptr);
  }
  return pass;
}

void PoolReconciler::GatherNode(Pass& pass, const std::string& name,
                                const PoolSelection* selection) {
  const AgentView& agent = pass.agents.emplace_back(parts_.agents.View(name));
  const runtime::ObjectPtr object = parts_.nodes.Get({"", name});
  PoolNodeFacts node;
  node.node = name;
  node.agent = agent.state;
  node.settling = agent.settling;
  node.agent_detail = agent.detail;
  // An agent whose pod is being replaced is still the node's agent.
  const bool runs_agent =
      agent.state != AgentState::kNone || (agent.settling && agent.report != nullptr);
  node.selected = selection != nullptr && selection->Selects(object.get(), runs_agent);
  const std::string& pool = pass.facts.pool.metadata().name();
  node.in_flight_bytes = parts_.ledger.InFlightBytes(name, pool);
  if (agent.report != nullptr) {
    node.reported = agent.report->FindPool(pool);
    for (const agent::v1::VolumeState& volume : agent.report->inventory().volumes()) {
      if (volume.pool() == pool && !volume.healthy()) ++node.unhealthy_volumes;
    }
  }
  if (const auto inventory = parts_.node_inventories.Get({"", name})) {
    node.observed_only = pass.facts.pool.spec().has_devices() &&
                         JsonString(*inventory, {"spec", "nvmeOwnership"}) == "Observe";
  }
  if (auto asked = pass.asked.find(name); asked != pass.asked.end()) {
    node.ensured_generation = asked->second.generation;
    node.unreported = asked->second.unreported;
    node.call_error = asked->second.error;
  }
  pass.facts.nodes.push_back(std::move(node));
}

std::vector<std::string> PoolReconciler::VolumesOf(const std::string& pool) const {
  std::vector<std::string> names;
  for (const runtime::ObjectPtr& volume : parts_.volumes.List()) {
    if (JsonString(*volume, {"spec", "pool"}) == pool) {
      names.push_back(JsonString(*volume, {"metadata", "name"}));
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

void PoolReconciler::AskAgents(Pass& pass) {
  struct Call {
    PoolNodeFacts* node;
    PoolStep step;
    Asked* asked;
  };
  std::vector<Call> calls;
  const absl::Time now = parts_.clock.Now();
  for (PoolNodeFacts& node : pass.facts.nodes) {
    const PoolStep step = DecidePoolOnNode(pass.facts, node);
    if (step == PoolStep::kNothing) continue;
    Asked& asked = pass.asked[node.node];
    // What the agent just refused is not asked again with every change that comes by.
    const bool again = asked.generation == pass.facts.pool.metadata().generation() &&
                       now - asked.at < options_.slow_retry && step == PoolStep::kEnsure &&
                       (!asked.error.empty() || node.reported != nullptr);
    if (again) continue;
    calls.push_back({&node, step, &asked});
  }
  ForEachInParallel(static_cast<int>(calls.size()), options_.parallel_calls,
                    [&](int i) { AskAgent(pass, *calls[i].node, calls[i].step, *calls[i].asked); });
  MutexLock lock(mu_);
  memory_[pass.facts.pool.metadata().uid()].asked = pass.asked;
}

void PoolReconciler::AskAgent(Pass& pass, PoolNodeFacts& node, PoolStep step, Asked& asked) {
  const CallContext context = pass.context.Until(parts_.clock.Now() + options_.agent_timeout);
  const Pool& pool = pass.facts.pool;
  const auto agent = parts_.agents.Client(node.node);
  absl::Status status = agent.status();
  if (agent.ok() && step == PoolStep::kRemove) {
    status = (*agent)->RemovePool(context, pool.metadata().name());
    if (status.ok()) {
      node.reported = nullptr;
      node.unreported = asked.unreported = false;
    }
  } else if (agent.ok()) {
    node.unreported = asked.unreported = true;
    auto state = (*agent)->EnsurePool(context, EnsureRequest(pool));
    status = state.status();
    if (state.ok()) {
      // The report that says so comes later; who sees the pool ready can have volumes at once.
      asked.answer = *std::move(state);
      parts_.ledger.Introduce(node.node, asked.answer.name(), ReportOf(asked.answer));
      node.reported = &asked.answer;
    }
  }
  asked.generation = pool.metadata().generation();
  asked.at = parts_.clock.Now();
  asked.error = status.ok() ? "" : std::string(status.message());
  node.call_error = asked.error;
  if (status.ok()) return;
  LogWarning("agent refused the pool", {{"pool", pool.metadata().name()},
                                        {"node", node.node},
                                        {"error", status.ToString()},
                                        {"request", context.request_id}});
}

PoolReconciler::Result PoolReconciler::Finish(Pass& pass) {
  ShowMetrics(pass.facts.pool);
  const Pool& pool = pass.facts.pool;
  absl::Duration wait = absl::InfiniteDuration();
  for (const PoolNodeFacts& node : pass.facts.nodes) {
    if (DecidePoolOnNode(pass.facts, node) != PoolStep::kNothing) wait = options_.slow_retry;
  }
  const absl::Time now = parts_.clock.Now();
  if (DiffersOnlyInNumbers(pass.status_before, pool.status())) {
    MutexLock lock(mu_);
    const absl::Duration since = now - memory_[pool.metadata().uid()].written;
    if (since < options_.numbers_every) {
      return Action::RequeueAfter(std::min(wait, options_.numbers_every - since));
    }
  }
  ASHLAR_RETURN_IF_ERROR(WriteStatus(pass));
  return wait == absl::InfiniteDuration() ? Action::AwaitChange() : Action::RequeueAfter(wait);
}

PoolReconciler::Result PoolReconciler::FinishDeletion(Pass& pass) {
  if (CanReleasePool(pass.facts)) {
    ASHLAR_RETURN_IF_ERROR(parts_.writer.RemoveFinalizer(pass.context, *pass.object));
    Forget(pass.facts.pool.metadata().name());
    return Action::AwaitChange();
  }
  ASHLAR_RETURN_IF_ERROR(WriteStatus(pass));
  // The end of the last volume queues the pool; a silent agent may be gone for good.
  return Action::RequeueAfter(options_.slow_retry);
}

absl::Status PoolReconciler::WriteStatus(Pass& pass) {
  const Pool& pool = pass.facts.pool;
  if (pool.status().SerializeAsString() == pass.status_before.SerializeAsString()) {
    return absl::OkStatus();
  }
  const auto answer = parts_.writer.UpdateStatus(pass.context, *pass.object, pool.status());
  if (absl::IsNotFound(answer.status())) return absl::OkStatus();
  ASHLAR_RETURN_IF_ERROR(answer.status());
  {
    MutexLock lock(mu_);
    memory_[pool.metadata().uid()].written = parts_.clock.Now();
  }
  PublishTurns(pass);
  return absl::OkStatus();
}

void PoolReconciler::PublishTurns(const Pass& pass) {
  for (const k8s::Condition& turned :
       TurnedConditions(pass.status_before.conditions(), pass.facts.pool.status().conditions())) {
    if (turned.status() == api::kFalse) {
      parts_.events.Publish(EventSink::Type::kWarning, *pass.object, turned.reason(),
                            turned.message());
    } else if (turned.status() == api::kTrue && turned.type() == "Ready") {
      parts_.events.Publish(EventSink::Type::kNormal, *pass.object, "Ready", turned.message());
    }
  }
}

void PoolReconciler::ShowMetrics(const Pool& pool) {
  const v1alpha1::PoolStatus& status = pool.status();
  const int64_t bytes[] = {status.capacity(), status.allocated(), status.in_flight(),
                           status.allocatable()};
  for (size_t i = 0; i < std::size(kByteStates); ++i) {
    parts_.metrics
        .GetGauge(kBytesMetric, "Bytes of a pool on all its nodes, by state.",
                  {{"pool", pool.metadata().name()}, {"state", kByteStates[i]}})
        .Set(static_cast<double>(bytes[i]));
  }
}

void PoolReconciler::Forget(const std::string& pool) {
  for (const char* state : kByteStates) {
    parts_.metrics.RemoveGauge(kBytesMetric, {{"pool", pool}, {"state", state}});
  }
  MutexLock lock(mu_);
  // Uids of pools that are gone.
  absl::flat_hash_map<std::string, Memory> kept;
  for (const runtime::ObjectPtr& object : parts_.pools.List()) {
    const std::string uid = JsonString(*object, {"metadata", "uid"});
    if (auto it = memory_.find(uid); it != memory_.end()) kept[uid] = std::move(it->second);
  }
  memory_ = std::move(kept);
}

}  // namespace ashlar::controller
