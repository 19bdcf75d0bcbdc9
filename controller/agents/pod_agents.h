// PodAgents: finds the agents by their pods, and tells the directory where each of them answers. A
// pod is an agent if it has an address and a container port named "agent"; of several on one node
// (while one is replaced) the youngest that is not being deleted counts. Thread-safe.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "controller/agents/agent_directory.h"
#include "lib/agents/agent_pod.h"
#include "lib/api/kind_info.h"
#include "lib/base/json.h"
#include "lib/base/mutex.h"

namespace ashlar::controller {

// Where the pod answers as an agent; nullopt if it does not, or not yet.
std::optional<AgentAddress> AgentAddressOf(const Json& pod);

class PodAgents {
 public:
  explicit PodAgents(AgentDirectory& directory) : directory_(directory) {}

  // The pod of the key is now so, or absent (nullptr). Answers the nodes that lost their agent.
  std::vector<std::string> Note(const api::ObjectKey& key, const Json* pod);

 private:
  struct Candidate {
    AgentAddress address;
    bool leaving = false;
    std::string created;  // RFC 3339: sorts as text
  };
  // False: the node has no agent any more.
  bool Choose(const std::string& node) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  AgentDirectory& directory_;
  Mutex mu_;
  absl::flat_hash_map<api::ObjectKey, std::string> node_of_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<std::string, std::map<api::ObjectKey, Candidate>> by_node_
      ABSL_GUARDED_BY(mu_);
};

}  // namespace ashlar::controller
