#include "standalone/store.h"

#include <thread>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "lib/base/testing/temporary_directory.h"

namespace ashlar::standalone {
namespace {

class StoreTest : public ::testing::Test {
 protected:
  void Open(size_t history = 100) {
    store_.reset();
    auto store = Store::Open(directory_.path() + "/api.db", clock_, history);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }
  int64_t Put(const std::string& name, int value) {
    auto object = store_->Change("/things", {"", name}, [&](const Json*) {
      return absl::StatusOr<std::optional<Json>>(
          Json({{"metadata", {{"name", name}}}, {"value", value}}));
    });
    EXPECT_TRUE(object.ok()) << object.status();
    return std::stoll(JsonString(**object, {"metadata", "resourceVersion"}));
  }
  void Remove(const std::string& name) {
    auto gone = store_->Change("/things", {"", name}, [](const Json*) {
      return absl::StatusOr<std::optional<Json>>(std::optional<Json>());
    });
    EXPECT_TRUE(gone.ok()) << gone.status();
  }

  TemporaryDirectory directory_;
  RealClock clock_;
  std::unique_ptr<Store> store_;
};

TEST_F(StoreTest, KeepsObjectsAndVersionsOverARestart) {
  Open();
  const int64_t first = Put("a", 1);
  EXPECT_EQ(Put("b", 2), first + 1);
  Remove("a");
  const int64_t version = store_->List("/things", "").version;
  Open();
  EXPECT_EQ(store_->Get("/things", {"", "a"}), nullptr);
  EXPECT_EQ((*store_->Get("/things", {"", "b"}))["value"], 2);
  EXPECT_EQ(store_->List("/things", "").version, version);
  EXPECT_EQ(Put("c", 3), version + 1) << "a version is never given twice";
}

TEST_F(StoreTest, ChangesNothingIfTheValueIsTheSameOrTheChangeIsRefused) {
  Open();
  const int64_t version = Put("a", 1);
  auto same = store_->Change("/things", {"", "a"}, [](const Json* now) {
    return absl::StatusOr<std::optional<Json>>(*now);
  });
  ASSERT_TRUE(same.ok());
  auto refused = store_->Change("/things", {"", "a"}, [](const Json*) {
    return absl::StatusOr<std::optional<Json>>(absl::AbortedError("no"));
  });
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(store_->List("/things", "").version, version);
}

TEST_F(StoreTest, ListsOneNamespaceOrAll) {
  Open();
  for (const char* space : {"a", "b", "b-c"}) {
    ASSERT_TRUE(store_
                    ->Change("/things", {space, "x"},
                             [&](const Json*) {
                               return absl::StatusOr<std::optional<Json>>(
                                   Json({{"metadata", {{"namespace", space}}}}));
                             })
                    .ok());
  }
  EXPECT_EQ(store_->List("/things", "").objects.size(), 3u);
  EXPECT_EQ(store_->List("/things", "b").objects.size(), 1u);
  EXPECT_EQ(store_->List("/others", "").objects.size(), 0u);
}

TEST_F(StoreTest, TellsWhatHappenedAfterAVersion) {
  Open();
  const int64_t version = Put("a", 1);
  Put("a", 2);
  Remove("a");
  auto events = store_->history().After(version, 10, absl::InfinitePast(), {});
  ASSERT_TRUE(events.ok());
  ASSERT_EQ(events->size(), 2u);
  EXPECT_EQ((*(*events)[0]->after)["value"], 2);
  EXPECT_EQ((*(*events)[0]->before)["value"], 1);
  EXPECT_EQ((*events)[1]->after, nullptr);
  EXPECT_EQ(JsonString(*(*events)[1]->removed, {"metadata", "resourceVersion"}),
            absl::StrCat(version + 2))
      << "a removal has a version of its own";
}

TEST_F(StoreTest, ForgetsOldEventsAndSaysSo) {
  Open(3);
  const int64_t version = Put("a", 0);
  for (int i = 1; i <= 5; ++i) Put("a", i);
  EXPECT_EQ(store_->history().After(version, 10, absl::InfinitePast(), {}).status().code(),
            absl::StatusCode::kOutOfRange);
  EXPECT_EQ(store_->history().After(version + 2, 10, absl::InfinitePast(), {})->size(), 3u);
  Open(3);
  EXPECT_FALSE(store_->history().After(version, 10, absl::InfinitePast(), {}).ok())
      << "what was before the start is not known";
}

TEST_F(StoreTest, WakesWhoWaitsForAnEventOrIsStopped) {
  Open();
  const int64_t version = store_->history().Version();
  std::jthread writer([this] { Put("a", 1); });
  EXPECT_EQ(store_->history().After(version, 10, absl::InfiniteFuture(), {})->size(), 1u);
  writer.join();
  std::stop_source stop;
  std::jthread stopper([&] { stop.request_stop(); });
  EXPECT_TRUE(
      store_->history().After(version + 1, 10, absl::InfiniteFuture(), stop.get_token())->empty());
}

TEST_F(StoreTest, GivesEachOfManyWritersAVersionOfItsOwn) {
  Open();
  std::vector<std::jthread> writers;
  for (int t = 0; t < 4; ++t) {
    writers.emplace_back([this, t] {
      for (int i = 0; i < 10; ++i) Put(absl::StrCat("w", t), i);
    });
  }
  for (std::jthread& writer : writers) writer.join();
  auto events = store_->history().After(1, 100, absl::InfinitePast(), {});
  ASSERT_EQ(events->size(), 40u);
  for (size_t i = 1; i < events->size(); ++i) {
    EXPECT_EQ((*events)[i]->version, (*events)[i - 1]->version + 1);
  }
}

}  // namespace
}  // namespace ashlar::standalone
