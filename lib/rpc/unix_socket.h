// Paths of unix sockets that a server of ours listens on. No state.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace ashlar::rpc {

// The path of "unix:///run/x.sock" or "unix:/run/x.sock"; empty for anything else.
std::string UnixSocketPath(absl::string_view address);

// Makes room for a server at `path`: removes a socket file that nobody listens on. InvalidArgument:
// the path is too long for a socket (107 bytes). AlreadyExists: a process listens there.
// FailedPrecondition: the file is not a socket, or its directory does not exist.
absl::Status RemoveStaleSocket(const std::string& path);

}  // namespace ashlar::rpc
