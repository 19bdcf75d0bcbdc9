#include "controller/placement/capacity_ledger.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace ashlar::controller {
namespace {

// More than any node has, and small enough that sums of promises stay far from overflow.
constexpr int64_t kLargestPromiseBytes = int64_t{1} << 50;

Assignment Rounded(Assignment promise) {
  promise.bytes = std::min(RoundedVolumeBytes(promise.bytes), kLargestPromiseBytes);
  return promise;
}

int64_t Lookup(const absl::flat_hash_map<std::string, int64_t>& map, absl::string_view key) {
  auto it = map.find(key);
  return it == map.end() ? 0 : it->second;
}

}  // namespace

int64_t CapacityLedger::Outstanding(const Node& node, const Assignment& promise) {
  return std::max<int64_t>(0, promise.bytes - Lookup(node.report.volume_bytes, promise.volume));
}

void CapacityLedger::Add(const Assignment& promise) {
  Node& node = nodes_[promise.node];
  const int64_t outstanding = Outstanding(node, promise);
  if (outstanding == 0) return;
  node.in_flight_bytes[promise.pool] += outstanding;
  node.promised.insert(promise.volume);
  promises_[promise.volume] = promise;
}

void CapacityLedger::Remove(absl::string_view volume) {
  auto it = promises_.find(volume);
  if (it == promises_.end()) return;
  Node& node = nodes_[it->second.node];
  node.in_flight_bytes[it->second.pool] -= Outstanding(node, it->second);
  node.promised.erase(std::string(volume));
  promises_.erase(it);
}

void CapacityLedger::Observe(absl::string_view name, NodeReport report) {
  MutexLock lock(mu_);
  Node& node = nodes_[name];
  std::vector<Assignment> promises;
  for (const std::string& volume : node.promised) promises.push_back(promises_.at(volume));
  for (const Assignment& promise : promises) Remove(promise.volume);
  node.report = std::move(report);
  for (const Assignment& promise : promises) Add(promise);
}

void CapacityLedger::Introduce(absl::string_view node, absl::string_view pool, PoolReport report) {
  MutexLock lock(mu_);
  nodes_[node].report.pools.try_emplace(pool, std::move(report));
}

void CapacityLedger::Forget(absl::string_view node) { Observe(node, {}); }

void CapacityLedger::FillIn(NodeOffer& offer, absl::string_view pool,
                            absl::string_view volume) const {
  auto node = nodes_.find(offer.node);
  const PoolReport* report = nullptr;
  if (node != nodes_.end()) {
    auto it = node->second.report.pools.find(pool);
    if (it != node->second.report.pools.end()) report = &it->second;
  }
  offer.pool_ready = report != nullptr && report->ready;
  if (report == nullptr) {
    offer.pool_reason = "NotReported";
    offer.pool_message = "the agent does not know the pool yet";
    return;
  }
  offer.pool_reason = report->reason;
  offer.pool_message = report->message;
  const int64_t left = report->allocatable_bytes - Lookup(node->second.in_flight_bytes, pool);
  offer.allocatable_bytes =
      std::max<int64_t>(0, left) + Lookup(node->second.report.volume_bytes, volume);
}

PlacementOutcome CapacityLedger::Assign(std::vector<NodeOffer> offers,
                                        const VolumeRequest& request) {
  MutexLock lock(mu_);
  auto promised = promises_.find(request.volume);
  if (promised != promises_.end()) {
    if (request.node.empty() || request.node == promised->second.node) {
      return Plan{{promised->second}};
    }
    Remove(request.volume);  // somebody else has decided on a node
  }
  for (NodeOffer& offer : offers) FillIn(offer, request.pool, request.volume);
  PlacementOutcome outcome = Place(offers, request);
  if (const Plan* plan = std::get_if<Plan>(&outcome)) {
    for (const Assignment& assignment : plan->assignments) Add(assignment);
  }
  return outcome;
}

void CapacityLedger::Assume(const Assignment& assignment) {
  MutexLock lock(mu_);
  const Assignment promise = Rounded(assignment);
  auto there = promises_.find(promise.volume);
  if (there != promises_.end()) {
    if (there->second.node == promise.node && there->second.bytes >= promise.bytes) return;
    Remove(promise.volume);
  }
  Add(promise);
}

PlacementOutcome CapacityLedger::Grow(const Assignment& assignment) {
  MutexLock lock(mu_);
  const Assignment promise = Rounded(assignment);
  Remove(promise.volume);
  NodeOffer offer{.node = promise.node, .selected = true, .agent = AgentState::kHeard};
  FillIn(offer, promise.pool, promise.volume);
  PlacementOutcome outcome = Place({offer}, {.volume = promise.volume,
                                             .pool = promise.pool,
                                             .size_bytes = assignment.bytes,
                                             .node = promise.node});
  if (std::holds_alternative<Plan>(outcome)) Add(promise);
  return outcome;
}

void CapacityLedger::Release(absl::string_view volume) {
  MutexLock lock(mu_);
  Remove(volume);
}

void CapacityLedger::Removed(absl::string_view node, absl::string_view volume) {
  MutexLock lock(mu_);
  Remove(volume);
  auto it = nodes_.find(node);
  if (it != nodes_.end()) it->second.report.volume_bytes.erase(volume);
}

void CapacityLedger::Clear() {
  MutexLock lock(mu_);
  promises_.clear();
  for (auto& [name, node] : nodes_) {
    node.promised.clear();
    node.in_flight_bytes.clear();
  }
}

std::optional<Assignment> CapacityLedger::Find(absl::string_view volume) const {
  MutexLock lock(mu_);
  auto it = promises_.find(volume);
  if (it == promises_.end()) return std::nullopt;
  return it->second;
}

int64_t CapacityLedger::InFlightBytes(absl::string_view name, absl::string_view pool) const {
  MutexLock lock(mu_);
  auto node = nodes_.find(name);
  return node == nodes_.end() ? 0 : Lookup(node->second.in_flight_bytes, pool);
}

}  // namespace ashlar::controller
