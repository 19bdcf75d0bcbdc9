// StandaloneApp: the embedded API and, over its HTTPS, mutually authenticated gRPC on the loopback
// and unix sockets below the data directory, the same controller, agent and CSI driver as in a
// cluster. Wiring only. Thread-safe after Start.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cmd/ashlar/data_directory.h"
#include "lib/base/clock.h"

namespace ashlar::standalone {

struct StandaloneOptions {
  std::string node_name;                    // empty: the host's name
  std::string listen = "127.0.0.1:0";       // of the API; port 0: a free one, kept over restarts
  std::string csi_endpoint;                 // empty: csi.sock in the data directory
  std::string ops_address = "127.0.0.1:0";  // metrics and health of API, controller and CSI
  std::string agent_ops_address = "127.0.0.1:0";
  std::vector<std::string> publish_roots;  // besides the usual places for mounts
  std::vector<std::string> gpu_helper;     // as of the agent
};

class StandaloneApp {
 public:
  // `directory` must be locked; it and `clock` must outlive the app. Everything serves when it
  // returns. Errors say which part did not start, and why.
  static absl::StatusOr<std::unique_ptr<StandaloneApp>> Start(DataDirectory& directory,
                                                              const StandaloneOptions& options,
                                                              Clock& clock);
  // Stops everything; volumes stay mounted.
  virtual ~StandaloneApp() = default;

  virtual std::string url() const = 0;
  virtual std::string csi_endpoint() const = 0;
  virtual int ops_port() const = 0;
  virtual int agent_ops_port() const = 0;
  // Not OK: the controller has ended by itself, with this reason.
  virtual absl::Status Health() const = 0;
};

}  // namespace ashlar::standalone
