#include "node-agent/storage/lvm/lvm_report.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node-agent/storage/lvm/lvm_dependencies.h"
#include "node-agent/storage/lvm/lvm_drain.h"
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
        {"lv_name":"[v_1_rimage_0]", "lv_size":"20971520"},
        {"lv_name":"[v_1_rimage_1]", "lv_size":"20971520"}, {"lv_name":"[pool_tdata]"},
        {"lv_name":"v_2", "lv_size":"1048576", "lv_tags":"", "lv_kernel_minor":"-1",
         "pool_lv":"[pool]"},
        {"lv_name":"pool", "lv_size":"104857600", "lv_layout":"thin,pool", "data_percent":"12.50",
         "metadata_percent":"3.00", "lv_metadata_size":"4194304"}],
 "pvseg": [{"pvseg_start":"0"}],
 "seg": [{"lv_name":"v_1", "seg_pe_ranges":"v_1_rimage_0:0-19 v_1_rimage_1:0-19"},
         {"lv_name":"[v_1_rmeta_0]", "seg_pe_ranges":"/dev/nvme0n1:0-0"},
         {"lv_name":"[v_1_rimage_0]", "seg_pe_ranges":"/dev/nvme0n1:1-10"},
         {"lv_name":"[v_1_rimage_0]", "seg_pe_ranges":"pvmove0:0-9"},
         {"lv_name":"[v_1_rimage_1]", "seg_pe_ranges":"/dev/nvme3n1:1-20"},
         {"lv_name":"[pool_tdata]", "seg_pe_ranges":"/dev/nvme3n1:21-60 /dev/nvme0n1:21-60"},
         {"lv_name":"gone", "seg_pe_ranges":"/dev/nvme3n1:1-20"}, 7]}]})";

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

TEST(LvmReport, WhereVolumesLieIsTold) {
  const auto group = ParseGroup(kReport);
  ASSERT_TRUE(group.ok()) << group.status();
  const LogicalVolume& mirrored = *group->Find("v_1");
  EXPECT_TRUE(mirrored.is_mirrored());
  EXPECT_EQ(mirrored.stripes, 2);
  ASSERT_THAT(group->LegsOf(mirrored), SizeIs(2));
  EXPECT_EQ(group->LegsOf(mirrored)[1]->name, "v_1_rimage_1");
  EXPECT_THAT(group->Find("v_1_rimage_0")->devices(), ElementsAre("/dev/nvme0n1", kMove));
  EXPECT_THAT(group->VolumesOn("/dev/nvme3n1"), ElementsAre("v_1", "pool"));
  EXPECT_THAT(group->VolumesOn("/dev/nvme9n1"), SizeIs(0));
  EXPECT_TRUE(group->IsMoving(mirrored));
  EXPECT_FALSE(group->IsMoving(*group->Find("pool")));
  EXPECT_EQ(group->FindDrive("/dev/nvme3n1")->uuid, "ZepneJ");
  EXPECT_EQ(group->FindDrive("/dev/nvme9n1"), nullptr);
}

TEST(LvmDependencies, AreThoseOfTheGroupAlone) {
  const std::set<DeviceNumber> numbers = DependenciesOf(
      "ashlar--0f-v_1: 2 dependencies\t: (253, 3) (259, 1)\nashlar--0f0-v_1: 1 dependencies : (1, "
      "1)\n"
      "ashlar--0f-v_2: 1 dependencies\t: (259, 4)\nashlar--0f-v_3: (x, 1) (\nNo devices found\n",
      "ashlar-0f");
  EXPECT_THAT(numbers,
              ElementsAre(DeviceNumber{253, 3}, DeviceNumber{259, 1}, DeviceNumber{259, 4}));
  EXPECT_EQ(MapperMajor("Block devices:\n  7 loop\n253 device-mapper\n259 blkext\n"), 253u);
  EXPECT_EQ(MapperMajor("Character devices:\n 10 misc\n"), 0u);
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
  EXPECT_EQ(UsageOf(group, {}).capacity_bytes, 100 * kMiB);
  EXPECT_EQ(UsageOf(group, {}).allocatable_bytes, 90 * kMiB) << "room for what must be moved";
}

VolumeGroup DrivesOf(const std::vector<int64_t>& free_extents) {
  VolumeGroup group;
  group.extent_bytes = kMiB;
  for (const int64_t free : free_extents) {
    PhysicalVolume pv;
    pv.device = absl::StrCat("/dev/", group.pvs.size());
    pv.allocatable = true;
    pv.extents = 200;
    pv.used_extents = 200 - free;
    group.pvs.push_back(pv);
  }
  return group;
}

TEST(LvmSizes, EachStripeAndEachMirrorLiesOnADriveOfItsOwn) {
  struct Case {
    std::vector<int64_t> free;
    LvmOptions layout;
    int64_t allocatable, largest;
  };
  for (const Case& c : {
           Case{{100, 50, 50}, {1, 0}, 200, 200},
           Case{{100, 50, 50}, {2, 0}, 200, 100},  // a and b, then a and c
           Case{{200, 50, 50}, {2, 0}, 200, 100},  // half of a is beside nothing
           Case{{100, 100}, {2, 0}, 200, 200},
           Case{{100, 99}, {2, 0}, 198, 198},
           Case{{100}, {2, 0}, 0, 0},
           Case{{100, 100}, {1, 1}, 99, 99},  // and what says what is in sync
           Case{{100, 50, 50}, {1, 1}, 99, 49},
           Case{{100, 100, 10}, {1, 2}, 9, 9},
           Case{{100, 100, 100, 100}, {2, 1}, 198, 198},
           Case{{100, 100, 100}, {2, 1}, 0, 0},
       }) {
    SCOPED_TRACE(testing::PrintToString(c.free) +
                 absl::StrCat(" ", c.layout.stripes, " stripes ", c.layout.mirrors, " mirrors"));
    LvmLimits limits;
    limits.layout = c.layout;
    const PoolUsage usage = UsageOf(DrivesOf(c.free), limits);
    EXPECT_EQ(usage.allocatable_bytes, c.allocatable * kMiB);
    EXPECT_EQ(usage.largest_bytes, c.largest * kMiB);
  }
}

TEST(LvmSizes, LegsGoToTheDrivesWithTheMostRoom) {
  EXPECT_THAT(DrivesForLegs(DrivesOf({10, 30, 20}), {2, 0}), ElementsAre("/dev/1", "/dev/2"));
  EXPECT_THAT(DrivesForLegs(DrivesOf({10, 30, 20}), {1, 0}), SizeIs(0));
}

TEST(LvmSizes, AMirroredVolumeGrowsOnTheDrivesOfItsLegs) {
  VolumeGroup group = DrivesOf({30, 80, 12, 90});
  LogicalVolume volume, leg;
  volume.name = "v_1";
  volume.layout = "raid,raid1";
  volume.size_bytes = 20 * kMiB;
  volume.ranges = {"v_1_rimage_0:0-19", "v_1_rimage_1:0-19"};
  leg.hidden = true;
  leg.size_bytes = 20 * kMiB;
  leg.name = "v_1_rimage_0";
  leg.ranges = {"/dev/0:1-20"};
  group.lvs = {volume, leg};
  leg.name = "v_1_rimage_1";
  leg.ranges = {"/dev/2:1-20"};
  group.lvs.push_back(leg);
  GrowthPlan plan = PlanGrowth(group, volume, 25 * kMiB);
  EXPECT_THAT(plan.drives, ElementsAre("/dev/0", "/dev/2"));
  EXPECT_EQ(plan.extents_bytes, 10 * kMiB);
  EXPECT_EQ(plan.most_bytes, 12 * kMiB);
  group.pvs[2].allocatable = false;
  EXPECT_EQ(PlanGrowth(group, volume, 25 * kMiB).most_bytes, 0);

  volume.layout = "striped";
  volume.stripes = 2;
  plan = PlanGrowth(group, volume, 25 * kMiB);
  EXPECT_THAT(plan.drives, ElementsAre("/dev/3", "/dev/1"));
  EXPECT_EQ(plan.extents_bytes, 6 * kMiB) << "whole stripes";
  EXPECT_EQ(plan.most_bytes, 160 * kMiB);
  volume.layout = "linear";
  volume.stripes = 1;
  plan = PlanGrowth(group, volume, 25 * kMiB);
  EXPECT_THAT(plan.drives, SizeIs(0));
  EXPECT_EQ(plan.extents_bytes, 5 * kMiB);
  EXPECT_EQ(plan.most_bytes, 200 * kMiB);
}

TEST(LvmDrain, TellsHowFarItIs) {
  VolumeGroup group = DrivesOf({30, 80});
  Drive drive;
  drive.id = "serial-1";
  drive.device = "/dev/0";
  EXPECT_EQ(DrainState(group, drive),
            "170 MiB are still to be moved off serial-1, and 110 MiB are free on the other drives");
  group.pvs[0].used_extents = 10;
  group.pvs[0].allocatable = false;
  EXPECT_EQ(DrainState(group, drive), "10 MiB are still to be moved off serial-1");
  group.pvs.pop_back();
  EXPECT_THAT(DrainState(group, drive), testing::HasSubstr("is the pool's only drive and stays"));
  group.pvs.clear();
  EXPECT_EQ(DrainState(group, drive), "serial-1 has left and is being zeroed");
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

VolumeGroup GroupOf(int64_t bytes) {
  VolumeGroup group = TwoDrives();
  group.pvs[0].extents = group.pvs[1].extents = bytes / 2 / kMiB;
  return group;
}

ThinPlan Plan(const VolumeGroup& group, int64_t reserve_bytes, int stripes = 1) {
  LvmLimits limits;
  limits.reserve_bytes = reserve_bytes;
  limits.layout.stripes = stripes;
  return PlanThinPool(group, limits);
}

VolumeGroup WithThinPool(int64_t reserve_bytes, double data_percent, double metadata_percent) {
  VolumeGroup group = GroupOf(int64_t{100} << 30);
  const ThinPlan plan = Plan(group, reserve_bytes);
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
    const ThinPlan plan = Plan(GroupOf(all), 100 * kMiB);
    EXPECT_LE(plan.data_bytes + 4 * plan.metadata_bytes, all - 100 * kMiB) << gib;
    EXPECT_GE(plan.metadata_bytes / 64,
              std::min<int64_t>(plan.data_bytes / plan.chunk_bytes, (int64_t{15} << 30) / 64))
        << "every chunk can be mapped, " << gib;
    EXPECT_GT(plan.data_bytes, all / 10 * 9 - 116 * kMiB) << gib;
  }
  EXPECT_EQ(Plan(GroupOf(10 * kMiB), 0).data_bytes, 0);
}

TEST(LvmSizes, AStripedThinPoolLeavesThatRoomOnEveryDrive) {
  VolumeGroup group = GroupOf(4000 * kMiB);
  group.pvs.push_back(group.pvs[0]);
  const ThinPlan plan = Plan(group, 30 * kMiB, 3);
  EXPECT_EQ(plan.data_bytes % (3 * kMiB), 0);
  EXPECT_LE(plan.data_bytes / 3 + 4 * plan.metadata_bytes + 10 * kMiB, 2000 * kMiB);
  group.pvs.pop_back();
  EXPECT_EQ(Plan(group, 30 * kMiB, 3).data_bytes, 0) << "a stripe has no drive";
}

TEST(LvmSizes, AFullThinPoolGrowsIntoTheReserveAndNoFurther) {
  LvmLimits limits;
  limits.sparse = true;
  limits.reserve_bytes = int64_t{8} << 30;
  VolumeGroup group = WithThinPool(limits.reserve_bytes, 84, 10);
  const int64_t planned = group.lvs[0].size_bytes, step = limits.reserve_bytes / 4;
  const auto grown = [&] { return GrownThinPool(group, group.lvs[0], limits).data_bytes; };
  group.pvs[0].used_extents = planned / kMiB;
  EXPECT_EQ(grown(), planned);
  group.lvs[0].data_percent = 86;
  EXPECT_EQ(grown(), planned + step);
  group.lvs[0].data_percent = 100;
  EXPECT_EQ(grown(), planned + limits.reserve_bytes) << "all that it takes, at once";
  group.pvs[0].used_extents = group.pvs[0].extents - step / kMiB;
  group.pvs[1].used_extents = group.pvs[1].extents;
  EXPECT_EQ(grown(), planned + step) << "no more than there is";
  group.pvs[0].used_extents = 0;
  group.lvs[0].size_bytes = planned + limits.reserve_bytes;
  EXPECT_EQ(grown(), planned + limits.reserve_bytes);
  group.pvs.pop_back();
  EXPECT_EQ(grown(), planned + limits.reserve_bytes) << "it never shrinks";
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
