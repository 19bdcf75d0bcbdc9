// Identity: the certificates and the token of one data directory, made at the first start and kept.
// No state; not safe against another process on the same directory (see DataDirectory's lock).
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "lib/base/clock.h"

namespace ashlar::standalone {

struct Identity {
  std::string ca_pem;
  std::string cert_pem;  // of the API server
  std::string key_pem;
  std::string token;
  // Directories with ca.crt, tls.crt and tls.key for the gRPC between controller and agent.
  std::string controller_tls_dir;
  std::string agent_tls_dir;
};

// Reads what `directory` has and makes what it lacks or what ends within 30 days. Errors name the
// file.
absl::StatusOr<Identity> LoadIdentity(const std::string& directory, const std::string& address,
                                      const Clock& clock);

// A kubeconfig for `url` with the token and the authority of `identity`.
std::string KubeconfigText(const Identity& identity, const std::string& url);

}  // namespace ashlar::standalone
