// HttpClient: the Kubernetes API over HTTP. Every call waits for its turn at a client-side rate
// limit, is retried where that is safe, and reads credentials anew when the server refuses them.
// Thread-safe.
//
// Retries, up to 5 with backoff, as client-go does: any call that the server answered with
// Retry-After (429, 503), because it was not begun; and reads, applies and deletes that met 500,
// 502, 503, 504 or a broken connection, because doing them twice does no harm.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/kube/client.h"
#include "lib/kube/connection.h"
#include "lib/metrics/metrics.h"

namespace ashlar::kube {

struct HttpClientOptions {
  std::string user_agent = "ashlar";  // also the field manager of creates and updates
  double requests_per_second = 100;   // <= 0: no limit
  int burst = 200;
  absl::Duration request_timeout = absl::Seconds(60);  // for calls without an earlier deadline
  int list_chunk = 500;
};

// Does not connect yet. InvalidArgument: the connection's URL or certificates cannot be used.
// `clock`, and `registry` if given, must outlive the client; the latter gets
// ashlar_kube_requests_total{verb,code}.
absl::StatusOr<std::unique_ptr<Client>> MakeHttpClient(const Connection& connection, Clock& clock,
                                                       HttpClientOptions options = {},
                                                       metrics::Registry* registry = nullptr);

// The same over a connection that exists, such as a test's.
std::unique_ptr<Client> MakeHttpClient(std::unique_ptr<http::Client> http, std::string token,
                                       std::string token_file, Clock& clock,
                                       HttpClientOptions options = {},
                                       metrics::Registry* registry = nullptr);

}  // namespace ashlar::kube
