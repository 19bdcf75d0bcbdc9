#include "node-agent/storage/namespace/namespace_records.h"

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "lib/system/files.h"

namespace ashlar::node_agent {
namespace {

std::string Fresh(const std::string& name) {
  const std::string directory = absl::StrCat(testing::TempDir(), "/namespace-records-", name);
  std::filesystem::remove_all(directory);
  return directory;
}

NamespaceRecord ARecord() {
  NamespaceRecord record;
  record.facts = {"v", "p", "u", VolumeMode::kFilesystem, "ext4"};
  record.phase = NamespacePhase::kCreating;
  record.nqn = "nqn.x";
  record.serial = "S";
  record.nsid = 7;
  record.identity = "0123456789abcdef";
  record.size_bytes = 4096;
  record.created = record.attached = true;
  record.before = {1, 2, 9};
  return record;
}

TEST(NamespaceRecords, AreReadAsTheyWereSavedInEveryPhase) {
  const std::string directory = Fresh("phases");
  for (const NamespacePhase phase :
       {NamespacePhase::kReserved, NamespacePhase::kCreating, NamespacePhase::kMaking,
        NamespacePhase::kVolume, NamespacePhase::kWiping}) {
    NamespaceRecords saved(directory), read(directory);
    ASSERT_EQ(saved.Load(), absl::OkStatus());
    NamespaceRecord record = ARecord();
    record.phase = phase;
    ASSERT_EQ(saved.Save(record), absl::OkStatus());
    ASSERT_EQ(read.Load(), absl::OkStatus());
    ASSERT_NE(read.Find("v"), nullptr);
    EXPECT_EQ(*read.Find("v"), record);
    ASSERT_EQ(read.Remove("v"), absl::OkStatus());
    EXPECT_EQ(read.Find("v"), nullptr);
  }
}

TEST(NamespaceRecords, OneThatIsDamagedIsNotPassedOver) {
  const std::string directory = Fresh("damaged");
  NamespaceRecords records(directory);
  ASSERT_EQ(records.Load(), absl::OkStatus());
  ASSERT_EQ(sys::ReplaceFileDurably(directory + "/v.json", "{\"phase\":\"volume\"}"),
            absl::OkStatus());
  EXPECT_EQ(NamespaceRecords(directory).Load().code(), absl::StatusCode::kDataLoss);
}

TEST(NamespaceRecords, ARefusalOutlivesTheProcess) {
  const std::string directory = Fresh("refusals");
  NvmeSubsystem subsystem;
  subsystem.nqn = "nqn.x";
  subsystem.firmware = "1";
  subsystem.unallocated_bytes = 4096;
  const absl::Time now = absl::FromUnixSeconds(1000);
  const NamespaceRefusal refusal{0x4115, 4096, 4096, "1", now};
  NamespaceRecords saved(directory), read(directory);
  ASSERT_EQ(saved.Load(), absl::OkStatus());
  ASSERT_EQ(saved.SaveRefusal("nqn.x", refusal), absl::OkStatus());
  ASSERT_EQ(read.Load(), absl::OkStatus());
  ASSERT_NE(read.RefusalOf(subsystem, now), nullptr);
  EXPECT_EQ(*read.RefusalOf(subsystem, now), refusal);
  subsystem.nqn = "nqn.y";
  EXPECT_EQ(read.RefusalOf(subsystem, now), nullptr);
}

}  // namespace
}  // namespace ashlar::node_agent
