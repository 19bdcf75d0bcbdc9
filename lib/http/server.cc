#include "lib/http/server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <exception>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "cpprest/http_listener.h"
#include "cpprest/producerconsumerstream.h"
#include "lib/base/log.h"
#include "lib/base/mutex.h"
#include "lib/base/status_macros.h"
#include "lib/http/thread_pool.h"
#include "lib/http/workers.h"

namespace ashlar::http {
namespace {

namespace ws = web::http;
using StreamBuffer = concurrency::streams::producer_consumer_buffer<uint8_t>;

constexpr size_t kReadChunk = 64 * 1024;
constexpr int kPortAttempts = 20;

// The streams that are open, so that the server can end them when it stops: cpprestsdk waits for
// every answer that has begun.
class OpenStreams {
 public:
  // False: the server is stopping.
  bool Add(const std::shared_ptr<StreamBuffer>& buffer) {
    MutexLock lock(mu_);
    if (stopping_) return false;
    std::erase_if(buffers_, [](const auto& weak) { return weak.expired(); });
    buffers_.push_back(buffer);
    return true;
  }
  void EndAll() {
    std::vector<std::weak_ptr<StreamBuffer>> buffers;
    {
      MutexLock lock(mu_);
      stopping_ = true;
      buffers.swap(buffers_);
    }
    for (const auto& weak : buffers) {
      if (auto buffer = weak.lock()) buffer->close(std::ios_base::out);
    }
  }
  bool stopping() {
    MutexLock lock(mu_);
    return stopping_;
  }

 private:
  Mutex mu_;
  std::vector<std::weak_ptr<StreamBuffer>> buffers_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
};

void SetHeaders(ws::http_response& to, const Headers& from) {
  for (const auto& [name, value] : from) {
    to.headers().remove(name);
    to.headers().add(name, value);
  }
}

// Sends `response` and calls `done` when the answer has left or the client has gone.
void Reply(const ws::http_request& request, const ws::http_response& response,
           std::function<void(bool ok)> done) {
  try {
    request.reply(response).then([done = std::move(done)](pplx::task<void> task) {
      try {
        task.get();
        done(true);
      } catch (const std::exception&) {
        done(false);
      }
    });
  } catch (const std::exception& error) {
    LogDebug("answer not sent", {{"error", error.what()}});
  }
}

class CpprestWriter final : public ResponseWriter {
 public:
  CpprestWriter(const ws::http_request& request, std::shared_ptr<OpenStreams> streams,
                int64_t max_unsent_bytes)
      : request_(request), streams_(std::move(streams)), max_unsent_bytes_(max_unsent_bytes) {}

  ~CpprestWriter() override {
    if (buffer_ != nullptr) {
      buffer_->close(std::ios_base::out);
    } else if (!answered_) {
      Send({500, {{"content-type", "text/plain"}}, "the request was not answered\n"});
    }
  }

  void Send(Response from) override {
    if (answered_.exchange(true)) return;
    ws::http_response to(static_cast<ws::status_code>(from.status));
    if (from.status != 204) to.set_body(std::move(from.body), "text/plain");
    SetHeaders(to, from.headers);
    Reply(request_, to, [](bool) {});
  }

  void Start(int status, Headers headers) override {
    if (answered_.exchange(true)) return;
    auto buffer = std::make_shared<StreamBuffer>();
    if (!streams_->Add(buffer)) {
      *gone_ = true;
      buffer->close(std::ios_base::out);
    }
    buffer_ = buffer;
    ws::http_response to(static_cast<ws::status_code>(status));
    to.set_body(buffer->create_istream(), "application/octet-stream");
    SetHeaders(to, headers);
    Reply(request_, to, [gone = gone_](bool) { *gone = true; });
  }

  bool Write(absl::string_view chunk) override {
    if (buffer_ == nullptr || *gone_ || streams_->stopping()) return false;
    if (static_cast<int64_t>(buffer_->in_avail()) > max_unsent_bytes_) {
      *gone_ = true;
      return false;
    }
    try {
      const auto* bytes = reinterpret_cast<const uint8_t*>(chunk.data());
      if (buffer_->putn_nocopy(bytes, chunk.size()).get() != chunk.size()) return false;
      buffer_->sync().get();
    } catch (const std::exception&) {  // the buffer was closed by OpenStreams
      *gone_ = true;
    }
    return !*gone_;
  }

 private:
  ws::http_request request_;
  const std::shared_ptr<OpenStreams> streams_;
  const int64_t max_unsent_bytes_;
  std::atomic<bool> answered_ = false;
  std::shared_ptr<StreamBuffer> buffer_;
  std::shared_ptr<std::atomic<bool>> gone_ = std::make_shared<std::atomic<bool>>(false);
};

// Tries whether `port` (0: any) can be had on `address`, and says which one it was. The listener
// itself cannot report the port that it got, and gives no errno when the port is taken.
absl::StatusOr<int> ProbePort(const std::string& address, int port) {
  sockaddr_in where = {};
  where.sin_family = AF_INET;
  where.sin_port = htons(static_cast<uint16_t>(port));
  if (inet_pton(AF_INET, address.c_str(), &where.sin_addr) != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("listen address \"", address, "\" is not an IPv4 address"));
  }
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return absl::UnavailableError(absl::StrCat("no socket: ", strerror(errno)));
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  socklen_t size = sizeof(where);
  const bool ok = bind(fd, reinterpret_cast<sockaddr*>(&where), size) == 0 && listen(fd, 1) == 0 &&
                  getsockname(fd, reinterpret_cast<sockaddr*>(&where), &size) == 0;
  const int error = errno;
  close(fd);
  if (ok) return ntohs(where.sin_port);
  return absl::UnavailableError(
      absl::StrCat("cannot listen on ", address, ":", port, ": ", strerror(error)));
}

class CpprestServer final : public Server {
 public:
  CpprestServer(ServerOptions options, Handler handler)
      : options_(std::move(options)), handler_(std::move(handler)), workers_(options_.workers) {}

  ~CpprestServer() override {
    streams_->EndAll();
    workers_.Stop();
    try {
      if (listener_ != nullptr) listener_->close().wait();
    } catch (const std::exception& error) {
      LogWarning("HTTP server did not close cleanly", {{"error", error.what()}});
    }
  }

  absl::Status Listen() {
    ASHLAR_RETURN_IF_ERROR(CheckPem());
    absl::Status status;
    const int attempts = options_.port == 0 ? kPortAttempts : 1;
    for (int i = 0; i < attempts; ++i) {
      ASHLAR_ASSIGN_OR_RETURN(port_, ProbePort(options_.address, options_.port));
      status = Open();
      if (status.ok()) return status;
    }
    return status;
  }

  int port() const override { return port_; }

 private:
  // What a request needs while its body arrives.
  struct Incoming {
    ws::http_request request;
    std::string body;
    std::vector<uint8_t> chunk = std::vector<uint8_t>(kReadChunk);
  };

  absl::Status CheckPem() {
    if (options_.cert_pem.empty()) return absl::OkStatus();
    try {
      boost::asio::ssl::context context(boost::asio::ssl::context::tls_server);
      UseCertificate(context);
      return absl::OkStatus();
    } catch (const std::exception& error) {
      return absl::InvalidArgumentError(
          absl::StrCat("server certificate or key cannot be used: ", error.what()));
    }
  }

  void UseCertificate(boost::asio::ssl::context& context) const {
    using ssl = boost::asio::ssl::context;
    context.set_options(ssl::default_workarounds | ssl::no_sslv2 | ssl::no_sslv3 | ssl::no_tlsv1 |
                        ssl::no_tlsv1_1);
    context.use_certificate_chain(boost::asio::buffer(options_.cert_pem));
    context.use_private_key(boost::asio::buffer(options_.key_pem), ssl::pem);
  }

  absl::Status Open() {
    const bool tls = !options_.cert_pem.empty();
    const std::string url =
        absl::StrCat(tls ? "https" : "http", "://", options_.address, ":", port_);
    try {
      web::http::experimental::listener::http_listener_config config;
      if (tls) {
        config.set_ssl_context_callback(
            [this](boost::asio::ssl::context& context) { UseCertificate(context); });
      }
      listener_ =
          std::make_unique<web::http::experimental::listener::http_listener>(web::uri(url), config);
      listener_->support([this](const ws::http_request& request) { Begin(request); });
      listener_->open().get();
      return absl::OkStatus();
    } catch (const std::exception& error) {
      listener_.reset();
      return absl::UnavailableError(absl::StrCat("cannot listen on ", url, ": ", error.what()));
    }
  }

  void Begin(const ws::http_request& request) {
    if (request.headers().content_length() > static_cast<uint64_t>(options_.max_body_bytes)) {
      return Refuse(request, 413, "the body is too large");
    }
    auto incoming = std::make_shared<Incoming>();
    incoming->request = request;
    ReadBody(incoming);
  }

  // Reads on without a thread that waits; the size is checked here too since a chunked body has no
  // length.
  void ReadBody(const std::shared_ptr<Incoming>& incoming) {
    auto body = incoming->request.body();
    if (!body.is_valid()) return Dispatch(*incoming);
    body.streambuf()
        .getn(incoming->chunk.data(), incoming->chunk.size())
        .then([this, incoming](pplx::task<size_t> task) {
          size_t read = 0;
          try {
            read = task.get();
          } catch (const std::exception&) {
            return Refuse(incoming->request, 400, "the body ended early");
          }
          if (read == 0) return Dispatch(*incoming);
          incoming->body.append(reinterpret_cast<const char*>(incoming->chunk.data()), read);
          if (static_cast<int64_t>(incoming->body.size()) > options_.max_body_bytes) {
            return Refuse(incoming->request, 413, "the body is too large");
          }
          ReadBody(incoming);
        });
  }

  void Dispatch(Incoming& incoming) {
    Request request;
    request.method = incoming.request.method();
    request.target = incoming.request.request_uri().to_string();
    for (const auto& [name, value] : incoming.request.headers()) {
      request.headers[absl::AsciiStrToLower(name)] = value;
    }
    request.body = std::move(incoming.body);
    auto writer =
        std::make_shared<CpprestWriter>(incoming.request, streams_, options_.max_unsent_bytes);
    bool queued = workers_.Run([this, request = std::move(request), writer]() mutable {
      handler_(std::move(request), std::move(writer));
    });
    if (!queued) writer->Send({503, {{"retry-after", "1"}}, "the server is busy or stopping\n"});
  }

  static void Refuse(const ws::http_request& request, int status, const std::string& why) {
    ws::http_response response(static_cast<ws::status_code>(status));
    response.set_body(why + "\n", "text/plain");
    Reply(request, response, [](bool) {});
  }

  const ServerOptions options_;
  const Handler handler_;
  const std::shared_ptr<OpenStreams> streams_ = std::make_shared<OpenStreams>();
  int port_ = 0;
  std::unique_ptr<web::http::experimental::listener::http_listener> listener_;
  Workers workers_;  // last: joined first
};

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Serve(ServerOptions options, Handler handler) {
  BoundThreadPool();
  auto server = std::make_unique<CpprestServer>(std::move(options), std::move(handler));
  ASHLAR_RETURN_IF_ERROR(server->Listen());
  return server;
}

}  // namespace ashlar::http
