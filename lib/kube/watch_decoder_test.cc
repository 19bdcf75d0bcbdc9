#include "lib/kube/watch_decoder.h"

#include "gtest/gtest.h"
#include "lib/kube/core_kinds.h"
#include "lib/kube/object.h"

namespace ashlar::kube {
namespace {

TEST(WatchDecoder, ReadsEveryTypeOfEvent) {
  struct Case {
    const char* name;
    WatchEvent::Type type;
  };
  for (const Case& c :
       {Case{"ADDED", WatchEvent::Type::kAdded}, Case{"MODIFIED", WatchEvent::Type::kModified},
        Case{"DELETED", WatchEvent::Type::kDeleted}}) {
    const auto event = DecodeWatchLine(
        absl::StrCat(R"({"type":")", c.name,
                     R"(","object":{"metadata":{"name":"a","resourceVersion":"7"}}})"),
        kPod);
    ASSERT_TRUE(event.ok() && event->has_value()) << c.name;
    EXPECT_EQ((*event)->type, c.type);
    EXPECT_EQ(KeyOf((*event)->object).name, "a");
  }
  const auto bookmark =
      DecodeWatchLine(R"({"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9"}}})", kPod);
  ASSERT_TRUE(bookmark.ok() && bookmark->has_value());
  EXPECT_EQ((*bookmark)->type, WatchEvent::Type::kBookmark);
}

TEST(WatchDecoder, GoneIsOutOfRange) {
  const auto event = DecodeWatchLine(
      R"({"type":"ERROR","object":{"kind":"Status","code":410,"message":"too old"}})", kPod);
  EXPECT_EQ(event.status().code(), absl::StatusCode::kOutOfRange) << event.status();
}

TEST(WatchDecoder, WhatIsNoEventIsSkipped) {
  for (const char* line :
       {"", "{", "[]", "null", R"({"type":"ADDED"})", R"({"type":"ADDED","object":[]})",
        R"({"type":"NEW","object":{"metadata":{"name":"a","resourceVersion":"7"}}})",
        R"({"type":"ADDED","object":{"metadata":{"resourceVersion":"7"}}})",
        R"({"type":"ADDED","object":{"metadata":{"name":"a"}}})"}) {
    const auto event = DecodeWatchLine(line, kPod);
    EXPECT_TRUE(event.ok() && !event->has_value()) << line;
  }
}

}  // namespace
}  // namespace ashlar::kube
