#include "node-agent/volume/attribute_table.h"

#include "gtest/gtest.h"
#include "lib/base/testing/temporary_directory.h"
#include "lib/system/files.h"

namespace ashlar::node_agent {
namespace {

constexpr VolumeAttributes kAttributes = {{1, 2, 3, 4}, TrimSchedule::kDaily};

TEST(AttributeTable, WhatIsPutIsThereAfterARestart) {
  const TemporaryDirectory directory;
  const std::string long_name(253, 'a');
  {
    AttributeTable table(directory.path() + "/attributes");
    ASSERT_EQ(table.Load(), absl::OkStatus());
    EXPECT_EQ(table.Get("v1"), VolumeAttributes{});
    EXPECT_FALSE(table.AnyLimits());
    ASSERT_EQ(table.Put("v1", kAttributes), absl::OkStatus());
    ASSERT_EQ(table.Put(long_name, kAttributes), absl::OkStatus());
  }
  AttributeTable table(directory.path() + "/attributes");
  ASSERT_EQ(table.Load(), absl::OkStatus());
  EXPECT_EQ(table.Get("v1"), kAttributes);
  EXPECT_EQ(table.Get(long_name), kAttributes);
  EXPECT_EQ(table.Get("v2"), VolumeAttributes{});
  EXPECT_TRUE(table.AnyLimits());
}

TEST(AttributeTable, WhatIsErasedOrPutBackToTheDefaultsLeavesNoFile) {
  const TemporaryDirectory directory;
  AttributeTable table(directory.path());
  ASSERT_EQ(table.Load(), absl::OkStatus());
  for (const char* id : {"v1", "v2"}) ASSERT_EQ(table.Put(id, kAttributes), absl::OkStatus());
  EXPECT_EQ(table.Erase("v1"), absl::OkStatus());
  EXPECT_EQ(table.Erase("v1"), absl::OkStatus());
  EXPECT_EQ(table.Put("v2", {}), absl::OkStatus());
  EXPECT_EQ(table.Get("v1"), VolumeAttributes{});
  EXPECT_EQ(*sys::ListDirectory(directory.path()), std::vector<std::string>{});
}

TEST(AttributeTable, AFileThatCannotBeReadIsLeftOutAndWrittenAnew) {
  const TemporaryDirectory directory;
  for (const char* text : {"", "{", "{\"volume\":\"v1\",\"trim\":\"Hourly\"}",
                           "{\"volume\":\"v2\",\"trim\":\"Daily\"}",
                           "{\"volume\":\"v1\",\"trim\":\"Daily\",\"readIops\":-1}"}) {
    ASSERT_EQ(sys::WritePage(directory.path() + "/v1.json", text), absl::OkStatus());
    AttributeTable table(directory.path());
    ASSERT_EQ(table.Load(), absl::OkStatus()) << text;
    EXPECT_EQ(table.Get("v1"), VolumeAttributes{}) << text;
    EXPECT_EQ(table.Get("v2"), VolumeAttributes{}) << text;
    ASSERT_EQ(table.Put("v1", kAttributes), absl::OkStatus());
    AttributeTable again(directory.path());
    ASSERT_EQ(again.Load(), absl::OkStatus());
    EXPECT_EQ(again.Get("v1"), kAttributes) << text;
  }
}

}  // namespace
}  // namespace ashlar::node_agent
