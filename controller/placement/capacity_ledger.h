// CapacityLedger: what is promised of every pool on every node. It holds the agents' latest reports
// and, on top of them, the promises that no report shows yet, so that volumes that are placed at
// the same time never get the same byte.
//
//   promise of a volume:   (none) --Assign/Assume--> in flight --report shows its bytes--> (none)
//                                                       \---Release, Removed: volume is gone->
//                                                       (none)
//
// Reports and promises lie under one lock: a promise ends with the very report that shows its bytes
// as allocated, so there is no moment at which they count neither here nor there. While an agent
// already subtracts a volume that it still carves, its bytes count twice: too careful, never too
// generous. A promise on a drive that the volume names counts against that drive. Which drive
// another one will lie on only the agent knows: a node's largest volume is offered twice, as it is
// if no such promise takes of it, and as it is if all do.
// Thread-safe; nothing blocks.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "controller/placement/placement.h"
#include "lib/base/mutex.h"

namespace ashlar::controller {

// Of a drive on which volumes can be asked for.
struct DriveReport {
  int64_t allocatable_bytes = 0;
  int64_t largest_bytes = 0;
};

struct PoolReport {
  bool ready = false;
  std::string reason;
  std::string message;
  int64_t capacity_bytes = 0;
  int64_t allocated_bytes = 0;
  int64_t allocatable_bytes = 0;
  int64_t largest_bytes = 0;                                  // the largest single volume
  absl::flat_hash_map<std::string, DriveReport> drives = {};  // by id
};

// The largest volume that fits whichever drives the bytes in flight come to lie on.
int64_t CertainBytes(int64_t allocatable_bytes, int64_t largest_bytes, int64_t in_flight_bytes);

// What an agent says of its node.
struct NodeReport {
  absl::flat_hash_map<std::string, PoolReport> pools;
  absl::flat_hash_map<std::string, int64_t> volume_bytes;  // by volume
};

class CapacityLedger {
 public:
  // Takes in the latest report of the node. Reports of one node must come in their order.
  void Observe(absl::string_view node, NodeReport report);

  // The agent says this of a pool that its reports do not show yet; its next report takes the place
  // of it. Does nothing if the latest report has the pool.
  void Introduce(absl::string_view node, absl::string_view pool, PoolReport report);

  // The node's agent left: its bytes are no longer offered. Promises stay.
  void Forget(absl::string_view node);

  // Places the request with what the pool has left on each node after all promises, and promises
  // it. `offers` says everything but bytes and readiness of the pool, which are filled in here. A
  // volume that has a promise keeps it: the same plan is answered again.
  PlacementOutcome Assign(std::vector<NodeOffer> offers, const VolumeRequest& request);

  // Promises without asking: the volume's node stands in its object already. A promise that is
  // there is raised to `assignment.bytes` if that is more. What the node's report shows already is
  // not promised.
  void Assume(const Assignment& assignment);

  // Promises the growth of a volume to `assignment.bytes`, if the node has room for it; else
  // refuses with what is left, and the volume has no promise.
  PlacementOutcome Grow(const Assignment& assignment);

  // Ends the promise of the volume, if there is one.
  void Release(absl::string_view volume);

  // The agent has removed the volume. Ends its promise, and what an older report says of it no
  // longer covers a new volume of the same name.
  void Removed(absl::string_view node, absl::string_view volume);

  // Ends all promises.
  void Clear();

  std::optional<Assignment> Find(absl::string_view volume) const;
  int64_t InFlightBytes(absl::string_view node, absl::string_view pool) const;

 private:
  struct Node {
    NodeReport report;
    absl::flat_hash_map<std::string, int64_t> in_flight_bytes;  // by pool
    // The part of them that is promised on drives, by pool and drive.
    std::map<std::string, std::map<std::string, int64_t>> in_flight_on_drives;
    std::set<std::string> promised;  // volumes
  };

  // Bytes of the promise that the node's report does not show.
  static int64_t Outstanding(const Node& node, const Assignment& promise);
  void Add(const Assignment& promise) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Remove(absl::string_view volume) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Completes the offer for the volume. Bytes that the volume holds there already are free for it.
  void FillIn(NodeOffer& offer, const VolumeRequest& request) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  mutable Mutex mu_;
  absl::flat_hash_map<std::string, Node> nodes_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<std::string, Assignment> promises_ ABSL_GUARDED_BY(mu_);
};

}  // namespace ashlar::controller
