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

// What a pool has left on a node.
struct Room {
  int64_t left_bytes = 0;
  int64_t largest_bytes = 0;
  int64_t certain_bytes = 0;
};

using OnDrives = std::map<std::string, int64_t>;

// Where promises take `in_flight_bytes`, of them those on drives.
Room PoolRoom(const PoolReport& pool, int64_t in_flight_bytes, const OnDrives& on_drives) {
  int64_t known = 0, largest = 0, reported = 0;
  for (const auto& [drive, bytes] : on_drives) known += bytes;
  for (const auto& [id, drive] : pool.drives) {
    const auto promised = on_drives.find(id);
    const int64_t taken = promised == on_drives.end() ? 0 : promised->second;
    reported = std::max(reported, drive.largest_bytes);
    largest = std::max(largest, std::min(drive.largest_bytes, drive.allocatable_bytes - taken));
  }
  // A volume that needs more than a drive has lies on several.
  if (pool.drives.empty() || pool.largest_bytes > reported) largest = pool.largest_bytes;
  Room room;
  room.left_bytes = std::max<int64_t>(0, pool.allocatable_bytes - in_flight_bytes);
  room.largest_bytes = std::min(room.left_bytes, largest);
  room.certain_bytes =
      CertainBytes(pool.allocatable_bytes - known, largest, in_flight_bytes - known);
  return room;
}

Room DriveRoom(const PoolReport& pool, const DriveReport& drive, const std::string& id,
               int64_t in_flight_bytes, const OnDrives& on_drives) {
  int64_t known = 0;
  for (const auto& [other, bytes] : on_drives) known += bytes;
  const auto promised = on_drives.find(id);
  const int64_t taken = promised == on_drives.end() ? 0 : promised->second;
  const int64_t left =
      std::min(drive.allocatable_bytes - taken, pool.allocatable_bytes - in_flight_bytes);
  Room room;
  room.left_bytes = std::max<int64_t>(0, left);
  room.largest_bytes = std::min(room.left_bytes, drive.largest_bytes);
  room.certain_bytes = std::min(
      room.left_bytes,
      CertainBytes(drive.allocatable_bytes - taken, drive.largest_bytes, in_flight_bytes - known));
  return room;
}

}  // namespace

int64_t CertainBytes(int64_t allocatable_bytes, int64_t largest_bytes, int64_t in_flight_bytes) {
  return std::max<int64_t>(0, std::min(allocatable_bytes, largest_bytes) - in_flight_bytes);
}

int64_t CapacityLedger::Outstanding(const Node& node, const Assignment& promise) {
  return std::max<int64_t>(0, promise.bytes - Lookup(node.report.volume_bytes, promise.volume));
}

void CapacityLedger::Add(const Assignment& promise) {
  Node& node = nodes_[promise.node];
  const int64_t outstanding = Outstanding(node, promise);
  if (outstanding == 0) return;
  node.in_flight_bytes[promise.pool] += outstanding;
  if (!promise.drive.empty()) node.in_flight_on_drives[promise.pool][promise.drive] += outstanding;
  node.promised.insert(promise.volume);
  promises_[promise.volume] = promise;
}

void CapacityLedger::Remove(absl::string_view volume) {
  auto it = promises_.find(volume);
  if (it == promises_.end()) return;
  Node& node = nodes_[it->second.node];
  node.in_flight_bytes[it->second.pool] -= Outstanding(node, it->second);
  if (!it->second.drive.empty())
    node.in_flight_on_drives[it->second.pool][it->second.drive] -= Outstanding(node, it->second);
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

void CapacityLedger::FillIn(NodeOffer& offer, const VolumeRequest& request) const {
  const std::string& pool = request.pool;
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
  const int64_t in_flight = Lookup(node->second.in_flight_bytes, pool);
  const auto promised = node->second.in_flight_on_drives.find(pool);
  const OnDrives on_drives =
      promised == node->second.in_flight_on_drives.end() ? OnDrives{} : promised->second;
  const int64_t own = Lookup(node->second.report.volume_bytes, request.volume);
  const auto drive = report->drives.find(request.drive);
  offer.has_drive = request.drive.empty() || drive != report->drives.end();
  if (!offer.has_drive) return;
  const Room room = request.drive.empty()
                        ? PoolRoom(*report, in_flight, on_drives)
                        : DriveRoom(*report, drive->second, request.drive, in_flight, on_drives);
  offer.allocatable_bytes = room.left_bytes + own;
  offer.largest_bytes = room.largest_bytes + own;
  offer.certain_bytes = room.certain_bytes + own;
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
  for (NodeOffer& offer : offers) FillIn(offer, request);
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
  const VolumeRequest request{.volume = promise.volume,
                              .pool = promise.pool,
                              .size_bytes = assignment.bytes,
                              .node = promise.node,
                              .drive = promise.drive};
  FillIn(offer, request);
  PlacementOutcome outcome = Place({offer}, request);
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
    node.in_flight_on_drives.clear();
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
