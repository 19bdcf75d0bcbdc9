// Everything that is read from a request or a medium, without a kernel.
#include <sys/mount.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node-agent/storage/pool_types.h"
#include "node-agent/volume/inventory_feed.h"
#include "node-agent/volume/mount_flags.h"
#include "node-agent/volume/path_policy.h"
#include "node-agent/volume/superblock.h"
#include "node-agent/volume/volume_limit.h"
#include "node-agent/volume/volume_record.h"

namespace ashlar::node_agent {
namespace {

using testing::HasSubstr;

TEST(MountFlags, ADirectoryTakesWhatABindMountCanHaveForItself) {
  EXPECT_TRUE(CheckDirectoryFlags({"noatime,nodev", "ro"}).ok());
  for (const std::string flag : {"sync", "dirsync", "lazytime", "discard", "nouuid", "bind", ""}) {
    const absl::Status refused = CheckDirectoryFlags({"noatime", flag});
    EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument) << flag;
    EXPECT_NE(refused.message().find("\"" + flag + "\""), std::string::npos) << refused;
  }
  for (const std::string& flag : AcceptedDirectoryFlags())
    EXPECT_TRUE(CheckDirectoryFlags({flag}).ok()) << flag;
}

TEST(MountFlags, KnownOnesBecomeFlagsAndData) {
  const auto options = ParseMountFlags({"noatime", "nouuid,nodev"}, "xfs");
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->flags, static_cast<unsigned long>(MS_NOATIME | MS_NODEV));
  EXPECT_EQ(options->data, "nouuid");
}

TEST(MountFlags, UnsafeForeignAndUnknownOnesAreRefusedByName) {
  for (const char* flag : {"nobarrier", "data=writeback", "nouuid", "bind", "x-mount.mkdir", ""}) {
    const auto options = ParseMountFlags({flag}, "ext4");
    EXPECT_EQ(options.status().code(), absl::StatusCode::kInvalidArgument) << flag;
    EXPECT_THAT(std::string(options.status().message()), HasSubstr(flag));
  }
}

TEST(PathPolicy, AcceptsOnlyCleanPathsBelowItsRoots) {
  const PathPolicy policy({"/nowhere/kubelet", "/nowhere/two/"});
  EXPECT_EQ(*policy.Resolve("p", "/nowhere/kubelet/a/b"), "/nowhere/kubelet/a/b");
  EXPECT_TRUE(policy.Resolve("p", "/nowhere/two/x").ok());
  for (const char* path : {"", "a", "/nowhere/kubelet", "/nowhere/kubelet/", "/nowhere/kubelet2/a",
                           "/nowhere/kubelet/../x", "/nowhere/kubelet/./x", "/nowhere/kubelet//x"})
    EXPECT_FALSE(policy.Resolve("p", path).ok()) << path;
}

TEST(Superblock, TellsSizeAndWhetherACheckIsNeeded) {
  std::string ext4(kSuperblockBytes, '\0');
  ext4[1024 + 0x38] = '\x53';
  ext4[1024 + 0x39] = '\xEF';
  ext4[1024 + 0x3A] = 1;  // clean
  ext4[1024 + 0x18] = 2;  // blocks of 4 KiB
  ext4[1024 + 0x05] = 1;  // 256 blocks
  const auto clean = ParseSuperblock("ext4", ext4);
  ASSERT_TRUE(clean.ok()) << clean.status();
  EXPECT_FALSE(clean->needs_check);
  EXPECT_EQ(clean->size_bytes, kMiB);
  ext4[1024 + 0x60] = 4;  // its journal is not empty
  EXPECT_TRUE(ParseSuperblock("ext4", ext4)->needs_check);
  EXPECT_FALSE(ParseSuperblock("xfs", ext4).ok());
  EXPECT_FALSE(ParseSuperblock("ext4", "short").ok());
}

TEST(RoundedSize, RoundsUpAndRefusesWhatCannotBe) {
  EXPECT_EQ(*RoundedSize(1, ""), kMiB);
  EXPECT_EQ(*RoundedSize(300 * kMiB, "xfs"), 300 * kMiB);
  EXPECT_EQ(*RoundedSize(16 * kMiB + 1, "ext4"), 17 * kMiB);
  for (const int64_t size : {int64_t{0}, int64_t{-1}, std::numeric_limits<int64_t>::max()})
    EXPECT_FALSE(RoundedSize(size, "").ok()) << size;
  EXPECT_FALSE(RoundedSize(299 * kMiB, "xfs").ok());
}

TEST(FileStem, LongNamesStayDifferentAndFitAFileName) {
  const std::string a(253, 'a'), b = std::string(252, 'a') + "b";
  EXPECT_NE(FileStem(a), FileStem(b));
  EXPECT_LE(FileStem(a).size(), 243u);
  EXPECT_EQ(FileStem("pvc-1"), "pvc-1");
}

TEST(FilesystemUuid, IsThePoolsUidOrMadeFromIt) {
  EXPECT_EQ(FilesystemUuid("0F8FAD5B-d9cb-469f-a165-70867728950e"),
            "0f8fad5b-d9cb-469f-a165-70867728950e");
  EXPECT_EQ(FilesystemUuid("x").size(), 36u);
  EXPECT_NE(FilesystemUuid("x"), FilesystemUuid("y"));
}

TEST(PoolSpec, SurvivesItsRecord) {
  PoolSpec spec;
  spec.name = "fast";
  spec.uid = "u";
  spec.devices = DeviceSource{{"S1"}, {"/dev/nvme*"}, {"M*"}, {"nvme"}, 1, 2};
  spec.sparse = true;
  spec.reserve_bytes = 7;
  spec.overprovision_percent = 150;
  spec.wipe = {"S1"};
  spec.drain = {"S2"};
  spec.backend = BackendKind::kLvm;
  spec.lvm = {2, 0};
  spec.inline_volume_max_bytes = 9;
  EXPECT_EQ(*PoolSpecFromJson(PoolSpecToJson(spec)), spec);
  spec.lvm = {2, 1};
  EXPECT_THAT(std::string(ValidatePoolSpec(spec).message()), HasSubstr("thin volumes are not"));
  spec.lvm = {65, 0};
  EXPECT_THAT(std::string(ValidatePoolSpec(spec).message()), HasSubstr("lvm_stripes"));
  spec.lvm = {};
  spec.backend = BackendKind::kFile;
  spec.devices.reset();
  EXPECT_THAT(std::string(ValidatePoolSpec(spec).message()), HasSubstr("source"));
  spec.directory = DirectorySource{"/a/../b", 0};
  EXPECT_THAT(std::string(ValidatePoolSpec(spec).message()), HasSubstr("wipe"));
  spec.wipe.clear();
  EXPECT_THAT(std::string(ValidatePoolSpec(spec).message()), HasSubstr("drain"));
  spec.drain.clear();
  EXPECT_THAT(std::string(ValidatePoolSpec(spec).message()), HasSubstr("directory.path"));
}

TEST(VolumeRecord, SurvivesTheJournalInEveryPhase) {
  for (int phase = 0; phase < 9; ++phase) {
    VolumeRecord record;
    record.facts = {"v", "p", "u", VolumeMode::kFilesystem, "xfs"};
    record.phase = static_cast<VolumePhase>(phase);
    record.staging_path = "/s";
    record.publications["/t"].read_only = true;
    record.mount_flags = {"noatime"};
    record.single_writer = true;
    const auto back = RecordFromJson(RecordToJson(record));
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(RecordToJson(*back), RecordToJson(record));
  }
  EXPECT_FALSE(RecordFromJson(Json::array()).ok());
}

TEST(InventoryFeed, LittleChangesOfASharedFilesystemAreNoNews) {
  InventorySnapshot before;
  before.pools.resize(1);
  before.pools[0].usage = {1000 * kMiB, 0, 1000 * kMiB};
  InventorySnapshot after = before;
  after.pools[0].usage.allocatable_bytes -= 10 * kMiB;
  EXPECT_FALSE(IsNews(before, after));
  after.pools[0].usage.allocatable_bytes -= 10 * kMiB;
  EXPECT_TRUE(IsNews(before, after));
  after = before;
  after.pools[0].usage.allocated_bytes = kMiB;
  EXPECT_TRUE(IsNews(before, after));
}

TEST(InventoryFeed, ADriveThatGetsWarmerByDegreesIsNoNews) {
  InventorySnapshot before;
  before.drives.resize(1);
  before.drives[0].drive.health = sys::NvmeHealth{0, 40, 100, 10, 3, 0};
  const auto news = [&](auto change) {
    InventorySnapshot after = before;
    change(after.drives[0].drive);
    return IsNews(before, after);
  };
  EXPECT_FALSE(news([](Drive& drive) { drive.health->temperature_celsius = 49; }));
  EXPECT_TRUE(news([](Drive& drive) { drive.health->temperature_celsius = 50; }));
  EXPECT_TRUE(news([](Drive& drive) { drive.health->critical_warnings = sys::kNvmeSpareLow; }));
  EXPECT_TRUE(news([](Drive& drive) { drive.health->used_percent = 4; }));
  EXPECT_TRUE(news([](Drive& drive) { drive.health->media_errors = 1; }));
  EXPECT_TRUE(news([](Drive& drive) { drive.health.reset(); }));
  EXPECT_TRUE(news([](Drive& drive) { drive.paths.emplace_back(); }));
  EXPECT_TRUE(news([](Drive& drive) { drive.firmware = "F2"; }));
}

TEST(VolumeLimit, IsWhatTheKernelHasRoomForAndNoMoreThanTheAdminWants) {
  EXPECT_EQ(VolumeLimit(0, 100000), 25000);
  EXPECT_EQ(VolumeLimit(110, 100000), 110);
  EXPECT_EQ(VolumeLimit(30000, 100000), 25000);
  EXPECT_EQ(VolumeLimit(0, 0), (1 << 20) - 4096);
  EXPECT_EQ(VolumeLimit(0, 10000000), (1 << 20) - 4096);
  EXPECT_EQ(VolumeLimit(0, 1), 1);
}

}  // namespace
}  // namespace ashlar::node_agent
