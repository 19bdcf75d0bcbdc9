// The embedded API over real HTTP connections: what no client of ours and no kubectl shows.
#include "standalone/api_server.h"

#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "lib/base/testing/temporary_directory.h"
#include "lib/http/client.h"
#include "lib/yaml/yaml.h"

namespace ashlar::standalone {
namespace {

constexpr char kMaps[] = "/api/v1/namespaces/default/configmaps";

class ApiServerTest : public ::testing::Test {
 protected:
  void SetUp() override { Start(16384); }
  void Start(size_t history) {
    server_.reset();
    ApiServerOptions options;
    options.database = directory_.path() + "/api.db";
    options.token = "secret";
    options.history = history;
    auto server = ApiServer::Start(options, clock_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    client_ = *http::MakeClient({.base_url = server_->url()});
  }
  http::Response Send(const std::string& method, const std::string& target, const Json& body = {},
                      http::Headers headers = {}) {
    headers.emplace("authorization", "Bearer secret");
    if (!body.is_null()) headers.emplace("content-type", "application/json");
    auto response =
        client_->Send({}, {method, target, headers, body.is_null() ? "" : DumpJson(body)});
    EXPECT_TRUE(response.ok()) << response.status();
    return response.ok() ? *response : http::Response();
  }
  Json Get(const std::string& target) { return Json::parse(Send("GET", target).body); }
  Json CreateMap(const std::string& name, Json metadata = Json::object()) {
    metadata["name"] = name;
    http::Response response = Send("POST", kMaps, {{"metadata", metadata}, {"data", {{"a", "b"}}}});
    EXPECT_EQ(response.status, 201) << response.body;
    return Json::parse(response.body);
  }
  // The first `count` events of a watch, as TYPE name.
  std::vector<std::string> Watch(const std::string& query, size_t count) {
    std::vector<std::string> events;
    client_
        ->StreamLines(
            {},
            {"GET",
             absl::StrCat(kMaps, "?watch=1&", query),
             {{"authorization", "Bearer secret"}},
             ""},
            [&](absl::string_view line) {
              Json event = Json::parse(std::string(line));
              events.push_back(absl::StrCat(JsonString(event, {"type"}), " ",
                                            JsonString(event, {"object", "metadata", "name"}),
                                            JsonString(event, {"object", "reason"})));
              return events.size() < count ? absl::OkStatus() : absl::CancelledError("enough");
            },
            [](const http::Response& refused) { return absl::InternalError(refused.body); })
        .IgnoreError();
    return events;
  }

  TemporaryDirectory directory_;
  RealClock clock_;
  std::unique_ptr<ApiServer> server_;
  std::unique_ptr<http::Client> client_;
};

TEST_F(ApiServerTest, AsksForTheToken) {
  for (const char* token : {"Bearer wrong", "Bearer secretx", "Bearer ", "Basic secret", ""}) {
    http::Response response = Send("GET", "/api/v1/namespaces", {}, {{"authorization", token}});
    EXPECT_EQ(response.status, 401) << token;
    EXPECT_EQ(Json::parse(response.body)["reason"], "Unauthorized");
  }
  EXPECT_EQ(Send("GET", "/readyz", {}, {{"authorization", ""}}).status, 200);
}

TEST_F(ApiServerTest, PagesThroughALongList) {
  for (int i = 0; i < 5; ++i) CreateMap(absl::StrCat("m", i));
  std::vector<std::string> names;
  std::string next;
  std::string version;
  do {
    Json page = Get(absl::StrCat(kMaps, "?limit=2&continue=", next));
    ASSERT_LE(page["items"].size(), 2u);
    for (const Json& item : page["items"]) names.push_back(item["metadata"]["name"]);
    if (version.empty()) version = page["metadata"]["resourceVersion"];
    EXPECT_EQ(page["metadata"]["resourceVersion"], version) << "every page has the first's version";
    next = JsonString(page, {"metadata", "continue"});
    CreateMap(absl::StrCat("z", names.size()));
  } while (!next.empty());
  EXPECT_EQ(names.size(), 5u + 3u);
  EXPECT_EQ(Send("GET", absl::StrCat(kMaps, "?continue=nonsense")).status, 400);
}

TEST_F(ApiServerTest, WatchesThroughSelectorsAsAdditionAndRemoval) {
  const std::string version = Get(kMaps)["metadata"]["resourceVersion"];
  CreateMap("other");
  Json map = CreateMap("m", {{"labels", {{"on", "yes"}}}});
  map["metadata"]["labels"] = {{"on", "no"}};
  EXPECT_EQ(Send("PUT", absl::StrCat(kMaps, "/m"), map).status, 200);
  EXPECT_EQ(Watch(absl::StrCat("labelSelector=on%3Dyes&resourceVersion=", version), 2),
            (std::vector<std::string>{"ADDED m", "DELETED m"}));
  EXPECT_EQ(Watch("fieldSelector=metadata.name%3Dother", 1),
            (std::vector<std::string>{"ADDED other"}))
      << "without a version it begins with what is there";
}

TEST_F(ApiServerTest, MarksTheEndOfInitialEvents) {
  CreateMap("m");
  EXPECT_EQ(Watch("sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch="
                  "NotOlderThan&resourceVersion=",
                  2),
            (std::vector<std::string>{"ADDED m", "BOOKMARK "}));
}

TEST_F(ApiServerTest, SendsExpiredToAWatchThatIsTooOldOrFromAnotherLife) {
  Start(4);
  for (int i = 0; i < 8; ++i) CreateMap(absl::StrCat("m", i));
  EXPECT_EQ(Watch("resourceVersion=2", 1), (std::vector<std::string>{"ERROR Expired"}));
  EXPECT_EQ(Watch("resourceVersion=999999", 1), (std::vector<std::string>{"ERROR Expired"}));
}

TEST_F(ApiServerTest, EndsAWatchAfterItsTimeout) {
  EXPECT_TRUE(Watch("timeoutSeconds=1", 1).empty());
}

TEST_F(ApiServerTest, StopsWhileWatchesAreOpen) {
  std::jthread watcher([this] { Watch("", 1); });
  CreateMap("m");
  watcher.join();
  std::jthread idle([this] { Watch("resourceVersion=999", 1); });
  server_.reset();
}

TEST_F(ApiServerTest, KeepsObjectsAndTheirVersionsOverARestart) {
  Json before = CreateMap("m");
  Start(16384);
  EXPECT_EQ(Get(absl::StrCat(kMaps, "/m")), before);
}

TEST_F(ApiServerTest, GuardsAgainstLostUpdates) {
  Json map = CreateMap("m");
  map["data"]["a"] = "1";
  EXPECT_EQ(Send("PUT", absl::StrCat(kMaps, "/m"), map).status, 200);
  map["data"]["a"] = "2";
  http::Response stale = Send("PUT", absl::StrCat(kMaps, "/m"), map);
  EXPECT_EQ(stale.status, 409);
  EXPECT_EQ(Json::parse(stale.body)["reason"], "Conflict");
  Json wrong = {{"preconditions", {{"uid", "another"}}}};
  EXPECT_EQ(Send("DELETE", absl::StrCat(kMaps, "/m"), wrong).status, 409);
}

TEST_F(ApiServerTest, MakesNamesAndRefusesBadOnes) {
  Json made = Json::parse(Send("POST", kMaps, {{"metadata", {{"generateName", "run-"}}}}).body);
  EXPECT_TRUE(absl::StartsWith(JsonString(made, {"metadata", "name"}), "run-"));
  for (const char* name : {"Upper", "-x", "a_b", "", "a..b"}) {
    EXPECT_EQ(Send("POST", kMaps, {{"metadata", {{"name", name}}}}).status, 422) << name;
  }
}

TEST_F(ApiServerTest, DeletesACollectionByLabel) {
  CreateMap("a", {{"labels", {{"on", "yes"}}}});
  CreateMap("b");
  EXPECT_EQ(Send("DELETE", absl::StrCat(kMaps, "?labelSelector=on%3Dyes")).status, 200);
  EXPECT_EQ(Get(kMaps)["items"].size(), 1u);
}

TEST_F(ApiServerTest, OrphansAndForegroundDeletionWork) {
  Json owner = CreateMap("owner");
  Json reference = {{"apiVersion", "v1"},
                    {"kind", "ConfigMap"},
                    {"name", "owner"},
                    {"uid", owner["metadata"]["uid"]}};
  CreateMap("owned", {{"ownerReferences", Json::array({reference})}});
  Send("DELETE", absl::StrCat(kMaps, "/owner"), {{"propagationPolicy", "Orphan"}});
  const auto events = Watch("fieldSelector=metadata.name%3Downer&resourceVersion=1", 3);
  EXPECT_EQ(events.back(), "DELETED owner");
  EXPECT_EQ(Send("GET", absl::StrCat(kMaps, "/owned")).status, 200);
}

TEST_F(ApiServerTest, AnswersOddRequestsWithoutFalling) {
  for (const Json& body :
       {Json(7), Json::array(), Json({{"metadata", 7}}), Json({{"metadata", {{"name", 7}}}}),
        Json({{"metadata", {{"name", "x"}, {"labels", 7}}}}),
        Json({{"metadata", {{"name", "x"}, {"ownerReferences", {7}}}}}),
        Json({{"metadata", {{"name", "x"}, {"finalizers", {7}}}}}),
        Json({{"kind", "Pod"}, {"metadata", {{"name", "x"}}}}),
        Json({{"metadata", {{"name", "x"}}}, {"data", "text"}})}) {
    const int status = Send("POST", kMaps, body).status;
    EXPECT_TRUE(status == 400 || status == 422) << status << " " << DumpJson(body);
  }
  for (const char* target : {"/api/v1/nosuch", "/nosuch", "/apis/x/y/z",
                             "/api/v1/namespaces/a/b/c/d/e", "/openapi/v3/apis/nosuch/v1"}) {
    EXPECT_EQ(Send("GET", target).status, 404) << target;
  }
  EXPECT_EQ(Send("GET", "/api/v1/%zz").status, 400);
  EXPECT_EQ(Send("PATCH", absl::StrCat(kMaps, "/x"), Json::object()).status, 415);
  EXPECT_EQ(Send("GET", kMaps, {}, {{"accept", "text/html"}}).status, 406);
  EXPECT_EQ(Send("POST", kMaps, Json(std::string(5 * 1024 * 1024, 'x'))).status, 413);
}

TEST_F(ApiServerTest, TakesYaml) {
  auto response = client_->Send(
      {}, {"PATCH",
           absl::StrCat(kMaps, "/y?fieldManager=me"),
           {{"authorization", "Bearer secret"}, {"content-type", "application/apply-patch+yaml"}},
           "apiVersion: v1\nkind: ConfigMap\ndata: {a: 'b'}\n"});
  ASSERT_TRUE(response.ok());
  EXPECT_EQ(response->status, 201) << response->body;
}

}  // namespace
}  // namespace ashlar::standalone
