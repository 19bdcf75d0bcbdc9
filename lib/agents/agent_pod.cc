#include "lib/agents/agent_pod.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace ashlar {
namespace {

// The container port named "agent", or 0.
int64_t AgentPort(const Json& pod) {
  const Json* containers = FindJson(pod, {"spec", "containers"});
  if (containers == nullptr || !containers->is_array()) return 0;
  for (const Json& container : *containers) {
    const Json* ports = FindJson(container, {"ports"});
    if (ports == nullptr || !ports->is_array()) continue;
    for (const Json& port : *ports)
      if (JsonString(port, {"name"}) == "agent") return JsonInt(port, {"containerPort"});
  }
  return 0;
}

}  // namespace

std::optional<AgentPod> ReadAgentPod(const Json& pod) {
  const std::string ip = JsonString(pod, {"status", "podIP"});
  const std::string node = JsonString(pod, {"spec", "nodeName"});
  const std::string phase = JsonString(pod, {"status", "phase"});
  const int64_t port = AgentPort(pod);
  if (ip.empty() || node.empty() || port == 0) return std::nullopt;
  if (phase == "Failed" || phase == "Succeeded") return std::nullopt;
  const bool v6 = absl::StrContains(ip, ':');
  return AgentPod{node, v6 ? absl::StrCat("[", ip, "]:", port) : absl::StrCat(ip, ":", port),
                  JsonString(pod, {"metadata", "uid"}),
                  !JsonString(pod, {"metadata", "deletionTimestamp"}).empty(),
                  JsonString(pod, {"metadata", "creationTimestamp"})};
}

}  // namespace ashlar
