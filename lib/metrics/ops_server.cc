#include "lib/metrics/ops_server.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"
#include "lib/http/server.h"

namespace ashlar::metrics {
namespace {

http::Response Text(int status, std::string body) {
  return {.status = status,
          .headers = {{"content-type", "text/plain; charset=utf-8"}},
          .body = std::move(body)};
}

http::Response Answer(const http::Request& request, const Registry& registry,
                      const std::function<absl::Status()>& ready) {
  const std::string path = request.target.substr(0, request.target.find('?'));
  if (request.method != "GET" && request.method != "HEAD") return Text(405, "only GET\n");
  if (path == "/healthz") return Text(200, "ok\n");
  if (path == "/readyz") {
    const absl::Status status = ready();
    return status.ok() ? Text(200, "ok\n") : Text(503, absl::StrCat(status.message(), "\n"));
  }
  if (path == "/metrics") {
    return {.status = 200,
            .headers = {{"content-type", "text/plain; version=0.0.4; charset=utf-8"}},
            .body = registry.Text()};
  }
  return Text(404, "there are /metrics, /healthz and /readyz\n");
}

class HttpOpsServer final : public OpsServer {
 public:
  explicit HttpOpsServer(std::unique_ptr<http::Server> server) : server_(std::move(server)) {}
  int port() const override { return server_->port(); }

 private:
  std::unique_ptr<http::Server> server_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<OpsServer>> ServeOps(absl::string_view address,
                                                    const Registry& registry,
                                                    std::function<absl::Status()> ready) {
  const size_t colon = address.rfind(':');
  const absl::string_view host = address.substr(0, colon);
  int port = -1;
  if (colon == absl::string_view::npos || host.empty() ||
      !absl::SimpleAtoi(address.substr(colon + 1), &port) || port < 0 || port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat(
        "ops address \"", address, "\" is not of the form host:port, such as 0.0.0.0:9501"));
  }
  auto handler = [&registry, ready = std::move(ready)](
                     http::Request request, std::shared_ptr<http::ResponseWriter> writer) {
    writer->Send(Answer(request, registry, ready));
  };
  ASHLAR_ASSIGN_OR_RETURN(
      std::unique_ptr<http::Server> server,
      http::Serve({.address = std::string(host), .port = port}, std::move(handler)));
  return std::make_unique<HttpOpsServer>(std::move(server));
}

}  // namespace ashlar::metrics
