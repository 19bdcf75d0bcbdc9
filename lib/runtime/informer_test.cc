#include "lib/runtime/informer.h"

#include <set>
#include <thread>

#include "gtest/gtest.h"
#include "lib/base/testing/simulated_clock.h"
#include "lib/kube/object.h"
#include "lib/kube/testing/fake_client.h"
#include "lib/kube/testing/flaky_client.h"

namespace ashlar::runtime {
namespace {

const api::KindInfo kWidget{"example.dev", "v1", "Widget", "widgets", false};

Json Widget(const std::string& name, int size = 1) {
  return {{"apiVersion", "example.dev/v1"},
          {"kind", "Widget"},
          {"metadata", {{"name", name}}},
          {"spec", {{"size", size}}}};
}

// Collects the keys that a cache reports and lets a test wait for them.
class Changes {
 public:
  explicit Changes(Cache& cache) {
    cache.AddHandler([this](const api::ObjectKey& key) {
      MutexLock lock(mu_);
      seen_.push_back(key.name);
      changed_.NotifyAll();
    });
  }
  void Await(size_t count) {
    MutexLock lock(mu_);
    while (seen_.size() < count) changed_.Wait(mu_);
  }
  std::vector<std::string> seen() {
    MutexLock lock(mu_);
    return seen_;
  }

 private:
  Mutex mu_;
  CondVar changed_;
  std::vector<std::string> seen_ ABSL_GUARDED_BY(mu_);
};

class InformerTest : public ::testing::Test {
 protected:
  void Start() {
    thread_ = std::jthread([this](std::stop_token stop) { informer_.Run(stop); });
  }
  void StartAndSync() {
    Start();
    ASSERT_TRUE(informer_.AwaitSync({}).ok());
    api_.AwaitWatches(1);
  }
  Json Create(const std::string& name) { return *api_.Create({}, kWidget, Widget(name)); }

  SimulatedClock clock_;
  kube::FakeClient api_{clock_};
  kube::FlakyClient client_{api_};
  Informer informer_{client_, kWidget, clock_, {.resync = absl::Minutes(10)}};
  std::jthread thread_;
};

TEST_F(InformerTest, ListsThenFollowsEveryChange) {
  Create("old");
  StartAndSync();
  Changes changes(informer_);
  EXPECT_EQ(changes.seen(), std::vector<std::string>{"old"}) << "told of what is there already";
  Json made = Create("new");
  changes.Await(2);
  EXPECT_EQ(kube::VersionOf(*informer_.Get({"", "new"})), kube::VersionOf(made));
  made["spec"]["size"] = 5;
  ASSERT_TRUE(api_.Update({}, kWidget, made, kube::Subresource::kNone).ok());
  changes.Await(3);
  EXPECT_EQ((*informer_.Get({"", "new"}))["spec"]["size"], 5);
  ASSERT_TRUE(api_.Delete({}, kWidget, {"", "new"}, {}).ok());
  changes.Await(4);
  EXPECT_EQ(informer_.Get({"", "new"}), nullptr);
  EXPECT_EQ(informer_.List().size(), 1u);
}

TEST_F(InformerTest, IsNotSyncedBeforeTheFirstListAndSaysWhy) {
  client_.SetFault([](absl::string_view verb, const auto&, const auto&) {
    return verb == "list" ? absl::UnavailableError("no route") : absl::OkStatus();
  });
  Start();
  clock_.AwaitWaiters(1);
  EXPECT_FALSE(informer_.Synced());
  const absl::Status late = informer_.AwaitSync({.deadline = clock_.Now()});
  EXPECT_EQ(late.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_NE(late.message().find("no route"), absl::string_view::npos) << late;
}

TEST_F(InformerTest, ListsAgainAfterBackoffWhenTheListFailed) {
  client_.FailNext("list", absl::UnavailableError("no route"));
  Start();
  clock_.AwaitWaiters(1);
  clock_.Advance(absl::Seconds(1));
  EXPECT_TRUE(informer_.AwaitSync({}).ok());
}

TEST_F(InformerTest, ListsAgainWhenTheHistoryIsGone) {
  Create("stays");
  Create("goes");
  StartAndSync();
  client_.FailNext("watch", absl::OutOfRangeError("too old"));
  Changes changes(informer_);
  changes.Await(2);
  ASSERT_TRUE(api_.Delete({}, kWidget, {"", "goes"}, {}).ok());
  changes.Await(3);
  api_.ForgetHistory();
  Create("comes");
  changes.Await(4);
  EXPECT_EQ(informer_.List().size(), 2u);
}

TEST_F(InformerTest, RelistTellsOfWhatVanishedMeanwhile) {
  Create("stays");
  Create("goes");
  StartAndSync();
  Changes changes(informer_);
  changes.Await(2);
  client_.SetFault([](absl::string_view verb, const auto&, const auto&) {
    return verb == "watch" ? absl::UnavailableError("connection refused") : absl::OkStatus();
  });
  clock_.Advance(absl::Seconds(2));  // so that the end of the watch is no hurry
  api_.EndWatches();
  clock_.AwaitWaiters(1);
  ASSERT_TRUE(api_.Delete({}, kWidget, {"", "goes"}, {}).ok());
  api_.ForgetHistory();
  client_.SetFault(nullptr);
  clock_.Advance(absl::Minutes(1));
  changes.Await(3);
  EXPECT_EQ(changes.seen().back(), "goes");
  EXPECT_EQ(informer_.Get({"", "goes"}), nullptr);
}

TEST_F(InformerTest, WatchGoesOnAfterTheServerEndedIt) {
  StartAndSync();
  Changes changes(informer_);
  clock_.Advance(absl::Seconds(2));
  api_.EndWatches();
  Create("new");
  changes.Await(1);
  EXPECT_NE(informer_.Get({"", "new"}), nullptr);
}

TEST_F(InformerTest, PutShowsAWriteBeforeTheWatchDoes) {
  StartAndSync();
  client_.SetFault([](absl::string_view verb, const auto&, const auto&) {
    return verb == "watch" ? absl::UnavailableError("connection refused") : absl::OkStatus();
  });
  api_.EndWatches();
  clock_.AwaitWaiters(1);
  informer_.Put(Create("mine"));
  EXPECT_NE(informer_.Get({"", "mine"}), nullptr);
}

TEST_F(InformerTest, PutOfAnOlderVersionIsIgnored) {
  StartAndSync();
  Changes changes(informer_);
  Json old = Create("mine");
  changes.Await(1);
  Json changed = old;
  changed["spec"]["size"] = 9;
  ASSERT_TRUE(api_.Update({}, kWidget, changed, kube::Subresource::kNone).ok());
  changes.Await(2);
  informer_.Put(old);
  EXPECT_EQ((*informer_.Get({"", "mine"}))["spec"]["size"], 9);
}

TEST_F(InformerTest, PutDoesNotRaiseTheDead) {
  StartAndSync();
  Changes changes(informer_);
  const Json made = Create("mine");
  ASSERT_TRUE(api_.Delete({}, kWidget, {"", "mine"}, {}).ok());
  changes.Await(2);
  informer_.Put(made);
  EXPECT_EQ(informer_.Get({"", "mine"}), nullptr);
}

TEST_F(InformerTest, TheEndOfAnObjectMayHaveTheVersionOfTheAnswerThatEndedIt) {
  StartAndSync();
  Changes changes(informer_);
  Json made = Create("mine");
  changes.Await(1);
  const std::string next = std::to_string(std::stoll(kube::VersionOf(made)) + 1);
  made["metadata"]["resourceVersion"] = next;
  informer_.Put(made);
  changes.Await(2);
  ASSERT_TRUE(api_.Delete({}, kWidget, {"", "mine"}, {}).ok());
  changes.Await(3);
  EXPECT_EQ(informer_.Get({"", "mine"}), nullptr) << "deleted at version " << next;
}

TEST_F(InformerTest, PutOfAnObjectWithoutItsLastFinalizerEndsIt) {
  StartAndSync();
  Changes changes(informer_);
  Json held = Widget("mine");
  held["metadata"]["finalizers"] = {"example.dev/held"};
  ASSERT_TRUE(api_.Create({}, kWidget, held).ok());
  ASSERT_TRUE(api_.Delete({}, kWidget, {"", "mine"}, {}).ok());
  changes.Await(2);
  Json answer = *informer_.Get({"", "mine"});
  informer_.Put(answer);
  EXPECT_NE(informer_.Get({"", "mine"}), nullptr) << "deleted, but held";
  answer["metadata"]["finalizers"] = Json::array();
  informer_.Put(answer);
  EXPECT_EQ(informer_.Get({"", "mine"}), nullptr);
  EXPECT_EQ(changes.seen().size(), 3u) << "those who watch are told";
}

TEST_F(InformerTest, ResyncTellsOfEveryObjectAgain) {
  Create("a");
  Create("b");
  StartAndSync();
  Changes changes(informer_);
  changes.Await(2);
  clock_.AwaitWaiters(1);
  clock_.Advance(absl::Minutes(10));
  changes.Await(4);
  const auto seen = changes.seen();
  EXPECT_EQ(std::set<std::string>(seen.begin() + 2, seen.end()), (std::set<std::string>{"a", "b"}));
}

TEST_F(InformerTest, BookmarkMovesTheVersionFromWhichTheWatchGoesOn) {
  StartAndSync();
  // Another kind's history pushes the server's version on; without the bookmark the informer's own
  // version would be forgotten with it.
  const api::KindInfo other{"example.dev", "v1", "Other", "others", false};
  api_.Put(other, {{"metadata", {{"name", "x"}}}});
  const std::string version = kube::VersionOf(*api_.Get({}, other, {"", "x"}));
  EXPECT_NE(api_.LastWatch().from, version);
  api_.SendBookmarks();
  api_.EndWatches();
  while (api_.LastWatch().number < 2) {
    clock_.Advance(absl::Seconds(1));  // it may pause before it watches again
    std::this_thread::yield();
  }
  EXPECT_EQ(api_.LastWatch().from, version);
}

TEST_F(InformerTest, OneBadObjectDoesNotHideTheOthers) {
  api_.Put(kWidget, {{"metadata", {{"labels", {{"no", "name"}}}}}});
  Create("good");
  StartAndSync();
  EXPECT_EQ(informer_.List().size(), 1u);
  Changes changes(informer_);
  api_.Put(kWidget, {{"metadata", {{"labels", {{"still", "none"}}}}}});
  Create("later");
  changes.Await(2);
  EXPECT_EQ(informer_.List().size(), 2u);
}

}  // namespace
}  // namespace ashlar::runtime
