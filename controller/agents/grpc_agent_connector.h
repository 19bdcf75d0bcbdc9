// Agents over gRPC with mutual TLS: the agent must present a certificate for "ashlar-node-agent".
// One channel for each connection, kept by gRPC. Thread-safe.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "controller/agents/agent_client.h"

namespace ashlar::controller {

// Certificates come from `tls_directory` (lib/rpc/tls_files.h) and are read again when they change.
// FailedPrecondition: a file is absent or cannot be used.
absl::StatusOr<std::unique_ptr<AgentConnector>> MakeGrpcAgentConnector(
    const std::string& tls_directory);

// Agents on unix sockets, with addresses such as unix:///run/ashlar/agent.sock: for a controller on
// the agent's own machine. Who may connect is up to the permissions of the socket.
std::unique_ptr<AgentConnector> MakeSocketAgentConnector();

}  // namespace ashlar::controller
