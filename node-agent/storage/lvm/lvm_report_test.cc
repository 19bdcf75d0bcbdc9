#include "node-agent/storage/lvm/lvm_report.h"

#include <algorithm>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node-agent/storage/lvm/lvm_sizes.h"

namespace ashlar::node_agent {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::SizeIs;

// As LVM 2.03.16 says it of a group with a mirrored, a thin and an inactive volume.
constexpr char kReport[] = R"({"report": [{
 "vg": [{"vg_name":"ashlar-0f8fad5bd9cb", "vg_uuid":"s35SvG", "vg_extent_size":"1048576",
         "vg_tags":"ashlar.uid=1,b"}],
 "pv": [{"pv_name":"/dev/nvme0n1", "pv_uuid":"gyr12n", "pv_missing":"",
         "pv_allocatable":"allocatable", "pv_pe_count":"495", "pv_pe_alloc_count":"41",
         "vg_name":"ashlar-0f8fad5bd9cb", "vg_tags":"ashlar.uid=1"},
        {"pv_name":"/dev/nvme3n1", "pv_uuid":"ZepneJ", "pv_missing":"",
         "pv_allocatable":"", "pv_pe_count":"495", "pv_pe_alloc_count":"21"}],
 "lv": [{"lv_name":"v_1", "lv_size":"20971520", "lv_tags":"ashlar.partial", "lv_kernel_minor":"5",
         "lv_health_status":"partial", "pool_lv":"", "data_percent":"", "lv_layout":"raid,raid1"},
        {"lv_name":"[v_1_rmeta_0]", "lv_size":"1048576", "lv_tags":"", "lv_kernel_minor":"1"},
        {"lv_name":"v_2", "lv_size":"1048576", "lv_tags":"", "lv_kernel_minor":"-1",
         "pool_lv":"[pool]"},
        {"lv_name":"pool", "lv_size":"104857600", "lv_layout":"thin,pool", "data_percent":"12.50",
         "metadata_percent":"3.00", "lv_metadata_size":"4194304"}],
 "pvseg": [{"pvseg_start":"0"}], "seg": [{"lv_name":"v_1"}]}]})";

TEST(LvmReport, AGroupIsReadAsItIs) {
  const auto group = ParseGroup(kReport);
  ASSERT_TRUE(group.ok()) << group.status();
  EXPECT_EQ(group->extent_bytes, kMiB);
  EXPECT_THAT(group->tags, ElementsAre("ashlar.uid=1", "b"));
  ASSERT_THAT(group->pvs, SizeIs(2));
  EXPECT_TRUE(group->pvs[0].allocatable);
  EXPECT_FALSE(group->pvs[1].allocatable);
  EXPECT_EQ(group->pvs[0].group, "ashlar-0f8fad5bd9cb");
  const LogicalVolume& mirrored = *group->Find("v_1");
  EXPECT_EQ(mirrored.device(), "/dev/dm-5");
  EXPECT_EQ(mirrored.health, "partial");
  EXPECT_TRUE(mirrored.has_tag(kPartialTag));
  EXPECT_TRUE(mirrored.is_volume());
  EXPECT_EQ(group->Find("v_2")->device(), "");
  EXPECT_EQ(group->Find("v_2")->pool, "pool");
  EXPECT_FALSE(group->Find("v_1_rmeta_0")->is_volume()) << "a part of a volume is none";
  EXPECT_EQ(group->Find("pool")->data_percent, 12.5);
  EXPECT_EQ(group->Find("none"), nullptr);
}

TEST(LvmReport, WhatIsNoReportIsRefused) {
  for (const char* text : {"", "{}", R"({"report": 3})", R"({"report": []})",
                           R"({"report": [{"vg": [{}]}]})", R"({"report": [{"vg": [1, 2]}]})"})
    EXPECT_EQ(ParseGroup(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  EXPECT_EQ(ParsePhysicalVolumes("[]").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(LvmReport, DrivesThatLvmDoesNotKnowAreLeftOut) {
  const auto pvs = ParsePhysicalVolumes(
      R"({"report": [{"pv": [{"pv_name":"/dev/a", "pv_uuid":""}, {"pv_name":"/dev/b", "pv_uuid":"u"}]}]})");
  ASSERT_TRUE(pvs.ok()) << pvs.status();
  ASSERT_THAT(*pvs, SizeIs(1));
  EXPECT_EQ(pvs->front().device, "/dev/b");
}

TEST(LvmReport, FactsSurviveInTags) {
  VolumeFacts facts;
  facts.id = std::string(250, 'i');
  facts.pool = std::string(250, 'p');
  facts.pool_uid = "Uid with \"quotes\", {commas} and #hashes\n";
  facts.fs_type = "ext4";
  facts.kind = VolumeKind::kSnapshot;
  facts.source = std::string(250, 's');
  std::vector<std::string> tags = TagsOfFacts(facts);
  EXPECT_THAT(tags, Each(testing::MatchesRegex("[A-Za-z0-9_+.=/!:&#-]+")));
  for (const std::string& tag : tags) EXPECT_LE(tag.size(), 1024u);
  std::reverse(tags.begin(), tags.end());
  tags.push_back("somebody's");
  const auto read = FactsOfTags(tags);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, facts);
}

TEST(LvmReport, DamagedTagsAreNoFacts) {
  for (const std::vector<std::string>& tags : std::vector<std::vector<std::string>>{
           {}, {"ashlar.facts"}, {"ashlar.factsx=1"}, {"ashlar.facts0=#7"}, {"ashlar.facts0=#zz"}})
    EXPECT_FALSE(FactsOfTags(tags).ok());
}

TEST(LvmReport, NamesAreMadeFromIds) {
  EXPECT_EQ(GroupName("0f8fad5b-d9cb-469f-a165-70867728950e"),
            "ashlar-0f8fad5bd9cb469fa16570867728950e");
  EXPECT_EQ(GroupName("any text").size(), 39u);
  EXPECT_EQ(VolumeName("a"), VolumeName("a"));
  EXPECT_NE(VolumeName("a"), VolumeName("b"));
  EXPECT_EQ(VolumeName(std::string(253, 'a')).size(), 34u);
}

VolumeGroup TwoDrives() {
  VolumeGroup group;
  group.extent_bytes = kMiB;
  for (const char* device : {"/dev/a", "/dev/b"}) {
    PhysicalVolume pv;
    pv.device = device;
    pv.allocatable = true;
    pv.extents = 100;
    group.pvs.push_back(pv);
  }
  return group;
}

TEST(LvmSizes, TheReserveIsNeverGiven) {
  VolumeGroup group = TwoDrives();
  LvmLimits limits;
  limits.reserve_bytes = 50 * kMiB + 1;
  EXPECT_EQ(UsageOf(group, limits).capacity_bytes, 149 * kMiB);
  EXPECT_EQ(UsageOf(group, limits).largest_bytes, 149 * kMiB);
  group.pvs[0].used_extents = 80;
  EXPECT_EQ(UsageOf(group, limits).allocatable_bytes, 69 * kMiB);
  limits.reserve_bytes = 1000 * kMiB;
  EXPECT_EQ(UsageOf(group, limits).allocatable_bytes, 0);
}

TEST(LvmSizes, ADriveThatIsLeftGivesNothing) {
  VolumeGroup group = TwoDrives();
  group.pvs[1].allocatable = false;
  group.pvs[1].used_extents = 10;
  EXPECT_EQ(UsageOf(group, {}).capacity_bytes, 110 * kMiB);
  EXPECT_EQ(UsageOf(group, {}).allocatable_bytes, 100 * kMiB);
}

TEST(LvmSizes, NothingIsAllocatableWhileADriveIsMissing) {
  VolumeGroup group = TwoDrives();
  group.pvs[1].missing = true;
  EXPECT_EQ(UsageOf(group, {}).allocatable_bytes, 0);
  EXPECT_EQ(UsageOf(group, {}).largest_bytes, 0);
}

TEST(LvmSizes, VolumesThatAreBeingMadeCount) {
  VolumeGroup group = TwoDrives();
  LogicalVolume lv;
  lv.name = VolumeName("a");
  lv.tags = {kPartialTag};
  lv.size_bytes = 7 * kMiB;
  group.lvs = {lv};
  lv.name = "pool";
  group.lvs.push_back(lv);
  EXPECT_EQ(UsageOf(group, {}).allocated_bytes, 7 * kMiB);
}

VolumeGroup WithThinPool(int64_t reserve_bytes, double data_percent, double metadata_percent) {
  VolumeGroup group = TwoDrives();
  group.pvs[0].extents = group.pvs[1].extents = 50 << 10;  // 100 GiB together
  const ThinPlan plan = PlanThinPool(GroupBytes(group), reserve_bytes);
  LogicalVolume pool;
  pool.name = kThinPool;
  pool.size_bytes = plan.data_bytes;
  pool.metadata_bytes = plan.metadata_bytes;
  pool.data_percent = data_percent;
  pool.metadata_percent = metadata_percent;
  group.lvs = {pool};
  return group;
}

TEST(LvmSizes, AThinPoolLeavesRoomForItsMetadataTheirSpareAndTheReserves) {
  for (const int64_t gib : {1, 10, 100, 1000, 10000, 100000}) {
    const int64_t all = gib << 30;
    const ThinPlan plan = PlanThinPool(all, 100 * kMiB);
    EXPECT_LE(plan.data_bytes + 4 * plan.metadata_bytes, all - 100 * kMiB) << gib;
    EXPECT_GE(plan.metadata_bytes / 64,
              std::min<int64_t>(plan.data_bytes / plan.chunk_bytes, (int64_t{15} << 30) / 64))
        << "every chunk can be mapped, " << gib;
    EXPECT_GT(plan.data_bytes, all / 10 * 9 - 116 * kMiB) << gib;
  }
  EXPECT_EQ(PlanThinPool(10 * kMiB, 0).data_bytes, 0);
}

TEST(LvmSizes, AFullThinPoolGrowsIntoTheReserveAndNoFurther) {
  LvmLimits limits;
  limits.sparse = true;
  limits.reserve_bytes = 8 << 10;
  limits.reserve_bytes *= kMiB;
  VolumeGroup group = WithThinPool(limits.reserve_bytes, 84, 10);
  const int64_t planned = group.lvs[0].size_bytes;
  EXPECT_EQ(GrownThinPool(group, group.lvs[0], limits).data_bytes, planned);
  group.lvs[0].data_percent = 86;
  for (int step = 1; step <= 4; ++step) {
    group.lvs[0].size_bytes = GrownThinPool(group, group.lvs[0], limits).data_bytes;
    EXPECT_EQ(group.lvs[0].size_bytes, planned + limits.reserve_bytes / 4 * step);
  }
  EXPECT_EQ(GrownThinPool(group, group.lvs[0], limits).data_bytes, planned + limits.reserve_bytes);
}

TEST(LvmSizes, MetadataDoubleOnce) {
  LvmLimits limits;
  limits.sparse = true;
  VolumeGroup group = WithThinPool(0, 10, 71);
  const int64_t planned = group.lvs[0].metadata_bytes;
  for (int step = 0; step < 2; ++step) {
    group.lvs[0].metadata_bytes = GrownThinPool(group, group.lvs[0], limits).metadata_bytes;
    EXPECT_EQ(group.lvs[0].metadata_bytes, 2 * planned);
  }
}

TEST(LvmSizes, AThinPoolThatFillsUpTakesNoMoreVolumes) {
  LvmLimits limits;
  limits.sparse = true;
  limits.overprovision_percent = 200;
  VolumeGroup group = WithThinPool(0, 95, 10);
  const int64_t data = group.lvs[0].size_bytes;
  EXPECT_EQ(UsageOf(group, limits).allocatable_bytes, 2 * data) << "nothing is promised twice yet";
  LogicalVolume volume;
  volume.name = VolumeName("a");
  volume.size_bytes = data + kMiB;
  group.lvs.push_back(volume);
  EXPECT_TRUE(ThinPoolNearlyFull(group, limits));
  EXPECT_EQ(UsageOf(group, limits).allocatable_bytes, 0);
  group.lvs[0].data_percent = 80;
  EXPECT_EQ(UsageOf(group, limits).allocatable_bytes, data - kMiB);
  group.lvs[0].metadata_percent = 86;
  EXPECT_EQ(UsageOf(group, limits).allocatable_bytes, 0);
}

}  // namespace
}  // namespace ashlar::node_agent
