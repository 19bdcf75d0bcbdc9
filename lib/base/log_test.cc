#include "lib/base/log.h"

#include "gtest/gtest.h"
#include "lib/base/json.h"

namespace ashlar {
namespace {

TEST(Log, LineIsJsonWithTypedFields) {
  const std::string line = FormatLogLine(
      "a \"quoted\"\nline", {{"volume", "v1"}, {"bytes", 7}, {"ok", true}, {"request", ""}});
  const auto parsed = ParseJson("{" + line + "}");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ((*parsed)["message"], "a \"quoted\"\nline");
  EXPECT_EQ((*parsed)["bytes"], 7);
  EXPECT_EQ((*parsed)["ok"], true);
  EXPECT_FALSE(parsed->contains("request")) << "empty fields are left out";
}

TEST(Log, UnknownLevelIsRefused) { EXPECT_FALSE(SetLogLevel("loud")); }

}  // namespace
}  // namespace ashlar
