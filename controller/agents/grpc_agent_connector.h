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

// The agent behind a unix socket, for tests and for a controller in the agent's own process.
std::shared_ptr<AgentClient> ConnectToAgentSocket(const std::string& address);

}  // namespace ashlar::controller
