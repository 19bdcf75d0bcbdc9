#include "lib/http/client.h"

#include <atomic>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gtest/gtest.h"
#include "lib/base/mutex.h"
#include "lib/http/server.h"
#include "lib/tls/certificate_maker.h"

namespace ashlar::http {
namespace {

// The handler of a server that a test controls.
class Scripted {
 public:
  void operator()(Request request, std::shared_ptr<ResponseWriter> writer) {
    if (request.target == "/stream") {
      writer->Start(200, {});
      writer->Write("one\ntw");
      writer->Write("o\nthree");
    } else if (request.target == "/hang" || request.target == "/endless") {
      if (request.target == "/endless") {
        writer->Start(200, {});
        writer->Write("first\n");
      }
      MutexLock lock(mu_);
      kept_.push_back(std::move(writer));
      changed_.NotifyAll();
    } else if (request.target == "/refused") {
      writer->Send({410, {}, "gone"});
    } else {
      writer->Send({200,
                    {{"X-Answer", "Yes"}},
                    absl::StrCat(request.method, " ", request.target, " ",
                                 request.headers["authorization"], " ", request.body)});
    }
  }
  void AwaitKept(size_t count) {
    MutexLock lock(mu_);
    while (kept_.size() < count) changed_.Wait(mu_);
  }
  void DropAll() {
    MutexLock lock(mu_);
    kept_.clear();
  }

 private:
  Mutex mu_;
  CondVar changed_;
  std::vector<std::shared_ptr<ResponseWriter>> kept_ ABSL_GUARDED_BY(mu_);
};

class HttpClientTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto server = Serve({}, [this](Request request, std::shared_ptr<ResponseWriter> writer) {
      script_(std::move(request), std::move(writer));
    });
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    auto client = MakeClient({.base_url = absl::StrCat("http://127.0.0.1:", server_->port())});
    ASSERT_TRUE(client.ok()) << client.status();
    client_ = *std::move(client);
  }
  void TearDown() override { script_.DropAll(); }

  absl::Status Lines(const CallContext& context, const std::string& target,
                     std::vector<std::string>& lines) {
    return client_->StreamLines(
        context, {.target = target},
        [&](absl::string_view line) {
          lines.push_back(std::string(line));
          return absl::OkStatus();
        },
        [](const Response& response) {
          return absl::OutOfRangeError(absl::StrCat(response.status, " ", response.body));
        });
  }

  Scripted script_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<Client> client_;
};

TEST_F(HttpClientTest, SendsMethodTargetHeadersAndBodyAndGetsTheAnswer) {
  auto answer = client_->Send(
      {}, {.method = "PATCH",
           .target = "/a/b%2Fc?x=1&y=%20z",
           .headers = {{"Authorization", "Bearer t"}, {"Content-Type", "application/json"}},
           .body = "{}"});
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->body, "PATCH /a/b%2Fc?x=1&y=%20z Bearer t {}");
  EXPECT_EQ(answer->headers["x-answer"], "Yes");
}

TEST_F(HttpClientTest, ARefusalIsAnAnswer) {
  auto answer = client_->Send({}, {.target = "/refused"});
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->status, 410);
  EXPECT_EQ(answer->body, "gone");
}

TEST_F(HttpClientTest, NoConnectionIsUnavailable) {
  const int port = server_->port();
  server_.reset();
  auto client = MakeClient({.base_url = absl::StrCat("http://127.0.0.1:", port)});
  EXPECT_EQ((*client)->Send({}, {.target = "/"}).status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(HttpClientTest, DeadlineEndsACallThatIsNotAnswered) {
  const auto answer =
      client_->Send({.deadline = absl::Now() + absl::Milliseconds(50)}, {.target = "/hang"});
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kDeadlineExceeded) << answer.status();
}

TEST_F(HttpClientTest, StopEndsACallThatIsNotAnswered) {
  std::stop_source stop;
  absl::Status result;
  std::jthread caller(
      [&] { result = client_->Send({.stop = stop.get_token()}, {.target = "/hang"}).status(); });
  script_.AwaitKept(1);
  stop.request_stop();
  caller.join();
  EXPECT_EQ(result.code(), absl::StatusCode::kCancelled) << result;
}

TEST_F(HttpClientTest, StreamHandsOverLinesHoweverTheyArrive) {
  std::vector<std::string> lines;
  const absl::Status ended = Lines({}, "/stream", lines);
  EXPECT_TRUE(ended.ok()) << ended;
  EXPECT_EQ(lines, (std::vector<std::string>{"one", "two", "three"}));
}

TEST_F(HttpClientTest, StreamThatIsRefusedIsGivenWhole) {
  std::vector<std::string> lines;
  const absl::Status ended = Lines({}, "/refused", lines);
  EXPECT_EQ(ended, absl::OutOfRangeError("410 gone"));
}

TEST_F(HttpClientTest, StopEndsAnIdleStream) {
  std::stop_source stop;
  absl::Status result;
  std::vector<std::string> lines;
  std::jthread caller([&] { result = Lines({.stop = stop.get_token()}, "/endless", lines); });
  script_.AwaitKept(1);
  stop.request_stop();
  caller.join();
  EXPECT_EQ(result.code(), absl::StatusCode::kCancelled) << result;
}

TEST_F(HttpClientTest, DeadlineEndsAnIdleStream) {
  std::vector<std::string> lines;
  const absl::Status result =
      Lines({.deadline = absl::Now() + absl::Milliseconds(200)}, "/endless", lines);
  EXPECT_EQ(result.code(), absl::StatusCode::kDeadlineExceeded) << result;
  EXPECT_EQ(lines, std::vector<std::string>{"first"});
}

TEST_F(HttpClientTest, ErrorOfTheLineHandlerEndsTheStream) {
  const absl::Status result = client_->StreamLines(
      {}, {.target = "/endless"}, [](absl::string_view) { return absl::DataLossError("enough"); },
      [](const Response&) { return absl::OkStatus(); });
  EXPECT_EQ(result, absl::DataLossError("enough"));
}

TEST(HttpClientOptions, WhatCannotBeUsedIsRefusedByName) {
  for (const ClientOptions& bad :
       {ClientOptions{.base_url = "10.0.0.1:6443"}, ClientOptions{.base_url = "https://"},
        ClientOptions{.base_url = "https://x", .ca_pem = "no PEM"},
        ClientOptions{.base_url = "https://x", .client_cert_pem = "a certificate without key"}}) {
    EXPECT_EQ(MakeClient(bad).status().code(), absl::StatusCode::kInvalidArgument) << bad.base_url;
  }
}

class HttpsClientTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const absl::Time from = absl::Now() - absl::Hours(1), to = absl::Now() + absl::Hours(1);
    ca_ = *tls::MakeCa({"test ca", from, to});
    other_ca_ = *tls::MakeCa({"other ca", from, to});
    const tls::KeyPair by_ip =
        *tls::MakeCertificate(ca_, {"server", {"kubernetes"}, {"127.0.0.1"}, "", from, to});
    const tls::KeyPair by_name =
        *tls::MakeCertificate(ca_, {"server", {"kubernetes"}, {}, "", from, to});
    Start(by_ip, by_ip_server_);
    Start(by_name, by_name_server_);
  }
  void Start(const tls::KeyPair& pair, std::unique_ptr<Server>& server) {
    server = *Serve({.cert_pem = pair.certificate_pem, .key_pem = pair.key_pem},
                    [](Request, std::shared_ptr<ResponseWriter> writer) {
                      writer->Send({200, {}, "secret"});
                    });
  }
  absl::Status Get(const Server& server, ClientOptions options) {
    options.base_url = absl::StrCat("https://127.0.0.1:", server.port());
    auto client = MakeClient(options);
    if (!client.ok()) return client.status();
    return (*client)->Send({}, {.target = "/"}).status();
  }

  tls::KeyPair ca_, other_ca_;
  std::unique_ptr<Server> by_ip_server_, by_name_server_;
};

TEST_F(HttpsClientTest, TrustsTheGivenAuthorityOnly) {
  EXPECT_TRUE(Get(*by_ip_server_, {.ca_pem = ca_.certificate_pem}).ok());
  EXPECT_EQ(Get(*by_ip_server_, {.ca_pem = other_ca_.certificate_pem}).code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(Get(*by_ip_server_, {}).code(), absl::StatusCode::kUnavailable);
}

TEST_F(HttpsClientTest, ChecksTheNameAndServerNameReplacesIt) {
  EXPECT_EQ(Get(*by_name_server_, {.ca_pem = ca_.certificate_pem}).code(),
            absl::StatusCode::kUnavailable);
  EXPECT_TRUE(
      Get(*by_name_server_, {.ca_pem = ca_.certificate_pem, .server_name = "kubernetes"}).ok());
  EXPECT_EQ(
      Get(*by_name_server_, {.ca_pem = ca_.certificate_pem, .server_name = "elsewhere"}).code(),
      absl::StatusCode::kUnavailable);
}

TEST_F(HttpsClientTest, InsecureSkipVerifyAsksNothing) {
  EXPECT_TRUE(Get(*by_name_server_, {.insecure_skip_verify = true}).ok());
}

TEST_F(HttpsClientTest, KeyThatDoesNotFitItsCertificateIsRefused) {
  EXPECT_EQ(Get(*by_ip_server_,
                {.client_cert_pem = ca_.certificate_pem, .client_key_pem = other_ca_.key_pem})
                .code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace ashlar::http
