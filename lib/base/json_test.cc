#include "lib/base/json.h"

#include "gtest/gtest.h"

namespace ashlar {
namespace {

TEST(Json, RefusesWhatIsNotOneValue) {
  for (const char* text : {"", "{", "{} {}", "nul", "\"\xff\""}) {
    EXPECT_EQ(ParseJson(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(Json, LooksIntoValuesOfUnknownShape) {
  const Json pod = *ParseJson(R"({"status":{"podIP":"10.0.0.1","port":7}})");
  EXPECT_EQ(JsonString(pod, {"status", "podIP"}), "10.0.0.1");
  EXPECT_EQ(JsonString(pod, {"status", "podIP", "deeper"}), "");
  EXPECT_EQ(JsonString(pod, {"status", "port"}), "");
  EXPECT_EQ(JsonInt(pod, {"status", "port"}), 7);
  EXPECT_EQ(JsonInt(pod, {"status", "absent"}, -1), -1);
  EXPECT_EQ(FindJson(pod, {"absent"}), nullptr);
}

TEST(Json, ReplacesBytesThatAreNotUtf8) { EXPECT_EQ(DumpJson(Json("a\xff")), "\"a\xEF\xBF\xBD\""); }

}  // namespace
}  // namespace ashlar
