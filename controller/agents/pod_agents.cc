#include "controller/agents/pod_agents.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace ashlar::controller {
namespace {

// The container port named "agent", or 0.
int64_t AgentPort(const Json& pod) {
  const Json* containers = FindJson(pod, {"spec", "containers"});
  if (containers == nullptr || !containers->is_array()) return 0;
  for (const Json& container : *containers) {
    const Json* ports = FindJson(container, {"ports"});
    if (ports == nullptr || !ports->is_array()) continue;
    for (const Json& port : *ports) {
      if (JsonString(port, {"name"}) == "agent") return JsonInt(port, {"containerPort"});
    }
  }
  return 0;
}

}  // namespace

std::optional<AgentAddress> AgentAddressOf(const Json& pod) {
  const std::string ip = JsonString(pod, {"status", "podIP"});
  const std::string node = JsonString(pod, {"spec", "nodeName"});
  const std::string phase = JsonString(pod, {"status", "phase"});
  const int64_t port = AgentPort(pod);
  if (ip.empty() || node.empty() || port == 0) return std::nullopt;
  if (phase == "Failed" || phase == "Succeeded") return std::nullopt;
  const bool v6 = absl::StrContains(ip, ':');
  return AgentAddress{node, v6 ? absl::StrCat("[", ip, "]:", port) : absl::StrCat(ip, ":", port),
                      JsonString(pod, {"metadata", "uid"})};
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
