#include "node-agent/storage/volume_uuid.h"

#include <set>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace ashlar::node_agent {
namespace {

constexpr char kPool[] = "0f8fad5b-d9cb-469f-a165-70867728950e";
constexpr char kOther[] = "0f8fad5b-d9cb-469f-a165-70867728950f";

TEST(VolumeUuid, TellsThePoolAndIsNoOtherVolumes) {
  std::set<std::string> uuids;
  for (int i = 0; i < 1000; ++i) {
    const std::string uuid = VolumeUuid(kPool, absl::StrCat("v", i));
    EXPECT_TRUE(IsVolumeUuidOf(kPool, uuid)) << uuid;
    EXPECT_FALSE(IsVolumeUuidOf(kOther, uuid)) << uuid;
    EXPECT_EQ(uuid.size(), 36u);
    uuids.insert(uuid);
  }
  EXPECT_EQ(uuids.size(), 1000u);
  EXPECT_EQ(VolumeUuid(kPool, "v"), VolumeUuid(kPool, "v"));
  EXPECT_FALSE(IsVolumeUuidOf(kPool, ""));
}

}  // namespace
}  // namespace ashlar::node_agent
