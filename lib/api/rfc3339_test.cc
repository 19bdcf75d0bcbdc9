#include "lib/api/rfc3339.h"

#include "gtest/gtest.h"

namespace ashlar::api {
namespace {

TEST(Rfc3339, ReadsZonesAndFractions) {
  EXPECT_EQ(*ParseRfc3339("2023-11-14T22:13:20Z"), absl::FromUnixSeconds(1700000000));
  EXPECT_EQ(*ParseRfc3339("2023-11-15T00:13:20+02:00"), absl::FromUnixSeconds(1700000000));
  EXPECT_EQ(*ParseRfc3339("2023-11-14T22:13:20.25Z"), absl::FromUnixMillis(1700000000250));
}

TEST(Rfc3339, WritesUtc) {
  EXPECT_EQ(FormatRfc3339(absl::FromUnixSeconds(1700000000)), "2023-11-14T22:13:20Z");
  EXPECT_EQ(FormatRfc3339(absl::FromUnixMillis(1700000000250)), "2023-11-14T22:13:20.25Z");
  EXPECT_EQ(FormatRfc3339(*ParseRfc3339("0023-11-14T22:13:20Z")), "0023-11-14T22:13:20Z");
  EXPECT_EQ(FormatRfc3339Micro(absl::FromUnixSeconds(1700000000)), "2023-11-14T22:13:20.000000Z");
}

TEST(Rfc3339, RefusesOtherForms) {
  for (const char* text :
       {"", "now", "infinite-future", "2023-11-14", "2023-11-14T22:13:20", "2023-11-14 22:13:20Z",
        " 2023-11-14T22:13:20Z", "2023-13-14T22:13:20Z", "2023-11-14T25:13:20Z", "1700000000",
        "2023-11-14T22:13:20+2", "0000-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"}) {
    EXPECT_EQ(ParseRfc3339(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

}  // namespace
}  // namespace ashlar::api
