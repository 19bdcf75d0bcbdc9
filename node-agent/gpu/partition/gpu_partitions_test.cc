#include "node-agent/gpu/partition/gpu_partitions.h"

#include <fcntl.h>
#include <sys/file.h>

#include "absl/strings/match.h"
#include "gmock/gmock.h"
#include "lib/system/files.h"
#include "node-agent/gpu/partition/testing/partition_lab.h"
#include "nvml.h"

namespace ashlar::node_agent {
namespace {

using fake_nvml::Json;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

MATCHER_P(StartsWith, text, "") { return absl::StartsWith(arg, text); }

using GpuPartitionsTest = PartitionLab;

TEST_F(GpuPartitionsTest, APartIsMadeForAClaimAndGoesWithIt) {
  const auto part = Ensure("c", Part(4));
  ASSERT_TRUE(part.ok()) << part.status();
  EXPECT_THAT(part->mig_device, StartsWith("MIG-"));
  const Json mig = Mig();
  EXPECT_EQ(mig["current"], true) << "a Hopper is divided on demand";
  ASSERT_THAT(mig["instances"], SizeIs(1));
  EXPECT_EQ(mig["instances"][0]["id"], part->gpu_instance);
  EXPECT_EQ(mig["instances"][0]["start"], 4);
  ASSERT_THAT(mig["instances"][0]["compute"], SizeIs(1));
  EXPECT_EQ(mig["instances"][0]["compute"][0]["uuid"], part->mig_device);
  EXPECT_EQ(mig["instances"][0]["compute"][0]["size"], 3) << "all compute slices";
  EXPECT_THAT(List(), testing::ElementsAre(*part));
  EXPECT_EQ(*Ensure("c", Part(4)), *part) << "a repeated call has the same answer";
  EXPECT_EQ(Instances(), 1u);
  EXPECT_GE(agent_->told, 1);
  EXPECT_EQ(Release("c"), absl::OkStatus());
  EXPECT_EQ(Instances(), 0u);
  EXPECT_EQ(Mig()["current"], false) << "as it was before";
  EXPECT_THAT(List(), IsEmpty());
  EXPECT_EQ(Records(), 0);
  EXPECT_EQ(Release("c"), absl::OkStatus());
}

TEST_F(GpuPartitionsTest, AKeptPartIsTakenOverAndGivesWayAndGoesInTheEnd) {
  agent_->parts.Start();
  const auto part = Ensure("c", Part(0, "3g.40gb", 4, 3600));
  ASSERT_TRUE(part.ok());
  ASSERT_EQ(Release("c"), absl::OkStatus());
  ASSERT_THAT(List(), SizeIs(1));
  EXPECT_EQ(List()[0].claim, "");
  EXPECT_GT(List()[0].kept_until, absl::Now() + absl::Minutes(50));
  Restart();
  agent_->parts.Start();
  const auto again = Ensure("d", Part(0, "3g.40gb", 4, 3600));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->mig_device, part->mig_device);
  EXPECT_EQ(again->claim, "d");
  ASSERT_EQ(Release("d"), absl::OkStatus());
  // Another one that needs its slices.
  ASSERT_TRUE(Ensure("e", Part(2, "2g.20gb", 2, 1)).ok());
  EXPECT_EQ(Instances(), 1u);
  ASSERT_EQ(Release("e"), absl::OkStatus());
  EXPECT_EQ(Instances(), 1u);
  UntilEmpty();
  Until([&](const auto&) { return Mig()["current"] == false; });
}

TEST_F(GpuPartitionsTest, KeptPartsThatHaveTheEnginesGiveWay) {
  ASSERT_TRUE(Ensure("c", Part(0, "1g.10gb+me", 1, 3600)).ok());
  ASSERT_TRUE(Ensure("d", Part(4)).ok());
  ASSERT_EQ(Release("c"), absl::OkStatus());
  // It overlaps nothing, but a GPU has one of this kind.
  const auto part = Ensure("e", Part(1, "1g.10gb+me", 1));
  EXPECT_TRUE(part.ok()) << part.status();
  EXPECT_THAT(List(), SizeIs(2));
  EXPECT_THAT(Ensure("f", Part(2, "1g.10gb+me", 1)).status().message(), StartsWith("NoRoom: "));
}

TEST_F(GpuPartitionsTest, ForeignInstancesStay) {
  AddForeign(9, 19, 0, 1, "MIG-foreign");
  const auto part = Ensure("c", Part(0));
  EXPECT_EQ(part.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(part.status().message(), StartsWith("NoRoom: instance 9 (1g.10gb), which the agent "
                                                  "did not make"));
  ASSERT_THAT(List(), SizeIs(1));
  EXPECT_EQ(List()[0].problem, part.status().message());
  ASSERT_EQ(Release("c"), absl::OkStatus());
  EXPECT_THAT(List(), IsEmpty());
  EXPECT_EQ(Instances(), 1u);
  // One that looks as if a step of ours had been cut short.
  Change([](Json& state) { state["gpus"][0]["mig"]["instances"] = Json::array(); });
  AddForeign(2, 9, 0, 4, "");
  EXPECT_EQ(Ensure("c", Part(0)).status().code(), absl::StatusCode::kResourceExhausted);
  Restart();
  agent_->parts.Start();
  ASSERT_TRUE(Ensure("d", Part(4)).ok());
  ASSERT_EQ(Release("d"), absl::OkStatus());
  EXPECT_EQ(Instances(), 1u);
  EXPECT_EQ(Mig()["current"], true) << "nor is the mode that others set switched off";
}

TEST_F(GpuPartitionsTest, ANumberThatSomebodyElseHasNowIsNotOurs) {
  agent_->parts.Start();
  const auto part = Ensure("c", Part(0));
  ASSERT_TRUE(part.ok());
  Change([](Json& state) { state["gpus"][0]["mig"]["instances"] = Json::array(); });
  AddForeign(part->gpu_instance, 9, 0, 4, "MIG-foreign");
  agent_->parts.LookSoon();
  const auto list = Until([](const auto& now) { return !now.empty() && !now[0].problem.empty(); });
  EXPECT_THAT(list[0].problem, StartsWith("Removed: "));
  EXPECT_EQ(list[0].claim, "c");
  EXPECT_EQ(Ensure("c", Part(0)).status().code(), absl::StatusCode::kResourceExhausted);
  ASSERT_EQ(Release("c"), absl::OkStatus());
  EXPECT_EQ(Instances(), 1u);
  EXPECT_EQ(Mig()["instances"][0]["compute"][0]["uuid"], "MIG-foreign");
  EXPECT_THAT(List(), IsEmpty());
}

TEST_F(GpuPartitionsTest, WhatIsInUseIsRemovedWhenItIsNoMore) {
  agent_->parts.Start();
  ASSERT_TRUE(Ensure("c", Part()).ok());
  Change([](Json& state) { state["gpus"][0]["mig"]["instances"][0]["clients"] = 1; });
  ASSERT_EQ(Release("c"), absl::OkStatus());
  ASSERT_THAT(List(), SizeIs(1));
  EXPECT_THAT(List()[0].problem, StartsWith("InUse: nvmlComputeInstanceDestroy"));
  const auto next = Ensure("d", Part(2, "2g.20gb", 2));
  EXPECT_EQ(next.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(next.status().message(), StartsWith("InUse: "));
  ASSERT_EQ(Release("d"), absl::OkStatus());
  Change([](Json& state) { state["gpus"][0]["mig"]["instances"][0]["clients"] = 0; });
  UntilEmpty();
  EXPECT_EQ(Instances(), 0u);
}

TEST_F(GpuPartitionsTest, AModeThatCannotChangeNowSaysWhyAndIsLeftAsItWas) {
  Change([](Json& state) { state["gpus"][0]["clients"] = 1; });
  const auto busy = Ensure("c", Part());
  EXPECT_EQ(busy.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(busy.status().message(), StartsWith("InUse: its MIG mode cannot change now"));
  EXPECT_EQ(Mig()["pending"], false) << "nothing is left for the next reset";
  Change([](Json& state) { state["gpus"][0]["clients"] = 0; });
  EXPECT_TRUE(Ensure("c", Part()).ok());

  GpuPartitionArgs ampere = {uuids_[1], "3g.20gb", 0, 4, 0};
  EXPECT_THAT(Ensure("c", ampere).status().message(), StartsWith("NeedsReset: "));
  EXPECT_EQ(Mig(1)["pending"], false);
  Change([](Json& state) { state["gpus"][1]["mig"]["pending"] = true; });
  EXPECT_THAT(Ensure("c", ampere).status().message(), HasSubstr("next reset"));
  Change([](Json& state) { state["gpus"][1]["mig"]["current"] = true; });
  EXPECT_TRUE(Ensure("c", ampere).ok());
  ASSERT_EQ(Release("c"), absl::OkStatus());
  EXPECT_EQ(Mig(1)["current"], true) << "the agent did not set it";
  EXPECT_EQ(Mig(0)["current"], false);
  EXPECT_THAT(Ensure("c", {uuids_[2], "1g.5gb", 0, 1, 0}).status().message(),
              StartsWith("NotSupported: "));
  EXPECT_THAT(Ensure("c", Part(1)).status().message(),
              StartsWith("BadRequest: the GPU has no 3g.40gb at memory slices 1 to 4"));
  EXPECT_THAT(Ensure("c", {"GPU-none", "1g.5gb", 0, 1, 0}).status().message(),
              StartsWith("GpuLost: "));
  ASSERT_EQ(Release("c"), absl::OkStatus());
  EXPECT_EQ(Records(), 0);
}

TEST_F(GpuPartitionsTest, ACallThatHangsIsNamedAndWhatItBeganIsTakenBack) {
  agent_->parts.Start();
  for (const char* function :
       {"nvmlDeviceCreateGpuInstanceWithPlacement", "nvmlGpuInstanceCreateComputeInstance"}) {
    Change([&](Json& state) { state["hang"] = {function}; });
    const auto hung = Ensure("c", Part());
    EXPECT_EQ(hung.status().code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(hung.status().message(),
                StartsWith(std::string("DriverHung: ") + function + " did not return"));
    Change([](Json& state) { state["hang"] = Json::array(); });
    Until([&](const auto&) { return Instances() == 0 && Mig()["current"] == false; });
    Until([](const auto& list) { return list.size() == 1; });
    ASSERT_EQ(Release("c"), absl::OkStatus());
  }
  ASSERT_TRUE(Ensure("c", Part()).ok());
  Change([](Json& state) { state["hang"] = {"nvmlGpuInstanceDestroy"}; });
  ASSERT_EQ(Release("c"), absl::OkStatus());
  ASSERT_THAT(List(), SizeIs(1));
  EXPECT_THAT(List()[0].problem, StartsWith("DriverHung: nvmlGpuInstanceDestroy"));
  Change([](Json& state) { state["hang"] = Json::array(); });
  UntilEmpty();
  EXPECT_EQ(Instances(), 0u);
}

TEST_F(GpuPartitionsTest, ADriverOrAGpuThatIsAwayIsWaitedForWithoutHoldingUpAnybody) {
  agent_->parts.Start();
  ASSERT_TRUE(Ensure("c", Part()).ok());
  Change([](Json& state) { state["gpus"][0]["lost"] = true; });
  EXPECT_THAT(Ensure("d", Part(4)).status().message(), StartsWith("GpuLost: "));
  ASSERT_EQ(Release("c"), absl::OkStatus());
  ASSERT_EQ(Release("d"), absl::OkStatus());
  ASSERT_THAT(List(), SizeIs(1));
  EXPECT_THAT(List()[0].problem, StartsWith("GpuLost: "));
  Change([](Json& state) {
    state["gpus"][0]["lost"] = false;
    state["driver"]["gone"] = true;
  });
  Restart();
  agent_->parts.Start();
  EXPECT_THAT(Ensure("d", Part(4)).status().message(), StartsWith("NoDriver: "));
  ASSERT_EQ(Release("d"), absl::OkStatus());
  Change([](Json& state) { state["driver"]["gone"] = false; });
  UntilEmpty();
  EXPECT_EQ(Instances(), 0u);
}

TEST_F(GpuPartitionsTest, AGpuDrawsWhatTheGreediestOfItsClaimsAsksForAndThenAsBefore) {
  Change([](Json& state) { state["gpus"][0]["powerLimit"] = 650000; });
  const auto with = [&](int start, int watts, int64_t keep = 0) {
    return Part(start, "1g.10gb", 1, keep, watts);
  };
  const auto part = Ensure("c", with(0, 300));
  ASSERT_TRUE(part.ok()) << part.status();
  EXPECT_EQ(part->power_watts, 300);
  EXPECT_EQ(Power(), 300);
  ASSERT_TRUE(Ensure("d", with(1, 500)).ok());
  EXPECT_EQ(Power(), 500) << "nobody gets less than what it asks for";
  ASSERT_TRUE(Ensure("e", with(2, 400)).ok());
  EXPECT_EQ(Power(), 500);
  ASSERT_TRUE(Ensure("f", with(3, 0)).ok());
  EXPECT_EQ(Power(), 650) << "who asks for nothing has what there was";
  ASSERT_EQ(Release("f"), absl::OkStatus());
  EXPECT_EQ(Power(), 500);
  ASSERT_EQ(Release("d"), absl::OkStatus());
  EXPECT_EQ(Power(), 400);
  Restart();
  EXPECT_EQ(Power(), 400) << "an agent that ends leaves it";
  ASSERT_EQ(Release("e"), absl::OkStatus());
  ASSERT_EQ(Release("c"), absl::OkStatus());
  EXPECT_EQ(Power(), 650);
  EXPECT_EQ(Power(1), 400) << "other GPUs are left alone";
  EXPECT_EQ(Records(), 0);
  // What is kept for nobody asks for nothing.
  ASSERT_TRUE(Ensure("c", with(0, 300, 3600)).ok());
  ASSERT_EQ(Release("c"), absl::OkStatus());
  EXPECT_EQ(Power(), 650);
  ASSERT_TRUE(Ensure("d", with(0, 350, 3600)).ok());
  EXPECT_EQ(Power(), 350);
}

TEST_F(GpuPartitionsTest, ALimitThatTheGpuDoesNotTakeIsRefusedAndLeavesNothing) {
  const auto part = Ensure("c", Part(0, "3g.40gb", 4, 0, 900));
  EXPECT_EQ(part.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(part.status().message(),
            "BadRequest: a power limit of 900 W is asked for, and the GPU takes 200 W to 700 W");
  EXPECT_EQ(Power(), 700);
  EXPECT_EQ(Instances(), 0u);
  ASSERT_EQ(Release("c"), absl::OkStatus());
  EXPECT_EQ(Records(), 0);
  ASSERT_TRUE(Ensure("d", Part(0, "3g.40gb", 4, 0, 300)).ok());
  EXPECT_EQ(Ensure("e", Part(4, "3g.40gb", 4, 0, 100)).status().code(),
            absl::StatusCode::kInvalidArgument)
      << "also where the greatest counts, which may go first";
  ASSERT_EQ(Release("e"), absl::OkStatus());
  ASSERT_EQ(Release("d"), absl::OkStatus());
}

TEST_F(GpuPartitionsTest, ALimitThatCannotBeSetBackIsTriedAgain) {
  agent_->parts.Start();
  ASSERT_TRUE(Ensure("c", Part(0, "3g.40gb", 4, 0, 300)).ok());
  Change([](Json& state) {
    state["fail"]["nvmlDeviceSetPowerManagementLimit"] = NVML_ERROR_NO_PERMISSION;
  });
  const auto other = Ensure("d", Part(4, "3g.40gb", 4, 0, 400));
  EXPECT_EQ(other.status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(Instances(), 1u) << "it is not made without its limit";
  ASSERT_EQ(Release("d"), absl::OkStatus());
  ASSERT_EQ(Release("c"), absl::OkStatus());
  EXPECT_EQ(Power(), 300);
  Change([](Json& state) { state["fail"] = Json::object(); });
  Until([&](const auto&) { return Power() == 700 && Records() == 0; });
}

TEST_F(GpuPartitionsTest, RecordsOfAnEarlierBootAreVoid) {
  ASSERT_TRUE(Ensure("c", Part()).ok());
  Change([](Json& state) { state["gpus"][0]["mig"]["instances"][0]["compute"][0]["uuid"] = "x"; });
  boot_ = "boot-2";
  Restart();
  EXPECT_THAT(List(), IsEmpty());
  EXPECT_EQ(Records(), 0);
  ASSERT_EQ(Release("c"), absl::OkStatus());
  EXPECT_EQ(Instances(), 1u) << "whoever made it since the boot has it";
}

TEST_F(GpuPartitionsTest, AStepOfAnEarlierProcessIsWaitedForAndNoneIsMadeAfterItsAgent) {
  const std::string lock = journal_ + "/" + uuids_[0] + ".lock";
  const sys::UniqueFd other = *sys::OpenFile(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  ASSERT_EQ(flock(other.get(), LOCK_EX), 0);
  EXPECT_THAT(Ensure("c", Part()).status().message(), StartsWith("Busy: "));
  ASSERT_EQ(flock(other.get(), LOCK_UN), 0);
  EXPECT_TRUE(Ensure("c", Part()).ok());
}

}  // namespace
}  // namespace ashlar::node_agent

int main(int argc, char** argv) { return ashlar::node_agent::PartitionLabMain(argc, argv); }
