// OpsServer: the HTTP port for people and machines that look after a process: /metrics, /healthz
// (the process answers), and /readyz (it can do its work; otherwise 503 with one line a reason).
// One thread answers all requests. The only door to libevent. Thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/metrics/metrics.h"

namespace ashlar::metrics {

class OpsServer {
 public:
  virtual ~OpsServer() = default;  // stops listening
  virtual int port() const = 0;
};

// Listens on `address` ("host:port" or "[host]:port" with an IP address as host, port 0 for any
// free one) when it returns. `ready` answers OK, or why not; it is called on the server's thread
// and must not block. `registry` and what `ready` uses
// must outlive the server. InvalidArgument: not host:port. Unavailable: the address is taken.
absl::StatusOr<std::unique_ptr<OpsServer>> ServeOps(absl::string_view address,
                                                    const Registry& registry,
                                                    std::function<absl::Status()> ready);

}  // namespace ashlar::metrics
