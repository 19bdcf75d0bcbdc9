#include "controller/agents/pod_agents.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace ashlar::controller {

std::optional<AgentAddress> AgentAddressOf(const Json& pod) {
  const std::optional<AgentPod> agent = ReadAgentPod(pod);
  if (!agent) return std::nullopt;
  return AgentAddress{agent->node, agent->address, agent->uid};
}

std::vector<std::string> PodAgents::Note(const api::ObjectKey& key, const Json* pod) {
  const std::optional<AgentAddress> address = pod == nullptr ? std::nullopt : AgentAddressOf(*pod);
  std::vector<std::string> lost;
  MutexLock lock(mu_);
  if (auto it = node_of_.find(key);
      it != node_of_.end() && (!address.has_value() || address->node != it->second)) {
    const std::string node = it->second;
    by_node_[node].erase(key);
    node_of_.erase(it);
    if (!Choose(node)) lost.push_back(node);
  }
  if (!address.has_value()) return lost;
  node_of_[key] = address->node;
  by_node_[address->node][key] = {*address,
                                  !JsonString(*pod, {"metadata", "deletionTimestamp"}).empty(),
                                  JsonString(*pod, {"metadata", "creationTimestamp"})};
  Choose(address->node);
  return lost;
}

bool PodAgents::Choose(const std::string& node) {
  const auto& candidates = by_node_[node];
  if (candidates.empty()) {
    by_node_.erase(node);
    directory_.RemoveAgent(node);
    return false;
  }
  const auto best =
      std::max_element(candidates.begin(), candidates.end(), [](const auto& a, const auto& b) {
        return std::forward_as_tuple(!a.second.leaving, a.second.created, a.first) <
               std::forward_as_tuple(!b.second.leaving, b.second.created, b.first);
      });
  directory_.SetAgent(best->second.address);
  return true;
}

}  // namespace ashlar::controller
