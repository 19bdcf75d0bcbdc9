#include "lib/metrics/ops_server.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <event2/thread.h>
#include <event2/util.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <thread>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"

namespace ashlar::metrics {
namespace {

constexpr char kPlain[] = "text/plain; charset=utf-8";
constexpr char kExposition[] = "text/plain; version=0.0.4; charset=utf-8";
constexpr ev_ssize_t kMaxBytes = 16 * 1024;  // of a request's headers, and of its body
constexpr int kIdleSeconds = 60;             // what a silent connection is kept
constexpr int kBacklog = 16;
// Every method that libevent knows, so that the answer to a wrong one is ours.
constexpr ev_uint16_t kMethods = 0xffff;

struct Freer {
  void operator()(event_base* base) const { event_base_free(base); }
  void operator()(evhttp* http) const { evhttp_free(http); }
  void operator()(evconnlistener* listener) const { evconnlistener_free(listener); }
};
template <class T>
using Owned = std::unique_ptr<T, Freer>;

struct SocketAddress {
  sockaddr_storage storage = {};
  int size = sizeof storage;
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

absl::StatusOr<SocketAddress> Parse(absl::string_view address) {
  const size_t colon = address.rfind(':');
  const std::string host(address.substr(0, colon));
  SocketAddress out;
  int port = -1;
  if (colon == absl::string_view::npos || !absl::SimpleAtoi(address.substr(colon + 1), &port) ||
      port < 0 || port > 65535 ||
      evutil_parse_sockaddr_port(host.c_str(), out.get(), &out.size) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("ops address \"", address,
                     "\" is not of the form host:port with an IP address as host, such as "
                     "0.0.0.0:9501"));
  }
  // The port lies in the same place for IPv4 and IPv6.
  reinterpret_cast<sockaddr_in*>(out.get())->sin_port = htons(static_cast<uint16_t>(port));
  return out;
}

void LogOfLibevent(int severity, const char* message) {
  if (severity >= EVENT_LOG_WARN) {
    LogWarning("ops server", {{"error", message}});
  } else {
    LogDebug(message);
  }
}

void Reply(evhttp_request* request, int status, const char* type, const std::string& body) {
  evkeyvalq* headers = evhttp_request_get_output_headers(request);
  evhttp_add_header(headers, "Content-Type", type);
  evhttp_add_header(headers, "Content-Length", absl::StrCat(body.size()).c_str());
  if (evhttp_request_get_command(request) != EVHTTP_REQ_HEAD)
    evbuffer_add(evhttp_request_get_output_buffer(request), body.data(), body.size());
  evhttp_send_reply(request, status, nullptr, nullptr);
}

class EventOpsServer final : public OpsServer {
 public:
  EventOpsServer(const Registry& registry, std::function<absl::Status()> ready)
      : registry_(registry), ready_(std::move(ready)) {}

  ~EventOpsServer() override {
    // Unlike event_base_loopbreak, not lost if the thread has not entered the loop yet.
    if (thread_.joinable()) event_base_loopexit(base_.get(), nullptr);
  }

  absl::Status Listen(const SocketAddress& address) {
    base_.reset(event_base_new());
    if (base_ != nullptr) http_.reset(evhttp_new(base_.get()));
    if (http_ == nullptr) return absl::ResourceExhaustedError("cannot make an event loop");
    evhttp_set_max_headers_size(http_.get(), kMaxBytes);
    evhttp_set_max_body_size(http_.get(), kMaxBytes);
    evhttp_set_timeout(http_.get(), kIdleSeconds);
    evhttp_set_allowed_methods(http_.get(), kMethods);
    evhttp_set_gencb(
        http_.get(),
        [](evhttp_request* request, void* self) {
          static_cast<EventOpsServer*>(self)->Answer(request);
        },
        this);
    Owned<evconnlistener> listener(
        evconnlistener_new_bind(base_.get(), nullptr, nullptr,
                                LEV_OPT_REUSEABLE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_CLOSE_ON_FREE,
                                kBacklog, address.get(), address.size));
    if (listener == nullptr) return absl::UnavailableError(strerror(errno));
    port_ = PortOf(evconnlistener_get_fd(listener.get()));
    if (evhttp_bind_listener(http_.get(), listener.get()) == nullptr)
      return absl::ResourceExhaustedError("cannot make a listener");
    listener.release();  // http_ owns it
    thread_ = std::jthread([this] { event_base_dispatch(base_.get()); });
    return absl::OkStatus();
  }

  int port() const override { return port_; }

 private:
  static int PortOf(evutil_socket_t socket) {
    sockaddr_in address = {};  // of an IPv6 socket its beginning, with the port
    socklen_t size = sizeof address;
    if (getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
    return ntohs(address.sin_port);
  }

  void Answer(evhttp_request* request) {
    const evhttp_cmd_type method = evhttp_request_get_command(request);
    if (method != EVHTTP_REQ_GET && method != EVHTTP_REQ_HEAD)
      return Reply(request, 405, kPlain, "only GET\n");
    const char* text = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request));
    const absl::string_view path = text == nullptr ? "" : text;
    if (path == "/metrics") return Reply(request, 200, kExposition, registry_.Text());
    if (path == "/healthz") return Reply(request, 200, kPlain, "ok\n");
    if (path == "/readyz") {
      const absl::Status status = ready_();
      if (status.ok()) return Reply(request, 200, kPlain, "ok\n");
      return Reply(request, 503, kPlain, absl::StrCat(status.message(), "\n"));
    }
    Reply(request, 404, kPlain, "there are /metrics, /healthz and /readyz\n");
  }

  const Registry& registry_;
  const std::function<absl::Status()> ready_;
  Owned<event_base> base_;
  Owned<evhttp> http_;  // its connections use base_
  int port_ = 0;
  std::jthread thread_;  // last: joined first
};

}  // namespace

absl::StatusOr<std::unique_ptr<OpsServer>> ServeOps(absl::string_view address,
                                                    const Registry& registry,
                                                    std::function<absl::Status()> ready) {
  ASHLAR_ASSIGN_OR_RETURN(const SocketAddress where, Parse(address));
  event_set_log_callback(LogOfLibevent);
  if (evthread_use_pthreads() != 0) return absl::InternalError("libevent cannot use threads");
  auto server = std::make_unique<EventOpsServer>(registry, std::move(ready));
  const absl::Status status = server->Listen(where);
  if (!status.ok()) {
    return absl::Status(status.code(),
                        absl::StrCat("cannot listen on ", address, ": ", status.message()));
  }
  return server;
}

}  // namespace ashlar::metrics
