// The whole controller over an API server and agents in memory.
#include "controller/controller_app.h"

#include "absl/strings/match.h"
#include "controller/testing/controller_lab.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/testing/simulated_clock.h"
#include "lib/kube/core_kinds.h"

namespace ashlar::controller {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

const api::KindInfo& kVolume() { return api::Kind<v1alpha1::Volume>(); }
const api::KindInfo& kPool() { return api::Kind<v1alpha1::Pool>(); }
const api::KindInfo& kInventory() { return api::Kind<v1alpha1::NodeInventory>(); }

class ControllerAppTest : public testing::Test {
 protected:
  RealClock clock_;
  ControllerLab lab_{clock_};
};

TEST_F(ControllerAppTest, APoolAndAVolumeBecomeACarvedVolume) {
  auto agent = lab_.AddNode("n1", 10 * kGi);
  lab_.Start();
  lab_.MakePool("fast");
  EXPECT_EQ(lab_.AwaitCondition(kPool(), "fast", "Ready", "True", "Ready"), "1 of 1 node is ready");
  lab_.MakeVolume("v1", "1Gi");
  const v1alpha1::Volume volume = lab_.AwaitCarved("v1");
  EXPECT_EQ(volume.spec().node_name(), "n1");
  EXPECT_EQ(volume.status().size(), kGi);
  EXPECT_EQ(volume.status().device().path(), "/pools/fast/v1");
  EXPECT_THAT(volume.metadata().finalizers(), ElementsAre("ashlar.dev/agent"));
  EXPECT_EQ(volume.status().observed_generation(), volume.metadata().generation());
  EXPECT_THAT(agent->Volumes(), ElementsAre("v1"));
  lab_.AwaitCondition(kVolume(), "v1", "Healthy", "True", "Healthy");
  lab_.AwaitCondition(kVolume(), "v1", "Published", "False", "NotPublished");
}

TEST_F(ControllerAppTest, AVolumeIsWrittenTwice) {
  lab_.AddNode("n1", 10 * kGi);
  lab_.MakePool("fast");
  std::atomic<int> writes = 0;
  lab_.client.SetFault(
      [&](absl::string_view verb, const api::KindInfo& kind, const api::ObjectKey&) {
        if (kind.kind == "Volume" && verb != "list" && verb != "watch") ++writes;
        return absl::OkStatus();
      });
  lab_.Start();
  lab_.AwaitCondition(kPool(), "fast", "Ready", "True", "Ready");
  lab_.MakeVolume("v1", "1Gi");
  lab_.AwaitCarved("v1");
  // Until the report of the volume has gone through.
  lab_.Await(kPool(), "fast", [](const Json* pool) {
    return pool != nullptr && JsonString(*pool, {"status", "allocated"}) == "1Gi" &&
           JsonString(*pool, {"status", "inFlight"}) == "0";
  });
  EXPECT_EQ(writes, 2);  // the node, and the status
}

TEST_F(ControllerAppTest, WhatFitsNowhereIsExplainedAndCarvedWhenThereIsRoom) {
  lab_.AddNode("n1", 10 * kGi);
  auto n2 = lab_.AddNode("n2", 4 * kGi);
  lab_.MakePool("fast");
  lab_.Start();
  lab_.AwaitCondition(kPool(), "fast", "Ready", "True", "Ready");
  lab_.MakeVolume("first", "8Gi");
  lab_.AwaitCarved("first");
  lab_.MakeVolume("second", "9Gi");
  const std::string why = lab_.AwaitCondition(kVolume(), "second", "Carved", "False", "NoCapacity");
  EXPECT_THAT(why, HasSubstr("n1: needs 9Gi but 2Gi are allocatable"));
  EXPECT_THAT(why, HasSubstr("n2: needs 9Gi but 4Gi are allocatable"));
  EXPECT_THAT(why, HasSubstr("The largest volume that fits is 4Gi on node n2."));
  EXPECT_THAT(lab_.AwaitEvent("Volume", "second", "NoCapacity"), HasSubstr("needs 9Gi"));
  lab_.Delete(kVolume(), "first");
  lab_.AwaitGone(kVolume(), "first");
  EXPECT_EQ(lab_.AwaitCarved("second").spec().node_name(), "n1");
}

TEST_F(ControllerAppTest, ChangedLimitsReachTheAgentAndTheStatusSaysWhetherTheyHold) {
  auto agent = lab_.AddNode("n1", 10 * kGi);
  lab_.MakePool("fast");
  lab_.Start();
  lab_.MakeVolume("v1", "1Gi", {{"limits", {{"readIops", 100}}}});
  EXPECT_EQ(lab_.AwaitCondition(kVolume(), "v1", "Applied", "True", "Applied"),
            "100 reads/s, trim Weekly");
  lab_.Change(kVolume(), "v1", [](Json& volume) {
    volume["spec"]["limits"] = {{"readBytesPerSecond", "1Mi"}};
  });
  lab_.Await(kVolume(), "v1", [](const Json* volume) {
    return JsonString(*volume, {"status", "limits", "readBytesPerSecond"}) == "1Mi" &&
           JsonInt(*volume, {"status", "limits", "readIops"}) == 0;
  });
  EXPECT_THAT(lab_.AwaitEvent("Volume", "v1", "Modified"), HasSubstr("reads/s"));
  agent->SetAttributesMessage("v1", "pod u-1: there is no control group");
  EXPECT_EQ(lab_.AwaitCondition(kVolume(), "v1", "Applied", "False", "NotInForce"),
            "pod u-1: there is no control group");
  // An agent that lost what it was told is told again.
  agent->SetAttributesMessage("v1", "");
  agent->Forget("v1");
  agent->AwaitCalls("ModifyVolume", 3);
}

TEST_F(ControllerAppTest, AttributesThatTheAgentRefusesAreRefused) {
  auto agent = lab_.AddNode("n1", 10 * kGi);
  agent->FailNext("ModifyVolume", absl::InvalidArgumentError("no device"), 1000000);
  lab_.MakePool("fast");
  lab_.Start();
  lab_.MakeVolume("v1", "1Gi", {{"limits", {{"readIops", 100}}}});
  EXPECT_THAT(lab_.AwaitCondition(kVolume(), "v1", "Applied", "False", "Refused"),
              HasSubstr("no device"));
  EXPECT_EQ(lab_.AwaitCarved("v1").status().limits().read_iops(), 0);
}

TEST_F(ControllerAppTest, EventsAreShownOnTheClaimToo) {
  lab_.AddNode("n1", kGi);
  lab_.MakePool("fast");
  lab_.server.Put(kube::kPersistentVolumeClaim,
                  {{"apiVersion", "v1"},
                   {"kind", "PersistentVolumeClaim"},
                   {"metadata", {{"namespace", "team"}, {"name", "data"}}}});
  lab_.Start();
  lab_.AwaitCondition(kPool(), "fast", "Ready", "True", "Ready");
  lab_.MakeVolume("v1", "8Gi", {{"claimRef", {{"namespace", "team"}, {"name", "data"}}}});
  EXPECT_THAT(lab_.AwaitEvent("PersistentVolumeClaim", "data", "NoCapacity"),
              HasSubstr("volume v1: 8Gi of pool fast fit on none of 1 node"));
}

TEST_F(ControllerAppTest, RefusalsNameTheirReason) {
  lab_.AddNode("n1", 10 * kGi)->SetPoolProblem("DriveBusy", "/dev/x has a partition table");
  lab_.Start();
  lab_.MakeVolume("no-pool", "1Gi");
  lab_.AwaitRefused("no-pool", "PoolNotFound");
  lab_.MakeVolume("nothing", "0");
  lab_.AwaitRefused("nothing", "InvalidVolume");
  lab_.MakePool("fast");
  EXPECT_THAT(lab_.AwaitCondition(kPool(), "fast", "Ready", "False", "NodesNotReady"),
              HasSubstr("n1: DriveBusy: /dev/x has a partition table"));
  // The first refusal may be older than the agent's answer.
  lab_.Await(kVolume(), "no-pool", [](const Json* volume) {
    const Json* carved = ConditionOf(*volume, "Carved");
    return carved != nullptr &&
           absl::StrContains(JsonString(*carved, {"message"}), "n1: pool not ready: DriveBusy");
  });
  lab_.agents["n1"]->SetPoolProblem("", "");
  lab_.AwaitCarved("no-pool");
}

TEST_F(ControllerAppTest, ATopologyIsKept) {
  lab_.AddNode("n1", 10 * kGi);
  lab_.AddNode("n2", 20 * kGi);
  lab_.MakePool("fast");
  lab_.Start();
  lab_.AwaitCondition(kPool(), "fast", "Ready", "True", "Ready");
  lab_.MakeVolume("allowed", "1Gi", {{"allowedNodes", {"n1"}}});
  EXPECT_EQ(lab_.AwaitCarved("allowed").spec().node_name(), "n1");
  lab_.MakeVolume("preferred", "1Gi", {{"preferredNodes", {"n1"}}});
  EXPECT_EQ(lab_.AwaitCarved("preferred").spec().node_name(), "n1");
  lab_.MakeVolume("any", "1Gi");
  EXPECT_EQ(lab_.AwaitCarved("any").spec().node_name(), "n2");
  lab_.MakeVolume("named", "1Gi", {{"nodeName", "n1"}});
  EXPECT_THAT(lab_.AwaitCarved("named").metadata().finalizers(), ElementsAre("ashlar.dev/agent"));
  EXPECT_THAT(lab_.agents["n1"]->Volumes(), Contains("named"));
}

TEST_F(ControllerAppTest, ACordonedNodeTakesNothingNew) {
  lab_.AddNode("n1", 10 * kGi);
  lab_.Change(kube::kNode, "n1", [](Json& node) { node["spec"]["unschedulable"] = true; });
  lab_.MakePool("fast");
  lab_.Start();
  lab_.AwaitCondition(kPool(), "fast", "Ready", "True", "Ready");
  lab_.MakeVolume("v1", "1Gi");
  lab_.AwaitRefused("v1", "NoCapacity");
  lab_.Change(kube::kNode, "n1", [](Json& node) { node["spec"].erase("unschedulable"); });
  lab_.AwaitCarved("v1");
}

TEST_F(ControllerAppTest, APoolLiesWhereItsSelectorSays) {
  lab_.AddNode("n1", 10 * kGi, {{"disk", "nvme"}});
  lab_.AddNode("n2", 10 * kGi);
  lab_.Start();
  lab_.MakePool("fast", {{"nodeSelector", {{"matchLabels", {{"disk", "nvme"}}}}}});
  lab_.AwaitCondition(kPool(), "fast", "Ready", "True", "Ready");
  EXPECT_THAT(lab_.agents["n2"]->Pools(), IsEmpty());
  lab_.Change(kube::kNode, "n2", [](Json& node) { node["metadata"]["labels"]["disk"] = "nvme"; });
  lab_.Await(kPool(), "fast", [](const Json* pool) {
    return JsonInt(*pool, {"status", "readyNodes"}) == 2;
  });
  lab_.Change(kube::kNode, "n1", [](Json& node) { node["metadata"]["labels"].erase("disk"); });
  lab_.Await(kPool(), "fast", [](const Json* pool) {
    return JsonInt(*pool, {"status", "readyNodes"}) == 1 &&
           pool->at("status").at("nodes").size() == 1;
  });
  lab_.agents["n1"]->AwaitCalls("RemovePool", 1);
  EXPECT_THAT(lab_.agents["n1"]->Pools(), IsEmpty());
}

TEST_F(ControllerAppTest, TwoVolumesNeverGetTheSameBytes) {
  auto agent = lab_.AddNode("n1", 10 * kGi);
  lab_.MakePool("fast");
  lab_.Start();
  lab_.AwaitCondition(kPool(), "fast", "Ready", "True", "Ready");
  lab_.MakeVolume("v0", "1Gi");
  lab_.AwaitCarved("v0");  // the ledger knows the pool
  agent->SetFrozen(true);  // both are placed before either is carved
  lab_.MakeVolume("v1", "6Gi");
  lab_.MakeVolume("v2", "6Gi");
  agent->AwaitCalls("EnsureVolume", 2);
  lab_.Await(kVolume(), "", [&](const Json* volume) {
    const Json* carved = volume == nullptr ? nullptr : ConditionOf(*volume, "Carved");
    return carved != nullptr && JsonString(*carved, {"reason"}) == "NoCapacity";
  });
  agent->SetFrozen(false);
  EXPECT_EQ(agent->Calls("EnsureVolume"), 2);  // of v0 and of one of the two
}

TEST_F(ControllerAppTest, AVolumeGrows) {
  lab_.AddNode("n1", 10 * kGi);
  lab_.MakePool("fast");
  lab_.MakeVolume("v1", "1Gi");
  lab_.Start();
  lab_.AwaitCarved("v1");
  lab_.Change(kVolume(), "v1", [](Json& volume) { volume["spec"]["size"] = "3Gi"; });
  lab_.Await(kVolume(), "v1", [](const Json* volume) {
    return JsonString(*volume, {"status", "size"}) == "3Gi";
  });
  EXPECT_EQ(lab_.agents["n1"]->VolumeBytes("v1"), 3 * kGi);
  EXPECT_EQ(lab_.AwaitEvent("Volume", "v1", "Resized"), "from 1Gi to 3Gi");
}

TEST_F(ControllerAppTest, AGrowthWithoutRoomSaysWhatIsLeftAndTheVolumeStays) {
  lab_.AddNode("n1", 10 * kGi);
  lab_.MakePool("fast");
  lab_.MakeVolume("v1", "1Gi");
  lab_.Start();
  lab_.AwaitCarved("v1");
  lab_.Change(kVolume(), "v1", [](Json& volume) { volume["spec"]["size"] = "30Gi"; });
  const std::string why = lab_.AwaitCondition(kVolume(), "v1", "Carved", "False", "NoCapacity");
  EXPECT_THAT(why, HasSubstr("cannot grow: "));
  EXPECT_THAT(why, HasSubstr("needs 30Gi but 10Gi are allocatable"));
  EXPECT_EQ(lab_.agents["n1"]->VolumeBytes("v1"), kGi);
}

TEST_F(ControllerAppTest, ADeletedVolumeLeavesNothing) {
  auto agent = lab_.AddNode("n1", 10 * kGi);
  lab_.MakePool("fast");
  lab_.MakeVolume("v1", "1Gi");
  lab_.Start();
  lab_.AwaitCarved("v1");
  lab_.Delete(kVolume(), "v1");
  lab_.AwaitGone(kVolume(), "v1");
  EXPECT_THAT(agent->Volumes(), IsEmpty());
}

TEST_F(ControllerAppTest, AVolumeInUseIsNotRemovedUntilItIsFree) {
  auto agent = lab_.AddNode("n1", 10 * kGi);
  lab_.MakePool("fast");
  lab_.MakeVolume("v1", "1Gi");
  lab_.Start();
  lab_.AwaitCarved("v1");
  agent->SetStaged("v1", true, 2);
  lab_.AwaitCondition(kVolume(), "v1", "Published", "True", "Published");
  lab_.Delete(kVolume(), "v1");
  EXPECT_THAT(lab_.AwaitCondition(kVolume(), "v1", "Deleted", "False", "InUse"),
              HasSubstr("volume v1 is staged"));
  EXPECT_THAT(agent->Volumes(), ElementsAre("v1"));
  agent->SetStaged("v1", false, 0);
  lab_.AwaitGone(kVolume(), "v1");
}

TEST_F(ControllerAppTest, ALostVolumeIsToldOfAndNeverCarvedAnew) {
  auto agent = lab_.AddNode("n1", 10 * kGi);
  lab_.MakePool("fast");
  lab_.MakeVolume("v1", "1Gi");
  lab_.Start();
  lab_.AwaitCarved("v1");
  lab_.Await(kPool(), "fast", [](const Json* pool) {
    return JsonString(*pool, {"status", "allocated"}) == "1Gi";
  });
  agent->Lose("v1");
  lab_.AwaitCondition(kVolume(), "v1", "Healthy", "False", "VolumeLost");
  EXPECT_THAT(agent->Volumes(), IsEmpty());
  EXPECT_EQ(agent->Calls("EnsureVolume"), 1);
}

TEST_F(ControllerAppTest, AnUnhealthyVolumeIsToldOf) {
  auto agent = lab_.AddNode("n1", 10 * kGi);
  lab_.MakePool("fast");
  lab_.MakeVolume("v1", "1Gi");
  lab_.Start();
  lab_.AwaitCarved("v1");
  agent->SetUnhealthy("v1", "I/O errors");
  EXPECT_EQ(lab_.AwaitCondition(kVolume(), "v1", "Healthy", "False", "Unhealthy"), "I/O errors");
  EXPECT_EQ(lab_.AwaitEvent("Volume", "v1", "Unhealthy"), "I/O errors");
  lab_.AwaitCondition(kPool(), "fast", "DevicesHealthy", "False", "DevicesUnhealthy");
}

TEST_F(ControllerAppTest, APoolWithVolumesIsNotDeleted) {
  auto agent = lab_.AddNode("n1", 10 * kGi);
  lab_.MakePool("fast");
  lab_.MakeVolume("v1", "1Gi");
  lab_.Start();
  lab_.AwaitCarved("v1");
  lab_.Delete(kPool(), "fast");
  EXPECT_EQ(lab_.AwaitCondition(kPool(), "fast", "Ready", "False", "DeletionBlocked"),
            "the deletion waits for 1 volume: v1");
  EXPECT_THAT(lab_.AwaitEvent("Pool", "fast", "DeletionBlocked"), HasSubstr("v1"));
  lab_.Delete(kVolume(), "v1");
  lab_.AwaitGone(kPool(), "fast");
  EXPECT_THAT(agent->Pools(), IsEmpty());
}

TEST_F(ControllerAppTest, ANodeInventoryShowsTheDrives) {
  agent::v1::Drive drive;
  drive.set_id("wwid-1");
  drive.set_size_bytes(kGi);
  drive.set_busy_reason("partition table");
  lab_.AddNode("n1", 10 * kGi)->AddDrive(drive);
  lab_.Start();
  lab_.AwaitCondition(kInventory(), "n1", "Ready", "True", "Ready");
  const auto object = lab_.server.Get({}, kInventory(), {"", "n1"});
  const auto inventory = api::FromJson<v1alpha1::NodeInventory>(*object);
  ASSERT_TRUE(inventory.ok()) << inventory.status();
  EXPECT_EQ(inventory->status().drives(0).state(), "InUse");
  EXPECT_EQ(inventory->status().drives(0).reason(), "partition table");
  EXPECT_EQ(inventory->status().drive_count(), 1);
  lab_.RemoveNode("n1");
  lab_.AwaitGone(kInventory(), "n1");
}

// A failure at each step of a volume's life, before or after its effect: what was begun is
// finished, and nothing is done twice.
struct Step {
  const char* name;
  std::function<void(ControllerLab&)> fail;
};

std::vector<Step> Steps() {
  auto agent = [](const char* method, FakeAgent::When when) {
    return [method, when](ControllerLab& lab) {
      lab.agents["n1"]->FailNext(method, absl::UnavailableError("killed"), 1, when);
    };
  };
  auto server = [](const char* verb) {
    return [verb](ControllerLab& lab) {
      lab.client.FailNext(verb, absl::UnavailableError("killed"), 2);
    };
  };
  return {{"agent before carving", agent("EnsureVolume", FakeAgent::When::kBefore)},
          {"agent after carving", agent("EnsureVolume", FakeAgent::When::kAfter)},
          {"agent before growing", agent("ResizeVolume", FakeAgent::When::kBefore)},
          {"agent after growing", agent("ResizeVolume", FakeAgent::When::kAfter)},
          {"agent before removing", agent("RemoveVolume", FakeAgent::When::kBefore)},
          {"agent after removing", agent("RemoveVolume", FakeAgent::When::kAfter)},
          {"agent before making the pool", agent("EnsurePool", FakeAgent::When::kBefore)},
          {"agent after making the pool", agent("EnsurePool", FakeAgent::When::kAfter)},
          {"server at an update", server("update")}};
}

TEST(ControllerAppRetries, EveryStepMayFail) {
  for (const Step& step : Steps()) {
    SCOPED_TRACE(step.name);
    RealClock clock;
    ControllerLab lab(clock);
    lab.options.pool.slow_retry = absl::Milliseconds(20);
    auto agent = lab.AddNode("n1", 10 * kGi);
    step.fail(lab);
    lab.MakePool("fast");
    lab.MakeVolume("v1", "6Gi");
    lab.Start();
    lab.AwaitCarved("v1");
    lab.Change(kVolume(), "v1", [](Json& volume) { volume["spec"]["size"] = "8Gi"; });
    lab.Await(kVolume(), "v1", [](const Json* volume) {
      return JsonString(*volume, {"status", "size"}) == "8Gi";
    });
    EXPECT_THAT(agent->Volumes(), ElementsAre("v1"));
    lab.Delete(kVolume(), "v1");
    lab.AwaitGone(kVolume(), "v1");
    EXPECT_THAT(agent->Volumes(), IsEmpty());
    // The bytes are free again: nothing is promised to what is gone.
    lab.MakeVolume("v2", "10Gi");
    lab.AwaitCarved("v2");
  }
}

TEST(ControllerAppRetries, AControllerThatIsKilledBetweenAnyTwoWritesIsFinishedByTheNext) {
  // The writes of a life: finalizer and status of the pool, node and status of the volume, ...
  for (int writes = 0; writes < 5; ++writes) {
    SCOPED_TRACE(writes);
    RealClock clock;
    ControllerLab lab(clock);
    auto agent = lab.AddNode("n1", 10 * kGi);
    lab.MakePool("fast");
    lab.MakeVolume("v1", "6Gi");
    std::atomic<int> left = writes;
    Mutex mu;
    CondVar blocked_changed;
    bool blocked = false;
    lab.client.SetFault([&](absl::string_view verb, const api::KindInfo& kind,
                            const api::ObjectKey&) -> absl::Status {
      if (verb != "update" || kind.kind == "NodeInventory" || --left >= 0) return absl::OkStatus();
      MutexLock lock(mu);
      blocked = true;
      blocked_changed.NotifyAll();
      return absl::UnavailableError("the process is dead");
    });
    lab.Start();
    {
      MutexLock lock(mu);
      while (!blocked) blocked_changed.Wait(mu);
    }
    lab.Stop();
    lab.client.SetFault(nullptr);
    const auto v1 = lab.server.Get({}, kVolume(), {"", "v1"});
    const bool placed = !JsonString(*v1, {"spec", "nodeName"}).empty();
    // What was promised before is promised still.
    if (placed) lab.MakeVolume("v2", "6Gi");
    lab.Start();
    lab.AwaitCarved("v1");
    if (!placed) lab.MakeVolume("v2", "6Gi");
    EXPECT_EQ(lab.AwaitCarved("v1").spec().node_name(), "n1");
    lab.AwaitRefused("v2", "NoCapacity");
    EXPECT_THAT(agent->Volumes(), ElementsAre("v1"));
    lab.Delete(kVolume(), "v1");
    lab.AwaitCarved("v2");
    EXPECT_THAT(agent->Volumes(), ElementsAre("v2"));
  }
}

// Time stands still until the test moves it on.
class ControllerAppTimeTest : public testing::Test {
 protected:
  // Moves time on in steps that agents can follow with their heartbeats, until `done`.
  void AdvanceUntil(const std::function<bool()>& done) {
    for (int i = 0; i < 2000 && !done(); ++i) {
      clock_.Advance(absl::Seconds(1));
      absl::SleepFor(absl::Milliseconds(5));
    }
    EXPECT_TRUE(done());
  }
  bool Has(const api::KindInfo& kind, const std::string& name, const std::string& type,
           const std::string& reason) {
    auto object = lab_.server.Get({}, kind, {"", name});
    const Json* condition = object.ok() ? ConditionOf(*object, type) : nullptr;
    return condition != nullptr && JsonString(*condition, {"reason"}) == reason;
  }

  SimulatedClock clock_;
  ControllerLab lab_{clock_};
};

TEST_F(ControllerAppTimeTest, ASilentAgentIsToldOfAndHeardAgain) {
  auto agent = lab_.AddNode("n1", 10 * kGi);
  lab_.MakePool("fast");
  lab_.MakeVolume("v1", "1Gi");
  lab_.Start();
  lab_.AwaitCarved("v1");
  lab_.AwaitCondition(kInventory(), "n1", "InventoryFresh", "True", "Heard");
  agent->SetReachable(false);
  AdvanceUntil([&] {
    return Has(kInventory(), "n1", "InventoryFresh", "AgentSilent") &&
           Has(kPool(), "fast", "Ready", "NodesNotReady") &&
           Has(kVolume(), "v1", "Healthy", "AgentUnavailable");
  });
  lab_.MakeVolume("v2", "1Gi");
  EXPECT_THAT(lab_.AwaitCondition(kVolume(), "v2", "Carved", "False", "AgentUnavailable"),
              HasSubstr("n1: its agent is silent: not heard since"));
  agent->SetReachable(true);
  AdvanceUntil([&] {
    return Has(kInventory(), "n1", "InventoryFresh", "Heard") &&
           Has(kVolume(), "v1", "Healthy", "Healthy") && Has(kVolume(), "v2", "Carved", "Carved");
  });
}

TEST_F(ControllerAppTimeTest, AVolumeOfANodeThatIsGoneForGoodIsReleased) {
  lab_.AddNode("n1", 10 * kGi);
  lab_.MakePool("fast");
  lab_.MakeVolume("v1", "1Gi");
  lab_.Start();
  lab_.AwaitCarved("v1");
  lab_.agents["n1"]->SetReachable(false);
  lab_.Delete(kVolume(), "v1");
  AdvanceUntil([&] { return Has(kVolume(), "v1", "Deleted", "AgentUnavailable"); });
  // A silent agent is no reason to let go.
  for (int i = 0; i < 100; ++i) clock_.Advance(absl::Seconds(5));
  EXPECT_TRUE(lab_.server.Get({}, kVolume(), {"", "v1"}).ok());
  lab_.RemoveNode("n1");
  AdvanceUntil([&] { return !lab_.server.Get({}, kVolume(), {"", "v1"}).ok(); });
  EXPECT_THAT(lab_.AwaitEvent("Volume", "v1", "NodeGone"), HasSubstr("node n1 is gone"));
}

TEST_F(ControllerAppTimeTest, AVolumeThatNobodyKnowsIsToldOfAndLeftAlone) {
  auto agent = lab_.AddNode("n1", 10 * kGi);
  lab_.MakePool("fast");
  lab_.Start();
  lab_.AwaitCondition(kPool(), "fast", "Ready", "True", "Ready");
  agent->AddVolume("stranger", "fast", kGi);
  agent->AddVolume("csi-1", "fast", 2 * kGi, true);  // a pod's own, which has no object
  std::string message;
  std::jthread wait([&] { message = lab_.AwaitEvent("NodeInventory", "n1", "UnknownVolume"); });
  AdvanceUntil([&] { return clock_.Now() > absl::FromUnixSeconds(1700000000 + 120); });
  wait.join();
  EXPECT_THAT(message, HasSubstr("volume stranger"));
  const auto events = lab_.server.List({}, kube::kEvent, {});
  ASSERT_TRUE(events.ok());
  for (const Json& event : events->items)
    EXPECT_THAT(JsonString(event, {"message"}), Not(HasSubstr("csi-1")));
  EXPECT_THAT(agent->Volumes(), UnorderedElementsAre("csi-1", "stranger"));
}

TEST_F(ControllerAppTest, AVolumeOfAPodsOwnTakesItsBytesAndIsNobodyElses) {
  auto agent = lab_.AddNode("n1", 10 * kGi);
  lab_.MakePool("fast");
  lab_.Start();
  lab_.AwaitCondition(kPool(), "fast", "Ready", "True", "Ready");
  agent->AddVolume("csi-1", "fast", 7 * kGi, true);
  lab_.Await(kPool(), "fast", [](const Json* pool) {
    return pool != nullptr && JsonString(*pool, {"status", "allocated"}) == "7Gi";
  });
  lab_.MakeVolume("large", "4Gi");
  lab_.AwaitCondition(kVolume(), "large", "Carved", "False", "NoCapacity");
  // An object of that name has nothing to do with it, and is refused by the agent.
  lab_.MakeVolume("csi-1", "1Gi");
  lab_.AwaitCondition(kVolume(), "csi-1", "Carved", "False", "CarveFailed");
  lab_.Delete(kVolume(), "csi-1");
  lab_.AwaitGone(kVolume(), "csi-1");
  EXPECT_THAT(agent->Volumes(), ElementsAre("csi-1"));
}

TEST_F(ControllerAppTest, VolumesOfOtherNodesGoOnWhileTheAgentOfOneHangs) {
  lab_.options.volume.calls_per_node = lab_.options.volume_workers / 2;
  auto hanging = lab_.AddNode("n1", 100 * kGi), other = lab_.AddNode("n2", 100 * kGi);
  lab_.MakePool("fast");
  lab_.Start();
  lab_.AwaitCondition(kPool(), "fast", "Ready", "True", "Ready");
  hanging->SetFrozen(true);
  const int many = lab_.options.volume_workers + 8;
  for (int i = 0; i < many; ++i)
    lab_.MakeVolume("slow" + std::to_string(i), "1Gi", {{"nodeName", "n1"}});
  hanging->AwaitCalls("EnsureVolume", lab_.options.volume.calls_per_node);
  lab_.MakeVolume("v1", "1Gi", {{"nodeName", "n2"}});
  lab_.AwaitCarved("v1");
  EXPECT_EQ(hanging->Calls("EnsureVolume"), lab_.options.volume.calls_per_node);
  hanging->SetFrozen(false);
  for (int i = 0; i < many; ++i) lab_.AwaitCarved("slow" + std::to_string(i));
}

TEST_F(ControllerAppTest, AGrowthThatIsTakenBackGivesItsPromiseBack) {
  auto agent = lab_.AddNode("n1", 10 * kGi);
  lab_.MakePool("fast");
  lab_.Start();
  lab_.AwaitCondition(kPool(), "fast", "Ready", "True", "Ready");
  lab_.MakeVolume("v1", "1Gi");
  lab_.AwaitCarved("v1");
  // Says nothing of its outcome, so the bytes stay promised.
  agent->FailNext("ResizeVolume", absl::UnavailableError("no answer"), 1000000);
  lab_.Change(kVolume(), "v1", [](Json& volume) { volume["spec"]["size"] = "5Gi"; });
  lab_.AwaitRefused("v1", "AgentUnavailable");
  lab_.Change(kVolume(), "v1", [](Json& volume) { volume["spec"]["size"] = "1Gi"; });
  lab_.AwaitCondition(kVolume(), "v1", "Carved", "True", "Carved");
  lab_.MakeVolume("v2", "9000Mi");
  lab_.AwaitCarved("v2");
}

TEST_F(ControllerAppTest, AFollowerTakesOver) {
  lab_.options.leader_elect = true;
  lab_.AddNode("n1", 10 * kGi);
  lab_.MakePool("fast");
  lab_.Start();
  lab_.AwaitCondition(kPool(), "fast", "Ready", "True", "Ready");
  metrics::Registry registry;
  ControllerAppOptions options = lab_.options;
  options.identity = "replica-2";
  ControllerApp second(options, lab_.client, lab_.connector, clock_, registry);
  std::jthread thread([&](std::stop_token stop) {
    CallContext context;
    context.stop = stop;
    EXPECT_TRUE(second.Run(context).ok());
  });
  lab_.Stop();  // gives the lease up
  lab_.MakeVolume("v1", "1Gi");
  lab_.AwaitCarved("v1");
  EXPECT_TRUE(second.leading());
  EXPECT_TRUE(second.Ready().ok());
}

}  // namespace
}  // namespace ashlar::controller
