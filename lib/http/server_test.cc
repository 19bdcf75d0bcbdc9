#include "lib/http/server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/socket.h>
#include <unistd.h>

#include <future>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace ashlar::http {
namespace {

// One TCP connection to the server, spoken by hand.
class Connection {
 public:
  explicit Connection(int port) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in to = {};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof(to)) == 0;
  }
  ~Connection() { Close(); }
  bool connected() const { return connected_; }
  int fd() const { return fd_; }
  void Close() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }
  void Say(const std::string& text) {
    ASSERT_EQ(send(fd_, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
  }
  // Reads until `text` has come or the server has closed.
  std::string ReadUntil(const std::string& text) {
    std::string all;
    char buffer[4096];
    while (!absl::StrContains(all, text)) {
      ssize_t n = recv(fd_, buffer, sizeof(buffer), 0);
      if (n <= 0) break;
      all.append(buffer, n);
    }
    return all;
  }

 private:
  int fd_;
  bool connected_ = false;
};

std::string Get(const std::string& target) {
  return absl::StrCat("GET ", target, " HTTP/1.1\r\nHost: x\r\n\r\n");
}

void Echo(const Request& request, const std::shared_ptr<ResponseWriter>& writer) {
  auto type = request.headers.find("content-type");
  writer->Send({200,
                {{"x-method", request.method},
                 {"content-type", type == request.headers.end() ? "none" : type->second}},
                absl::StrCat(request.target, "|", request.body, "|end")});
}

std::unique_ptr<Server> Must(absl::StatusOr<std::unique_ptr<Server>> server) {
  EXPECT_TRUE(server.ok()) << server.status();
  return *std::move(server);
}

TEST(Server, AnswersWithMethodTargetBodyAndHeaders) {
  auto server = Must(Serve({}, Echo));
  ASSERT_GT(server->port(), 0);
  Connection c(server->port());
  c.Say(
      "PATCH /a/b%2Fc?x=1&y=%20z HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
      "Content-Length: 2\r\n\r\n{}");
  std::string answer = c.ReadUntil("|end");
  EXPECT_TRUE(absl::StrContains(answer, "200 OK")) << answer;
  EXPECT_TRUE(absl::StrContains(answer, "/a/b%2Fc?x=1&y=%20z|{}|end")) << answer;
  EXPECT_TRUE(absl::StrContains(answer, "x-method: PATCH")) << answer;
  EXPECT_TRUE(absl::StrContains(answer, "application/json")) << answer;
  c.Say(Get("/second"));  // the connection is kept
  EXPECT_TRUE(absl::StrContains(c.ReadUntil("|end"), "/second||end"));
}

TEST(Server, SendsEachChunkOfAStreamAsItIsWritten) {
  std::promise<std::shared_ptr<ResponseWriter>> promise;
  auto server = Must(Serve({}, [&](Request, std::shared_ptr<ResponseWriter> writer) {
    writer->Start(200, {{"content-type", "application/json"}});
    promise.set_value(std::move(writer));
  }));
  Connection c(server->port());
  c.Say(Get("/watch"));
  auto writer = promise.get_future().get();
  EXPECT_TRUE(writer->Write("one\n"));
  EXPECT_TRUE(absl::StrContains(c.ReadUntil("one\n"), "one\n"));
  EXPECT_TRUE(writer->Write("two\n"));
  EXPECT_TRUE(absl::StrContains(c.ReadUntil("two\n"), "two\n"));
  writer.reset();
  EXPECT_TRUE(absl::StrContains(c.ReadUntil("0\r\n\r\n"), "0\r\n\r\n"));
}

TEST(Server, TellsAStreamThatItsClientHasGone) {
  std::promise<std::shared_ptr<ResponseWriter>> promise;
  auto server = Must(Serve({}, [&](Request, std::shared_ptr<ResponseWriter> writer) {
    writer->Start(200, {});
    promise.set_value(std::move(writer));
  }));
  auto c = std::make_unique<Connection>(server->port());
  c->Say(Get("/watch"));
  auto writer = promise.get_future().get();
  EXPECT_TRUE(writer->Write("one\n"));
  c->ReadUntil("one\n");
  c.reset();
  int writes = 0;
  while (writer->Write("more\n")) ASSERT_LT(++writes, 1000000);
}

TEST(Server, GivesUpOnAClientThatDoesNotRead) {
  ServerOptions options;
  options.max_unsent_bytes = 1024 * 1024;
  std::promise<std::shared_ptr<ResponseWriter>> promise;
  auto server = Must(Serve(options, [&](Request, std::shared_ptr<ResponseWriter> writer) {
    writer->Start(200, {});
    promise.set_value(std::move(writer));
  }));
  Connection c(server->port());
  c.Say(Get("/watch"));
  auto writer = promise.get_future().get();
  const std::string chunk(256 * 1024, 'x');
  int writes = 0;
  while (writer->Write(chunk)) ASSERT_LT(++writes, 1000);
  c.Close();
}

TEST(Server, RefusesABodyOverTheLimit) {
  ServerOptions options;
  options.max_body_bytes = 100;
  auto server = Must(Serve(options, Echo));
  Connection known(server->port());
  known.Say(absl::StrCat("POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 101\r\n\r\n",
                         std::string(101, 'x')));
  EXPECT_TRUE(absl::StrContains(known.ReadUntil("too large"), " 413 "));
  Connection chunked(server->port());
  chunked.Say(
      absl::StrCat("POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n",
                   std::string(101, 'x'), "\r\n0\r\n\r\n"));
  EXPECT_TRUE(absl::StrContains(chunked.ReadUntil("too large"), " 413 "));
  Connection small(server->port());
  small.Say(
      "POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n");
  EXPECT_TRUE(absl::StrContains(small.ReadUntil("|end"), "/x|ab|end"));
}

TEST(Server, StopsWithStreamsAndKeptConnectionsOpen) {
  std::promise<std::shared_ptr<ResponseWriter>> promise;
  auto server = Must(Serve({}, [&](Request request, std::shared_ptr<ResponseWriter> writer) {
    if (request.target != "/watch") return Echo(request, writer);
    writer->Start(200, {});
    promise.set_value(std::move(writer));
  }));
  Connection kept(server->port());
  kept.Say(Get("/x"));
  kept.ReadUntil("|end");
  Connection stream(server->port());
  stream.Say(Get("/watch"));
  auto writer = promise.get_future().get();
  writer->Write("one\n");
  stream.ReadUntil("one\n");
  server.reset();
  EXPECT_FALSE(writer->Write("two\n"));
  writer.reset();  // after the server: harmless
}

TEST(Server, AnswersA500IfTheHandlerForgets) {
  auto server = Must(Serve({}, [](Request, std::shared_ptr<ResponseWriter>) {}));
  Connection c(server->port());
  c.Say(Get("/x"));
  EXPECT_TRUE(absl::StrContains(c.ReadUntil("not answered"), " 500 "));
}

TEST(Server, SaysThatAPortIsTaken) {
  auto first = Must(Serve({}, Echo));
  ServerOptions options;
  options.port = first->port();
  auto second = Serve(options, Echo);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(absl::StrContains(second.status().message(), absl::StrCat(first->port())));
}

TEST(Server, RefusesACertificateThatIsNone) {
  ServerOptions options;
  options.cert_pem = "not PEM";
  options.key_pem = "not PEM";
  EXPECT_EQ(Serve(options, Echo).status().code(), absl::StatusCode::kInvalidArgument);
}

// A self-signed certificate, and its key.
std::pair<std::string, std::string> SelfSigned() {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* cert = X509_new();
  X509_gmtime_adj(X509_getm_notBefore(cert), 0);
  X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
  X509_set_pubkey(cert, key);
  X509_sign(cert, key, EVP_sha256());
  BIO* bio = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(bio, cert);
  BIO* key_bio = BIO_new(BIO_s_mem());
  PEM_write_bio_PrivateKey(key_bio, key, nullptr, nullptr, 0, nullptr, nullptr);
  auto text = [](BIO* from) {
    char* data = nullptr;
    auto size = BIO_get_mem_data(from, &data);
    std::string out(data, size);
    BIO_free(from);
    return out;
  };
  std::pair<std::string, std::string> out = {text(bio), text(key_bio)};
  X509_free(cert);
  EVP_PKEY_free(key);
  return out;
}

TEST(Server, SpeaksTlsAndStreamsOverIt) {
  auto [cert, key] = SelfSigned();
  ServerOptions options;
  options.cert_pem = cert;
  options.key_pem = key;
  auto server = Must(Serve(options, [](Request, std::shared_ptr<ResponseWriter> writer) {
    writer->Start(200, {});
    writer->Write("over TLS\n");
  }));
  Connection c(server->port());
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  SSL* ssl = SSL_new(context);
  SSL_set_fd(ssl, c.fd());
  ASSERT_EQ(SSL_connect(ssl), 1);
  std::string request = Get("/x");
  ASSERT_GT(SSL_write(ssl, request.data(), request.size()), 0);
  std::string all;
  char buffer[1024];
  while (!absl::StrContains(all, "over TLS")) {
    int n = SSL_read(ssl, buffer, sizeof(buffer));
    if (n <= 0) break;
    all.append(buffer, n);
  }
  EXPECT_TRUE(absl::StrContains(all, "over TLS")) << all;
  SSL_free(ssl);
  SSL_CTX_free(context);
}

}  // namespace
}  // namespace ashlar::http
