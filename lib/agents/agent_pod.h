// AgentPod: where the agent of a node answers, told by its pod. Pure.
#pragma once

#include <optional>
#include <string>

#include "lib/base/json.h"

namespace ashlar {

// The name that the certificates of agents bear.
inline constexpr char kAgentName[] = "ashlar-node-agent";
// The label that the agents' pods carry.
inline constexpr char kAgentPodSelector[] = "app.kubernetes.io/component=node-agent";

struct AgentPod {
  std::string node;
  std::string address;  // host:port
  std::string uid;
  bool leaving = false;  // it is being deleted
  std::string created;   // RFC 3339: sorts as text
};

// A pod is an agent if it has an address and a container port named "agent"; nullopt if it does
// not answer, or not yet.
std::optional<AgentPod> ReadAgentPod(const Json& pod);

}  // namespace ashlar
