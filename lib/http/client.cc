#include "lib/http/client.h"

#include <exception>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cpprest/http_client.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/base/status_macros.h"
#include "lib/http/thread_pool.h"
#include "openssl/err.h"
#include "openssl/ssl.h"

namespace ashlar::http {
namespace {

namespace ws = web::http;
namespace ssl = boost::asio::ssl;

// A server that says nothing for so long is taken to be gone. Also ends a stream that is idle, so a
// dead connection does not hold a watch for ever.
constexpr std::chrono::seconds kSilence(60);
constexpr std::chrono::seconds kStreamSilence(150);
constexpr size_t kMaxLine = 64 << 20;

// Ends a call on cpprestsdk when its context ends, and waits for tasks meanwhile.
class Call {
 public:
  explicit Call(const CallContext& context)
      : context_(context), on_stop_(context.stop, [this] { source_.cancel(); }) {}

  pplx::cancellation_token token() const { return source_.get_token(); }
  void Cancel() { source_.cancel(); }

  // The task's result. Cancelled or DeadlineExceeded if the context ended, otherwise Unavailable
  // with what the library threw.
  template <class T>
  absl::StatusOr<T> Await(pplx::task<T> task) {
    auto outcome = std::make_shared<Outcome>();
    task.then([outcome](const pplx::task<T>&) {
      MutexLock lock(outcome->mu);
      outcome->done = true;
      outcome->changed.NotifyAll();
    });
    if (!AwaitUntil(*outcome, context_.deadline)) {
      source_.cancel();
      AwaitUntil(*outcome, absl::InfiniteFuture());
    }
    try {
      return task.get();
    } catch (const std::exception& error) {
      return Explain(error.what());
    }
  }

  absl::Status Explain(absl::string_view what) const {
    const absl::Status ended = CheckContext(clock_, context_);
    return ended.ok() ? absl::UnavailableError(what) : ended;
  }

 private:
  struct Outcome {
    Mutex mu;
    CondVar changed;
    bool done ABSL_GUARDED_BY(mu) = false;
  };

  bool AwaitUntil(Outcome& outcome, absl::Time deadline) {
    MutexLock lock(outcome.mu);
    while (!outcome.done) {
      if (clock_.Now() >= deadline) return false;
      clock_.WaitUntil(outcome.changed, outcome.mu, deadline);
    }
    return true;
  }

  RealClock clock_;
  const CallContext& context_;
  pplx::cancellation_token_source source_;
  std::stop_callback<std::function<void()>> on_stop_;
};

std::string OpensslError() {
  char text[256] = "unknown error";
  if (const unsigned long code = ERR_get_error(); code != 0)
    ERR_error_string_n(code, text, sizeof(text));
  ERR_clear_error();
  return text;
}

// Puts trust anchors and the client's certificate into a TLS context. Throws what Asio throws.
void Configure(ssl::context& context, const ClientOptions& options) {
  SSL_CTX_set_min_proto_version(context.native_handle(), TLS1_2_VERSION);
  if (!options.ca_pem.empty()) {
    // Only these are trusted: the library has put the system's anchors there.
    SSL_CTX_set_cert_store(context.native_handle(), X509_STORE_new());
    context.add_certificate_authority(boost::asio::buffer(options.ca_pem));
  }
  if (!options.client_cert_pem.empty()) {
    context.use_certificate_chain(boost::asio::buffer(options.client_cert_pem));
    context.use_private_key(boost::asio::buffer(options.client_key_pem), ssl::context::pem);
    if (SSL_CTX_check_private_key(context.native_handle()) != 1)
      throw std::invalid_argument("the key does not belong to the certificate");
  }
}

absl::Status CheckOptions(const ClientOptions& options) {
  const std::string& url = options.base_url;
  if (!absl::StartsWith(url, "http://") && !absl::StartsWith(url, "https://"))
    return absl::InvalidArgumentError(
        absl::StrCat("server \"", url, "\" must begin with https:// or http://"));
  try {
    if (web::uri(url).host().empty())
      return absl::InvalidArgumentError(absl::StrCat("server \"", url, "\" names no host"));
  } catch (const std::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat("server \"", url, "\": ", error.what()));
  }
  if (options.client_cert_pem.empty() != options.client_key_pem.empty())
    return absl::InvalidArgumentError(
        "a client certificate needs its key, and a key its certificate");
  try {
    ssl::context probe(ssl::context::sslv23);
    Configure(probe, options);
  } catch (const std::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(
        "CA or client certificate cannot be used: ", error.what(), " (", OpensslError(), ")"));
  }
  return absl::OkStatus();
}

Response Head(const ws::http_response& from) {
  Response to;
  to.status = from.status_code();
  for (const auto& [name, value] : from.headers()) to.headers[absl::AsciiStrToLower(name)] = value;
  return to;
}

// Splits what arrives into lines.
class LineSplitter {
 public:
  explicit LineSplitter(absl::FunctionRef<absl::Status(absl::string_view)> line) : line_(line) {}

  absl::Status Add(absl::string_view bytes) {
    size_t begin = 0;
    for (size_t end; (end = bytes.find('\n', begin)) != absl::string_view::npos; begin = end + 1) {
      const absl::string_view piece = bytes.substr(begin, end - begin);
      absl::Status taken;
      if (rest_.empty()) {
        taken = line_(piece);
      } else {
        absl::StrAppend(&rest_, piece);
        taken = line_(std::exchange(rest_, {}));
      }
      ASHLAR_RETURN_IF_ERROR(taken);
    }
    absl::StrAppend(&rest_, bytes.substr(begin));
    if (rest_.size() > kMaxLine)
      return absl::ResourceExhaustedError(
          absl::StrCat("a line is longer than ", kMaxLine, " bytes"));
    return absl::OkStatus();
  }
  // A last line without newline counts.
  absl::Status Finish() { return rest_.empty() ? absl::OkStatus() : line_(rest_); }

 private:
  absl::FunctionRef<absl::Status(absl::string_view)> line_;
  std::string rest_;
};

class CpprestClient final : public Client {
 public:
  explicit CpprestClient(ClientOptions options)
      : options_(std::move(options)), client_(options_.base_url, Config(kSilence)) {}

  absl::StatusOr<Response> Send(const CallContext& context, const Request& request) override {
    ASHLAR_RETURN_IF_ERROR(CheckContext(RealClock(), context));
    Call call(context);
    ASHLAR_ASSIGN_OR_RETURN(ws::http_response head, Begin(call, client_, request));
    return Whole(call, head);
  }

  absl::Status StreamLines(const CallContext& context, const Request& request,
                           absl::FunctionRef<absl::Status(absl::string_view)> line,
                           absl::FunctionRef<absl::Status(const Response&)> refused) override {
    ASHLAR_RETURN_IF_ERROR(CheckContext(RealClock(), context));
    Call call(context);
    // A client of its own, whose connection ends with it and whose patience is longer.
    ws::client::http_client client(options_.base_url, Config(kStreamSilence));
    ASHLAR_ASSIGN_OR_RETURN(ws::http_response head, Begin(call, client, request));
    if (head.status_code() != 200) {
      ASHLAR_ASSIGN_OR_RETURN(const Response whole, Whole(call, head));
      return refused(whole);
    }
    const absl::Status ended = ReadLines(call, head, line);
    if (!ended.ok()) call.Cancel();  // or the server would go on sending
    return ended;
  }

 private:
  ws::client::http_client_config Config(std::chrono::seconds silence) const {
    ws::client::http_client_config config;
    config.set_timeout(silence);
    config.set_max_redirects(0);
    config.set_validate_certificates(!options_.insecure_skip_verify);
    config.set_ssl_context_callback([this](ssl::context& context) {
      try {
        Configure(context, options_);
      } catch (const std::exception&) {
        // CheckOptions has done the same with success; a handshake without them will fail.
      }
    });
    return config;
  }

  absl::StatusOr<ws::http_response> Begin(Call& call, ws::client::http_client& client,
                                          const Request& from) {
    try {
      ws::http_request to(from.method);
      to.set_request_uri(web::uri(from.target));
      if (!from.body.empty())
        to.set_body(std::vector<unsigned char>(from.body.begin(), from.body.end()));
      for (const auto& [name, value] : from.headers) {
        to.headers().remove(name);
        to.headers().add(name, value);
      }
      // The library takes the name that it asks for and checks from the Host header.
      if (!options_.server_name.empty()) to.headers().add("Host", options_.server_name);
      return call.Await(client.request(to, call.token()));
    } catch (const std::exception& error) {
      return call.Explain(error.what());
    }
  }

  absl::StatusOr<Response> Whole(Call& call, ws::http_response& head) {
    Response response = Head(head);
    ASHLAR_ASSIGN_OR_RETURN(const std::vector<unsigned char> body,
                            call.Await(head.extract_vector()));
    response.body.assign(body.begin(), body.end());
    return response;
  }

  absl::Status ReadLines(Call& call, ws::http_response& head,
                         absl::FunctionRef<absl::Status(absl::string_view)> line) {
    LineSplitter lines(line);
    auto buffer = head.body().streambuf();
    std::string bytes;
    for (;;) {
      // Waits for one byte, then takes all that are there.
      ASHLAR_ASSIGN_OR_RETURN(const int first, call.Await(buffer.bumpc()));
      if (first == concurrency::streams::char_traits<uint8_t>::eof()) break;
      bytes.resize(1 + buffer.in_avail());
      bytes[0] = static_cast<char>(first);
      if (bytes.size() > 1) {
        ASHLAR_ASSIGN_OR_RETURN(const size_t got,
                                call.Await(buffer.getn(reinterpret_cast<uint8_t*>(bytes.data() + 1),
                                                       bytes.size() - 1)));
        bytes.resize(1 + got);
      }
      ASHLAR_RETURN_IF_ERROR(lines.Add(bytes));
    }
    // The end of the body may be the end of the context, which closes the connection.
    ASHLAR_RETURN_IF_ERROR(call.Await(head.content_ready()).status());
    return lines.Finish();
  }

  const ClientOptions options_;
  ws::client::http_client client_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Client>> MakeClient(ClientOptions options) {
  BoundThreadPool();
  ASHLAR_RETURN_IF_ERROR(CheckOptions(options));
  try {
    return std::make_unique<CpprestClient>(std::move(options));
  } catch (const std::exception& error) {
    return absl::InvalidArgumentError(error.what());
  }
}

}  // namespace ashlar::http
