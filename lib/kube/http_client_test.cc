#include "lib/kube/http_client.h"

#include <deque>
#include <fstream>
#include <functional>
#include <thread>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "lib/base/mutex.h"
#include "lib/base/testing/simulated_clock.h"
#include "lib/base/testing/temporary_directory.h"
#include "lib/kube/core_kinds.h"

namespace ashlar::kube {
namespace {

const KindInfo kWidget{"example.dev", "v1", "Widget", "widgets", false};

// A server that answers what the test has queued and remembers what it was asked.
class ScriptedHttp final : public http::Client {
 public:
  absl::StatusOr<http::Response> Send(const CallContext&, const http::Request& request) override {
    MutexLock lock(mu_);
    asked_.push_back(request);
    if (answers_.empty()) return absl::InternalError("the test has no more answers");
    auto answer = std::move(answers_.front());
    answers_.pop_front();
    return answer;
  }
  absl::Status StreamLines(
      const CallContext&, const http::Request& request,
      absl::FunctionRef<absl::Status(absl::string_view)> line,
      absl::FunctionRef<absl::Status(const http::Response&)> refused) override {
    std::vector<std::string> lines;
    {
      MutexLock lock(mu_);
      asked_.push_back(request);
      if (refusal_.status != 0) return refused(refusal_);
      lines = lines_;
    }
    for (const std::string& text : lines) {
      if (absl::Status taken = line(text); !taken.ok()) return taken;
    }
    MutexLock lock(mu_);
    return stream_end_;
  }

  void Answer(int status, const Json& body, http::Headers headers = {}) {
    MutexLock lock(mu_);
    answers_.push_back(http::Response{status, std::move(headers), DumpJson(body)});
  }
  void Break() {
    MutexLock lock(mu_);
    answers_.push_back(absl::UnavailableError("connection reset"));
  }
  void Stream(std::vector<std::string> lines, absl::Status end) {
    MutexLock lock(mu_);
    lines_ = std::move(lines);
    stream_end_ = std::move(end);
  }
  void RefuseStream(int status) {
    MutexLock lock(mu_);
    refusal_ = {status, {}, "{}"};
  }
  std::vector<http::Request> asked() {
    MutexLock lock(mu_);
    return asked_;
  }

 private:
  Mutex mu_;
  std::deque<absl::StatusOr<http::Response>> answers_ ABSL_GUARDED_BY(mu_);
  std::vector<http::Request> asked_ ABSL_GUARDED_BY(mu_);
  std::vector<std::string> lines_ ABSL_GUARDED_BY(mu_);
  absl::Status stream_end_ ABSL_GUARDED_BY(mu_);
  http::Response refusal_ ABSL_GUARDED_BY(mu_);
};

Json Object(const std::string& name, const std::string& version = "") {
  Json made{{"apiVersion", "example.dev/v1"}, {"kind", "Widget"}, {"metadata", {{"name", name}}}};
  if (!version.empty()) made["metadata"]["resourceVersion"] = version;
  return made;
}

Json StatusBody(int code, const std::string& reason) {
  return {{"kind", "Status"}, {"code", code}, {"reason", reason}, {"message", reason}};
}

class HttpClientTest : public ::testing::Test {
 protected:
  void SetUp() override { Make("secret", ""); }
  void Make(const std::string& token, const std::string& token_file) {
    auto http = std::make_unique<ScriptedHttp>();
    http_ = http.get();
    client_ = MakeHttpClient(
        std::move(http), token, token_file, clock_,
        {.user_agent = "tester", .request_timeout = absl::InfiniteDuration(), .list_chunk = 2});
  }
  // Runs `call` while time goes on whenever it sleeps.
  template <class F>
  auto WhileTimePasses(F call) {
    std::jthread time([&](std::stop_token stop) {
      while (!stop.stop_requested()) {
        clock_.Advance(absl::Seconds(1));
        std::this_thread::yield();
      }
    });
    return call();
  }

  SimulatedClock clock_;
  ScriptedHttp* http_ = nullptr;
  std::unique_ptr<Client> client_;
};

TEST_F(HttpClientTest, GetAsksForTheObjectWithTheToken) {
  http_->Answer(200, Object("a", "7"));
  const auto got = client_->Get({}, kWidget, {"", "a"});
  ASSERT_TRUE(got.ok()) << got.status();
  const http::Request asked = http_->asked()[0];
  EXPECT_EQ(asked.target, "/apis/example.dev/v1/widgets/a");
  EXPECT_EQ(asked.headers.at("Authorization"), "Bearer secret");
  EXPECT_EQ(asked.headers.at("User-Agent"), "tester");
}

TEST_F(HttpClientTest, ListGoesOnUntilTheLastChunkAndNamesTheKindInItems) {
  http_->Answer(200, {{"metadata", {{"resourceVersion", "9"}, {"continue", "more"}}},
                      {"items", {Json{{"metadata", {{"name", "a"}}}}, Json("no object")}}});
  http_->Answer(200, {{"metadata", {{"resourceVersion", "9"}}},
                      {"items", {Json{{"metadata", {{"name", "b"}}}}}}});
  const auto listed = client_->List({}, kWidget, {.label_selector = "x=y"});
  ASSERT_TRUE(listed.ok()) << listed.status();
  ASSERT_EQ(listed->items.size(), 2u) << "what is no object is skipped";
  EXPECT_EQ(listed->items[0]["kind"], "Widget");
  EXPECT_EQ(listed->items[1]["apiVersion"], "example.dev/v1");
  EXPECT_EQ(listed->resource_version, "9");
  EXPECT_EQ(http_->asked()[0].target, "/apis/example.dev/v1/widgets?labelSelector=x%3Dy&limit=2");
  EXPECT_TRUE(absl::EndsWith(http_->asked()[1].target, "&limit=2&continue=more"));
}

TEST_F(HttpClientTest, ListStartsAgainInOneWhenItsSnapshotIsGone) {
  http_->Answer(200, {{"metadata", {{"resourceVersion", "9"}, {"continue", "more"}}},
                      {"items", {Json{{"metadata", {{"name", "a"}}}}}}});
  http_->Answer(410, StatusBody(410, "Expired"));
  http_->Answer(200, {{"metadata", {{"resourceVersion", "12"}}},
                      {"items", {Json{{"metadata", {{"name", "b"}}}}}}});
  const auto listed = client_->List({}, kWidget, {});
  ASSERT_TRUE(listed.ok()) << listed.status();
  EXPECT_EQ(listed->items.size(), 1u) << "nothing of the first try is left";
  EXPECT_EQ(listed->resource_version, "12");
  EXPECT_EQ(http_->asked()[2].target, "/apis/example.dev/v1/widgets");
}

TEST_F(HttpClientTest, ReadsAreRepeatedAfterABrokenConnectionAndServerErrors) {
  http_->Break();
  http_->Answer(503, StatusBody(503, "ServiceUnavailable"));
  http_->Answer(200, Object("a"));
  EXPECT_TRUE(WhileTimePasses([&] { return client_->Get({}, kWidget, {"", "a"}); }).ok());
  EXPECT_EQ(http_->asked().size(), 3u);
}

TEST_F(HttpClientTest, CreateIsNotRepeatedAfterABrokenConnection) {
  http_->Break();
  EXPECT_EQ(client_->Create({}, kWidget, Object("a")).status().code(),
            absl::StatusCode::kUnavailable);
  http_->Answer(500, StatusBody(500, "InternalError"));
  EXPECT_EQ(client_->Create({}, kWidget, Object("a")).status().code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(http_->asked().size(), 2u);
}

TEST_F(HttpClientTest, CreateIsRepeatedWhenTheServerAsksToComeBack) {
  http_->Answer(429, StatusBody(429, "TooManyRequests"), {{"retry-after", "5"}});
  http_->Answer(201, Object("a"));
  const absl::Time before = clock_.Now();
  EXPECT_TRUE(WhileTimePasses([&] { return client_->Create({}, kWidget, Object("a")); }).ok());
  EXPECT_GE(clock_.Now() - before, absl::Seconds(5));
}

TEST_F(HttpClientTest, RetriesEnd) {
  for (int i = 0; i < 10; ++i) http_->Answer(503, StatusBody(503, "ServiceUnavailable"));
  EXPECT_EQ(WhileTimePasses([&] {
              return client_->Get({}, kWidget, {"", "a"});
            })
                .status()
                .code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(http_->asked().size(), 6u);
}

TEST_F(HttpClientTest, RefusedTokenIsReadAgainOnce) {
  TemporaryDirectory directory;
  const std::string file = directory.path() + "/token";
  std::ofstream(file) << "old";
  Make("", file);
  http_->Answer(200, Object("a"));
  ASSERT_TRUE(client_->Get({}, kWidget, {"", "a"}).ok());
  std::ofstream(file) << "new";
  http_->Answer(401, StatusBody(401, "Unauthorized"));
  http_->Answer(200, Object("a"));
  EXPECT_TRUE(client_->Get({}, kWidget, {"", "a"}).ok());
  EXPECT_EQ(http_->asked()[1].headers.at("Authorization"), "Bearer old");
  EXPECT_EQ(http_->asked()[2].headers.at("Authorization"), "Bearer new");
  http_->Answer(401, StatusBody(401, "Unauthorized"));
  http_->Answer(401, StatusBody(401, "Unauthorized"));
  EXPECT_EQ(client_->Get({}, kWidget, {"", "a"}).status().code(),
            absl::StatusCode::kUnauthenticated);
}

TEST_F(HttpClientTest, WritesGoToTheirSubresourceWithoutManagedFields) {
  Json object = Object("a", "7");
  object["metadata"]["managedFields"] = Json::array({1});
  http_->Answer(200, object);
  ASSERT_TRUE(client_->Update({}, kWidget, object, Subresource::kStatus).ok());
  http_->Answer(200, object);
  ASSERT_TRUE(
      client_
          ->Apply({}, kWidget, object, {.field_manager = "me", .subresource = Subresource::kStatus})
          .ok());
  const auto asked = http_->asked();
  EXPECT_EQ(asked[0].method, "PUT");
  EXPECT_EQ(asked[0].target, "/apis/example.dev/v1/widgets/a/status?fieldManager=tester");
  EXPECT_FALSE(absl::StrContains(asked[0].body, "managedFields"));
  EXPECT_EQ(asked[1].method, "PATCH");
  EXPECT_EQ(asked[1].target, "/apis/example.dev/v1/widgets/a/status?fieldManager=me&force=true");
  EXPECT_EQ(asked[1].headers.at("Content-Type"), "application/apply-patch+yaml");
}

TEST_F(HttpClientTest, UpdateWithoutVersionTakesThePresentOneAndTriesAgainOnConflict) {
  http_->Answer(200, Object("a", "7"));
  http_->Answer(409, StatusBody(409, "Conflict"));
  http_->Answer(200, Object("a", "8"));
  http_->Answer(200, Object("a", "9"));
  ASSERT_TRUE(client_->Update({}, kWidget, Object("a"), Subresource::kNone).ok());
  EXPECT_TRUE(absl::StrContains(http_->asked()[3].body, R"("resourceVersion":"8")"));
}

TEST_F(HttpClientTest, DeleteCarriesItsPreconditions) {
  http_->Answer(200, StatusBody(200, ""));
  ASSERT_TRUE(client_->Delete({}, kWidget, {"", "a"}, {.uid = "u", .resource_version = "7"}).ok());
  const Json body = *ParseJson(http_->asked()[0].body);
  EXPECT_EQ(body["preconditions"], (Json{{"uid", "u"}, {"resourceVersion", "7"}}));
}

TEST_F(HttpClientTest, WatchHandsOverEventsAndSkipsWhatIsNone) {
  http_->Stream(
      {R"({"type":"ADDED","object":{"metadata":{"name":"a","resourceVersion":"8"}}})", "garbage",
       R"({"type":"DELETED","object":{"metadata":{"name":"a","resourceVersion":"9"}}})"},
      absl::OkStatus());
  int events = 0;
  const absl::Status ended =
      client_->Watch({}, kWidget, {.resource_version = "7"}, [&](WatchEvent) {
        ++events;
        return absl::OkStatus();
      });
  EXPECT_TRUE(ended.ok()) << ended;
  EXPECT_EQ(events, 2);
  EXPECT_TRUE(absl::StrContains(http_->asked()[0].target,
                                "?watch=1&allowWatchBookmarks=true&resourceVersion=7&timeout"));
}

TEST_F(HttpClientTest, WatchThatTheServerForgotIsOutOfRangeHoweverItIsTold) {
  auto ignore = [](WatchEvent) { return absl::OkStatus(); };
  http_->Stream({R"({"type":"ERROR","object":{"kind":"Status","code":410}})"}, absl::OkStatus());
  EXPECT_TRUE(absl::IsOutOfRange(client_->Watch({}, kWidget, {.resource_version = "7"}, ignore)));
  http_->RefuseStream(410);
  EXPECT_TRUE(absl::IsOutOfRange(client_->Watch({}, kWidget, {.resource_version = "7"}, ignore)));
}

TEST_F(HttpClientTest, BrokenConnectionOfAWatchThatWorkedIsItsEnd) {
  auto ignore = [](WatchEvent) { return absl::OkStatus(); };
  const std::string line =
      R"({"type":"ADDED","object":{"metadata":{"name":"a","resourceVersion":"8"}}})";
  http_->Stream({line}, absl::UnavailableError("reset"));
  EXPECT_TRUE(client_->Watch({}, kWidget, {.resource_version = "7"}, ignore).ok());
  http_->Stream({}, absl::UnavailableError("refused"));
  EXPECT_TRUE(absl::IsUnavailable(client_->Watch({}, kWidget, {.resource_version = "7"}, ignore)));
  http_->Stream({line}, absl::OkStatus());
  EXPECT_TRUE(
      absl::IsUnavailable(client_->Watch({}, kWidget, {.resource_version = "7"}, [](WatchEvent) {
        return absl::UnavailableError("the handler's own");
      })));
}

}  // namespace
}  // namespace ashlar::kube
