#include "controller/pool/pool_plan.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "controller/placement/capacity_ledger.h"
#include "lib/api/conditions.h"

namespace ashlar::controller {
namespace {

constexpr size_t kNamesShown = 5;
// Reason of a pool that drives leave: nothing is wrong with them.
constexpr absl::string_view kDraining = "Draining";

bool Deleting(const PoolFacts& facts) { return facts.pool.metadata().has_deletion_timestamp(); }

// A pool of this name that another Pool object made is not this one.
bool IsOurs(const PoolFacts& facts, const PoolNodeFacts& node) {
  return node.reported != nullptr && node.reported->uid() == facts.pool.metadata().uid();
}

// Its agent's last report may be older than the pool.
bool MayBeThere(const PoolFacts& facts, const PoolNodeFacts& node) {
  return IsOurs(facts, node) || (node.reported == nullptr && node.unreported);
}

bool ReadyOn(const PoolFacts& facts, const PoolNodeFacts& node) {
  return node.agent == AgentState::kHeard && IsOurs(facts, node) && node.reported->ready();
}

// Why the pool is not ready on the node.
void SetReason(const PoolFacts& facts, const PoolNodeFacts& node, v1alpha1::PoolNodeStatus& out) {
  auto set = [&](absl::string_view reason, absl::string_view message) {
    out.set_reason(std::string(reason));
    out.set_message(std::string(message));
  };
  if (node.agent == AgentState::kNone) return set("NoAgent", "no agent runs on the node");
  if (node.agent == AgentState::kSilent) return set("AgentSilent", node.agent_detail);
  if (node.observed_only) {
    return set("NodeObserved", "the NodeInventory of the node has nvmeOwnership Observe");
  }
  if (!node.call_error.empty()) return set("AgentRefused", node.call_error);
  if (node.reported == nullptr) return set("Pending", "the agent was not asked yet");
  if (!IsOurs(facts, node)) {
    return set("ForeignPool",
               absl::StrCat("the node has a pool of this name with uid ", node.reported->uid()));
  }
  set(node.reported->reason(), node.reported->message());
}

void SetLargestVolume(const PoolFacts& facts, const PoolNodeFacts& node,
                      v1alpha1::PoolNodeStatus& out) {
  const int64_t largest = node.reported->largest_volume_bytes();
  // A volume takes its drive whole, and the agent's next report says so: taking its bytes from
  // another drive's too would hide that one for as long as this one is zeroed.
  out.set_largest_volume(
      facts.pool.spec().backend() == "WholeDrive"
          ? std::min(out.allocatable(), largest)
          : CertainBytes(node.reported->allocatable_bytes(), largest, node.in_flight_bytes));
}

v1alpha1::PoolNodeStatus NodeStatus(const PoolFacts& facts, const PoolNodeFacts& node) {
  v1alpha1::PoolNodeStatus out;
  out.set_node(node.node);
  out.set_ready(ReadyOn(facts, node));
  if (!out.ready()) {
    SetReason(facts, node, out);
  } else if (!node.selected) {
    out.set_reason("NotSelected");
    out.set_message("the pool stays here until its volumes are gone");
  } else {  // what is not as it should be although volumes can be carved, or is under way
    out.set_reason(node.reported->reason());
    out.set_message(node.reported->message());
  }
  if (!IsOurs(facts, node)) return out;
  out.set_capacity(node.reported->capacity_bytes());
  out.set_allocated(node.reported->allocated_bytes());
  out.set_in_flight(node.in_flight_bytes);
  const bool gives = out.ready() && node.selected;
  out.set_allocatable(
      gives ? std::max<int64_t>(0, node.reported->allocatable_bytes() - node.in_flight_bytes) : 0);
  out.set_volumes(node.reported->volumes());
  *out.mutable_devices() = node.reported->devices();
  if (gives) SetLargestVolume(facts, node, out);
  return out;
}

const v1alpha1::PoolNodeStatus* FindNode(const v1alpha1::PoolStatus& status,
                                         const std::string& node) {
  for (const v1alpha1::PoolNodeStatus& entry : status.nodes()) {
    if (entry.node() == node) return &entry;
  }
  return nullptr;
}

void Sum(v1alpha1::PoolStatus& status) {
  int64_t capacity = 0, allocated = 0, in_flight = 0, allocatable = 0, largest = 0;
  for (const v1alpha1::PoolNodeStatus& node : status.nodes()) {
    capacity += node.capacity();
    allocated += node.allocated();
    in_flight += node.in_flight();
    allocatable += node.allocatable();
    largest = std::max(largest, node.largest_volume());
  }
  status.set_capacity(capacity);
  status.set_allocated(allocated);
  status.set_in_flight(in_flight);
  status.set_allocatable(allocatable);
  status.set_largest_volume(largest / kVolumeGranularityBytes * kVolumeGranularityBytes);
}

struct Verdict {
  absl::string_view status;
  std::string reason;
  std::string message;
};

std::string FirstNames(const std::vector<std::string>& names, absl::string_view separator) {
  const size_t shown = std::min(names.size(), kNamesShown);
  std::string text =
      absl::StrJoin(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(shown), separator);
  if (names.size() > shown) absl::StrAppend(&text, separator, names.size() - shown, " more");
  return text;
}

Verdict ReadyVerdict(const PoolFacts& facts) {
  const v1alpha1::PoolStatus& status = facts.pool.status();
  if (Deleting(facts)) {
    if (!facts.volumes.empty()) {
      return {api::kFalse, "DeletionBlocked",
              absl::StrCat("the deletion waits for ", facts.volumes.size(),
                           facts.volumes.size() == 1 ? " volume: " : " volumes: ",
                           FirstNames(facts.volumes, ", "))};
    }
    return {api::kFalse, "Deleting", "the pool leaves its nodes"};
  }
  if (!facts.selector_error.empty()) return {api::kFalse, "InvalidPool", facts.selector_error};
  if (status.selected_nodes() == 0) {
    return {api::kFalse, "NoNodes", "spec.nodeSelector selects no node that runs an agent"};
  }
  std::vector<std::string> reasons;
  for (const v1alpha1::PoolNodeStatus& node : status.nodes()) {
    if (node.ready()) continue;
    reasons.push_back(absl::StrCat(node.node(), ": ", node.reason(),
                                   node.message().empty() ? "" : ": ", node.message()));
  }
  const std::string count =
      absl::StrCat(status.ready_nodes(), " of ", status.selected_nodes(),
                   status.selected_nodes() == 1 ? " node is ready" : " nodes are ready");
  if (status.ready_nodes() == status.selected_nodes()) return {api::kTrue, "Ready", count};
  return {api::kFalse, "NodesNotReady", absl::StrCat(count, "; ", FirstNames(reasons, "; "))};
}

Verdict HealthVerdict(const PoolFacts& facts) {
  std::vector<std::string> bad;
  bool heard = false;
  bool settling = false;
  for (const PoolNodeFacts& node : facts.nodes) {
    if (node.settling) settling = true;
    if (node.agent != AgentState::kHeard || !IsOurs(facts, node)) continue;
    heard = true;
    if (!node.reported->ready()) {
      bad.push_back(
          absl::StrCat(node.node, ": ", node.reported->reason(), ": ", node.reported->message()));
    } else if (!node.reported->reason().empty() && node.reported->reason() != kDraining) {
      bad.push_back(
          absl::StrCat(node.node, ": ", node.reported->reason(), ": ", node.reported->message()));
    } else if (node.unhealthy_volumes > 0) {
      bad.push_back(absl::StrCat(node.node, ": ", node.unhealthy_volumes,
                                 node.unhealthy_volumes == 1 ? " volume is" : " volumes are",
                                 " not healthy"));
    }
  }
  if (!bad.empty()) return {api::kFalse, "DevicesUnhealthy", FirstNames(bad, "; ")};
  const k8s::Condition* known =
      api::FindCondition(facts.pool.status().conditions(), "DevicesHealthy");
  if (!heard && settling && known != nullptr) {
    return {known->status(), known->reason(), known->message()};
  }
  if (!heard) return {api::kUnknown, "NotReported", "no agent reports the pool"};
  return {api::kTrue, "Healthy", ""};
}

void ClearNumbers(v1alpha1::PoolStatus& status) {
  auto clear = [](auto& of) {
    of.clear_capacity();
    of.clear_allocated();
    of.clear_in_flight();
    of.clear_allocatable();
    of.clear_largest_volume();
  };
  clear(status);
  for (v1alpha1::PoolNodeStatus& node : *status.mutable_nodes()) {
    clear(node);
    node.clear_volumes();
  }
}

}  // namespace

PoolStep DecidePoolOnNode(const PoolFacts& facts, const PoolNodeFacts& node) {
  if (node.agent != AgentState::kHeard) return PoolStep::kNothing;
  const bool there = MayBeThere(facts, node);
  if (Deleting(facts)) {
    return facts.volumes.empty() && there ? PoolStep::kRemove : PoolStep::kNothing;
  }
  if (!facts.selector_error.empty()) return PoolStep::kNothing;
  if (!node.selected) return there ? PoolStep::kRemove : PoolStep::kNothing;
  // A node that is only observed keeps what it has and takes nothing new.
  if (node.observed_only && !IsOurs(facts, node)) return PoolStep::kNothing;
  const bool current = node.ensured_generation == facts.pool.metadata().generation();
  return current && ReadyOn(facts, node) ? PoolStep::kNothing : PoolStep::kEnsure;
}

bool CanReleasePool(const PoolFacts& facts) {
  if (!facts.volumes.empty()) return false;
  return std::none_of(facts.nodes.begin(), facts.nodes.end(), [&](const PoolNodeFacts& node) {
    return node.agent != AgentState::kNone && MayBeThere(facts, node);
  });
}

agent::v1::EnsurePoolRequest EnsureRequest(const v1alpha1::Pool& pool) {
  const v1alpha1::PoolSpec& spec = pool.spec();
  agent::v1::EnsurePoolRequest request;
  request.set_name(pool.metadata().name());
  request.set_uid(pool.metadata().uid());
  if (spec.has_directory()) {
    request.mutable_directory()->set_path(spec.directory().path());
    request.mutable_directory()->set_capacity_bytes(spec.directory().capacity());
  } else {
    agent::v1::DeviceSource& devices = *request.mutable_devices();
    *devices.mutable_serials() = spec.devices().serials();
    *devices.mutable_paths() = spec.devices().paths();
    *devices.mutable_models() = spec.devices().models();
    *devices.mutable_transports() = spec.devices().transports();
    devices.set_min_size_bytes(spec.devices().min_size());
    devices.set_max_size_bytes(spec.devices().max_size());
    *request.mutable_wipe() = spec.wipe();
    *request.mutable_drain() = spec.drain();
  }
  if (spec.has_lvm()) {
    request.set_lvm_stripes(spec.lvm().stripes());
    request.set_lvm_mirrors(spec.lvm().mirrors());
  }
  request.set_inline_volume_max_bytes(spec.inline_volumes().max_size());
  request.set_backend(spec.backend().empty() ? "File" : spec.backend());
  request.set_provisioning(spec.provisioning() == "Sparse" ? agent::v1::PROVISIONING_SPARSE
                                                           : agent::v1::PROVISIONING_FULL);
  request.set_reserve_bytes(spec.reserve());
  request.set_overprovision_percent(std::max(100, spec.overprovision_percent()));
  return request;
}

void SetPoolStatus(PoolFacts& facts, absl::Time now) {
  v1alpha1::PoolStatus& status = *facts.pool.mutable_status();
  const v1alpha1::PoolStatus before = status;
  status.clear_nodes();
  int ready = 0;
  int selected = 0;
  for (const PoolNodeFacts& node : facts.nodes) {
    // A node that is no longer selected is shown as long as the pool is there.
    if (!node.selected && !IsOurs(facts, node)) continue;
    v1alpha1::PoolNodeStatus& out = *status.add_nodes();
    const v1alpha1::PoolNodeStatus* known = FindNode(before, node.node);
    // What was true before the agent went quiet is kept until it is too quiet.
    const bool keep = known != nullptr && node.settling && node.agent != AgentState::kHeard;
    out = keep ? *known : NodeStatus(facts, node);
    selected += node.selected ? 1 : 0;
    ready += node.selected && out.ready() ? 1 : 0;
  }
  status.set_ready_nodes(ready);
  status.set_selected_nodes(selected);
  Sum(status);
  const int64_t generation = facts.pool.metadata().generation();
  status.set_observed_generation(generation);
  const Verdict verdict = ReadyVerdict(facts);
  api::SetCondition(*status.mutable_conditions(),
                    {"Ready", verdict.status, verdict.reason, verdict.message, generation}, now);
  const Verdict health = HealthVerdict(facts);
  api::SetCondition(*status.mutable_conditions(),
                    {"DevicesHealthy", health.status, health.reason, health.message, generation},
                    now);
}

bool DiffersOnlyInNumbers(const v1alpha1::PoolStatus& a, const v1alpha1::PoolStatus& b) {
  v1alpha1::PoolStatus left = a;
  v1alpha1::PoolStatus right = b;
  ClearNumbers(left);
  ClearNumbers(right);
  return left.SerializeAsString() == right.SerializeAsString();
}

}  // namespace ashlar::controller
