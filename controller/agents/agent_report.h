// AgentReport: one inventory of an agent, made ready to be looked up; and what changed from one to
// the next. Values; what is shared is never changed.
#pragma once

#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "ashlar/agent/v1/node_agent.pb.h"
#include "controller/placement/capacity_ledger.h"

namespace ashlar::controller {

class AgentReport {
 public:
  explicit AgentReport(agent::v1::Inventory inventory);
  AgentReport(const AgentReport&) = delete;
  AgentReport& operator=(const AgentReport&) = delete;

  const agent::v1::Inventory& inventory() const { return inventory_; }
  // nullptr if the agent does not know it. Inline volumes are no objects and are not found; their
  // bytes count in their pool's.
  const agent::v1::PoolState* FindPool(absl::string_view name) const;
  const agent::v1::VolumeState* FindVolume(absl::string_view id) const;
  const agent::v1::VolumeState* FindSnapshot(absl::string_view id) const;

  // What the ledger counts with.
  NodeReport Summary() const;

 private:
  const agent::v1::Inventory inventory_;
  absl::flat_hash_map<absl::string_view, const agent::v1::PoolState*> pools_;
  absl::flat_hash_map<absl::string_view, const agent::v1::VolumeState*> volumes_;
  absl::flat_hash_map<absl::string_view, const agent::v1::VolumeState*> snapshots_;
};

// What the ledger counts with of one pool.
PoolReport ReportOf(const agent::v1::PoolState& pool);

struct ReportChange {
  std::string node;
  bool first = false;                  // nothing was known of the node before
  bool facts = false;                  // anything but pools and volumes: drives, versions
  std::vector<std::string> pools;      // that came, went or changed
  std::vector<std::string> turned;     // pools that came, went, or whose readiness changed
  std::vector<std::string> volumes;    // that came, went or changed
  std::vector<std::string> snapshots;  // that came, went or changed
  std::vector<std::string> used;       // volumes whose staging or publications alone changed
  bool claims = false;                 // what it knows of ResourceClaims
  bool asks = false;                   // there is a question about a pod that was not there before
  bool inline_volumes = false;         // those that were carved near GPUs
  bool gpus = false;                   // their parts, their driver, and what they share with drives
  std::vector<std::string>
      roomier;  // pools that became ready, have more to give or a larger volume
  bool empty() const {
    return !first && !facts && pools.empty() && volumes.empty() && snapshots.empty() &&
           used.empty() && !claims && !asks && !inline_volumes && !gpus;
  }
};

// `before` may be nullptr.
ReportChange Compare(const std::string& node, const AgentReport* before, const AgentReport& after);

}  // namespace ashlar::controller
