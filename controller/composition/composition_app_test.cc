// Compositions with the whole controller, an API server and agents in memory.
#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "ashlar/k8s/resource.codec.h"
#include "ashlar/v1alpha1/composition.codec.h"
#include "ashlar/v1alpha1/gpu_partition.codec.h"
#include "controller/composition/gang_scheduler.h"
#include "controller/dra_names/device_names.h"
#include "controller/gpu_partition/testing/hopper.h"
#include "controller/testing/controller_lab.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/kube/core_kinds.h"

namespace ashlar::controller {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using v1alpha1::ComposedMember;

const api::KindInfo& kComposition = api::Kind<v1alpha1::Composition>();
const api::KindInfo& kClaim = api::Kind<k8s::ResourceClaim>();
const api::KindInfo& kVolume = api::Kind<v1alpha1::Volume>();

// The switch of a GPU or a drive: one of two, each below a root of its own.
std::string SwitchOf(int number) { return absl::StrCat("0000:", 10 + number, ":00.0"); }

v1alpha1::Gpu GpuBehind(const std::string& uuid, int number) {
  v1alpha1::Gpu gpu = Hopper(uuid);
  gpu.set_pcie_switch(SwitchOf(number));
  gpu.set_pcie_root(absl::StrCat("pci0000:", number));
  gpu.set_numa_node(0);
  return gpu;
}

agent::v1::Drive DriveBehind(const std::string& id, int number) {
  agent::v1::Drive drive;
  drive.set_id(id);
  drive.set_serial(id);
  agent::v1::DrivePath& path = *drive.add_paths();
  path.set_pcie_root(absl::StrCat("pci0000:", number));
  for (const std::string& port : {std::string("0000:00:01.0"), SwitchOf(number),
                                  std::string("0000:12:00.0"), std::string("0000:13:00.0")})
    path.add_pci(port);
  return drive;
}

class CompositionApp : public testing::Test {
 protected:
  // Two nodes, each with two switches, and a GPU and 100 GiB behind each.
  CompositionApp() {
    for (const std::string node : {"n1", "n2"}) {
      const auto agent = lab_.AddNode(node, 0);
      agent->SetPoolDrives({{"S0", 100 * kGi}, {"S1", 100 * kGi}});
      for (int i : {0, 1}) {
        agent->AddDrive(DriveBehind(absl::StrCat("S", i), i));
        agent->AddGpu(GpuBehind(absl::StrCat("GPU-", node, i), i));
      }
    }
    lab_.options.composition.soon = absl::Milliseconds(100);
    lab_.options.composition.look = absl::Milliseconds(500);
    lab_.options.composition.moves = absl::Milliseconds(100);
    lab_.Start();
    lab_.MakePool("fast");
    for (const char* node : {"n1", "n2"}) {
      lab_.Await(api::Kind<v1alpha1::NodeInventory>(), node,
                 [](const Json* now) { return now != nullptr; });
      lab_.Change(api::Kind<v1alpha1::NodeInventory>(), node,
                  [](Json& inventory) { inventory["spec"]["gpuOwnership"] = "Manage"; });
    }
  }

  static Json Worker(int replicas, int gpus, const std::string& size) {
    return {
        {"name", "worker"},
        {"replicas", replicas},
        {"gpus", Json::array({{{"name", "gpu"}, {"count", gpus}}})},
        {"volumes", Json::array({{{"name", "scratch"}, {"size", size}, {"pool", "fast"}}})},
        {"constraints", Json::array({{{"requests", {"gpu", "scratch"}}, {"level", "Switch"}}})}};
  }
  void Make(const std::string& name, const Json& member, const Json& more = Json::object()) {
    Json spec = {{"members", Json::array({member})}};
    spec.update(more);
    const auto made = lab_.server.Create({}, kComposition,
                                         {{"apiVersion", "ashlar.dev/v1alpha1"},
                                          {"kind", "Composition"},
                                          {"metadata", {{"name", name}, {"namespace", "team"}}},
                                          {"spec", spec}});
    ASSERT_TRUE(made.ok()) << made.status();
  }
  v1alpha1::Composition Get(const std::string& name) {
    const auto object = lab_.server.Get({}, kComposition, {"team", name});
    const auto read = api::FromJson<v1alpha1::Composition>(object.ok() ? *object : Json());
    return read.ok() ? *read : v1alpha1::Composition();
  }
  v1alpha1::Composition AwaitReady(const std::string& name) {
    lab_.AwaitCondition(kComposition, name, "Ready", "True", "Ready");
    return Get(name);
  }
  // Until the refusal is that, word for word. Reports of agents come one by one.
  void AwaitRefusal(const std::string& name, const std::string& message) {
    lab_.Await(kComposition, name, [&](const Json* now) {
      const Json* ready = now == nullptr ? nullptr : ConditionOf(*now, "Ready");
      return ready != nullptr && JsonString(*ready, {"status"}) == "False" &&
             JsonString(*ready, {"reason"}) == "NoRoom" &&
             JsonString(*ready, {"message"}) == message;
    });
  }
  void Delete(const std::string& name) {
    ASSERT_TRUE(lab_.server.Delete({}, kComposition, {"team", name}, {}).ok());
  }
  std::vector<Json> All(const api::KindInfo& kind) {
    const auto list = lab_.server.List({}, kind, {});
    return list.ok() ? list->items : std::vector<Json>{Json("not listed")};
  }
  void ExpectNothingLeft() {
    EXPECT_THAT(All(kClaim), IsEmpty());
    EXPECT_THAT(All(kVolume), IsEmpty());
    EXPECT_THAT(All(kube::kPersistentVolume), IsEmpty());
    EXPECT_THAT(All(kube::kPersistentVolumeClaim), IsEmpty());
    EXPECT_THAT(All(kube::kConfigMap), IsEmpty());
    for (const auto& [name, agent] : lab_.agents) EXPECT_THAT(agent->Volumes(), IsEmpty()) << name;
  }
  // As the scheduler does it.
  void Allocate(const std::string& claim, const std::string& node, const std::string& device,
                bool reserve) {
    auto object = lab_.server.Get({}, kClaim, {"team", claim});
    ASSERT_TRUE(object.ok()) << object.status();
    (*object)["status"]["allocation"]["devices"]["results"] = Json::array(
        {{{"request", "gpu-0"}, {"driver", kGpuDriver}, {"pool", node}, {"device", device}}});
    if (reserve)
      (*object)["status"]["reservedFor"] =
          Json::array({{{"resource", "pods"}, {"name", "p"}, {"uid", "u"}}});
    const auto written = lab_.server.Update({}, kClaim, *object, kube::Subresource::kStatus);
    ASSERT_TRUE(written.ok()) << written.status();
  }

  RealClock clock_;
  ControllerLab lab_{clock_};
};

TEST_F(CompositionApp, FourMembersOverTwoNodesBecomeReady) {
  Make("train", Worker(4, 1, "60Gi"), {{"subdomain", "gang"}});
  const v1alpha1::Composition train = AwaitReady("train");
  ASSERT_THAT(train.status().members(), SizeIs(4));
  EXPECT_EQ(train.status().node_count(), 2);
  std::set<std::string> gpus;
  for (int i = 0; i < 4; ++i) {
    const ComposedMember& member = train.status().members(i);
    EXPECT_EQ(member.name(), absl::StrCat("worker-", i));
    EXPECT_EQ(member.rank(), i);
    EXPECT_EQ(member.node(), i < 2 ? "n1" : "n2");
    EXPECT_THAT(member.achieved_levels(), ElementsAre("Switch"));
    EXPECT_TRUE(gpus.insert(member.gpus(0).gpu()).second) << "given twice";
    const v1alpha1::Volume volume = lab_.AwaitCarved(member.volumes(0).volume());
    EXPECT_EQ(volume.spec().node_name(), member.node());
    // The drive behind the GPU's switch: S0 is behind that of GPU-n10.
    EXPECT_EQ(volume.status().device().drive().back(), member.gpus(0).gpu().back());
    const auto claim = lab_.server.Get({}, kClaim, {"team", absl::StrCat("train-worker-", i)});
    ASSERT_TRUE(claim.ok()) << claim.status();
    EXPECT_THAT(claim->dump(), HasSubstr(member.gpus(0).gpu()));
    EXPECT_EQ(JsonString((*claim)["metadata"]["ownerReferences"][0], {"uid"}),
              train.metadata().uid());
    const std::string name = absl::StrCat("train-worker-", i, "-scratch");
    const auto shown = lab_.server.Get({}, kube::kPersistentVolumeClaim, {"team", name});
    ASSERT_TRUE(shown.ok()) << shown.status();
    const auto pv = lab_.server.Get({}, kube::kPersistentVolume,
                                    {"", JsonString(*shown, {"spec", "volumeName"})});
    ASSERT_TRUE(pv.ok()) << pv.status();
    EXPECT_EQ(JsonString(*pv, {"spec", "csi", "volumeHandle"}), volume.metadata().name());
    EXPECT_EQ(JsonString(*pv, {"spec", "claimRef", "name"}), name);
  }
  const auto gang = lab_.server.Get({}, kube::kConfigMap, {"team", "train-gang"});
  ASSERT_TRUE(gang.ok()) << gang.status();
  EXPECT_EQ(JsonString(*gang, {"data", "hostfile"}),
            "train-worker-0.gang slots=1\ntrain-worker-1.gang slots=1\n"
            "train-worker-2.gang slots=1\ntrain-worker-3.gang slots=1\n");
  EXPECT_EQ(JsonString(*gang, {"data", "PET_MASTER_ADDR"}), "train-worker-0.gang");
  EXPECT_EQ(JsonString(*gang, {"data", "PET_NNODES"}), "4");
  EXPECT_EQ(JsonString(*gang, {"data", "worker-3.rank"}), "3");
  Delete("train");
  lab_.AwaitGone(kComposition, "train");
  ExpectNothingLeft();
}

TEST_F(CompositionApp, OneThatCannotFitIsRefusedAndSaysWhatWould) {
  Make("huge", Worker(4, 1, "150Gi"));
  AwaitRefusal("huge",
               "0 of 4 members fit. Node n1 and 1 alike, worker: scratch: 150Gi of pool fast: no "
               "drive has so much left; largest scratch that fits: 100Gi.");
  const v1alpha1::Composition huge = Get("huge");
  ASSERT_THAT(huge.status().unsatisfied(), SizeIs(1));
  EXPECT_EQ(huge.status().unsatisfied(0).constraint(), "scratch: 150Gi of pool fast");
  EXPECT_EQ(huge.status().unsatisfied(0).nearest(), "largest scratch that fits: 100Gi");
  Make("five", Worker(5, 1, "10Gi"));
  AwaitRefusal("five",
               "4 of 5 members fit. Node n1 and 1 alike, after 2 of worker: gpu: 1 GPU: none is "
               "free.");
  Make("far", Worker(1, 2, "10Gi"));
  AwaitRefusal(
      "far",
      "0 of 1 member fits. Node n1 and 1 alike, worker: gpu and scratch within Switch: best "
      "level there is: NUMANode.");
  ExpectNothingLeft();
}

TEST_F(CompositionApp, OneThatWouldFitAfterAMoveSaysSoAndIsNotGivenIt) {
  std::map<std::string, std::vector<std::string>> by_node;
  for (const char* name : {"a", "b", "c"}) {
    Make(name, Worker(1, 1, "10Gi"));
    by_node[AwaitReady(name).status().members(0).node()].emplace_back(name);
  }
  // One is left on each node.
  const auto& [full, pair] = *std::find_if(by_node.begin(), by_node.end(),
                                           [](const auto& one) { return one.second.size() == 2; });
  Delete(pair[1]);
  lab_.AwaitGone(kComposition, pair[1]);
  const Json whole = {{"name", "whole"}, {"gpus", Json::array({{{"name", "gpu"}, {"count", 2}}})}};
  Make("whole", whole);
  const auto moves = [](const Json* now, const char* key) {
    return now == nullptr ? nullptr : FindJson(*now, {"status", "moves", key});
  };
  lab_.Await(kComposition, "whole", [&](const Json* now) {
    const Json* planned = moves(now, "moves");
    return planned != nullptr && planned->size() == 1;
  });
  const v1alpha1::CompositionMoves plan = Get("whole").status().moves();
  EXPECT_EQ(plan.movable(), 2);
  EXPECT_THAT(plan.moves(0).what(), HasSubstr("Composition team/"));
  EXPECT_THAT(plan.moves(0).what(), HasSubstr(" member worker-0"));
  EXPECT_NE(plan.moves(0).from().substr(0, 2), plan.moves(0).to().substr(0, 2));
  EXPECT_EQ(Get("whole").status().members_size(), 0) << "nothing is moved, or given";
  for (const char* name : {"whole", "a", "b", "c"})
    if (name != pair[1]) Delete(name);
  for (const char* name : {"whole", "a", "b", "c"}) lab_.AwaitGone(kComposition, name);
  ExpectNothingLeft();
}

TEST_F(CompositionApp, GpusThatAreNotAshlarsAreNotGiven) {
  const api::KindInfo& kInventory = api::Kind<v1alpha1::NodeInventory>();
  lab_.AwaitCondition(kInventory, "n1", "OwnershipConflict", "False", "NoOtherOwner");
  lab_.Change(kInventory, "n1",
              [](Json& inventory) { inventory["spec"]["gpuOwnership"] = "Observe"; });
  lab_.Await(kInventory, "n1", [](const Json* now) {
    return now != nullptr && ConditionOf(*now, "OwnershipConflict") == nullptr;
  });
  auto node = lab_.server.Get({}, kube::kNode, {"", "n2"});
  ASSERT_TRUE(node.ok()) << node.status();
  (*node)["status"]["allocatable"]["nvidia.com/gpu"] = "2";  // a device plugin
  lab_.server.Put(kube::kNode, *node);
  lab_.AwaitCondition(kInventory, "n2", "OwnershipConflict", "True", "OtherOwner");
  Make("train", Worker(1, 1, "10Gi"));
  AwaitRefusal("train",
               "0 of 1 member fits. Node n1, worker: gpu: 1 GPU: no usable GPU can give it: "
               "gpuOwnership of its NodeInventory is Observe, so its GPUs are not Ashlar's to give."
               " Node n2, worker: gpu: 1 GPU: no usable GPU can give it: its GPUs are handed out by"
               " a device plugin that offers nvidia.com/gpu too (OwnershipConflict), so Ashlar "
               "gives none.");
  ExpectNothingLeft();
  lab_.Change(kInventory, "n1",
              [](Json& inventory) { inventory["spec"]["gpuOwnership"] = "Manage"; });
  EXPECT_EQ(AwaitReady("train").status().members(0).node(), "n1");
}

TEST_F(CompositionApp, AMemberWhoseDeviceIsIllIsNamedUntilItIsHealed) {
  Make("train", Worker(1, 1, "10Gi"));
  const ComposedMember member = AwaitReady("train").status().members(0);
  lab_.AwaitCondition(kComposition, "train", "Degraded", "False", "Healthy");
  const std::string& uuid = member.gpus(0).gpu();
  const int number = uuid.back() - '0';
  v1alpha1::Gpu ill = GpuBehind(uuid, number);
  v1alpha1::GpuXid& xid = *ill.mutable_health()->add_xids();
  xid.set_code(79);
  lab_.agents[member.node()]->PutGpu(ill);
  EXPECT_EQ(lab_.AwaitCondition(kComposition, "train", "Degraded", "True", "MemberProblem"),
            absl::StrCat("worker-0 on node ", member.node(), ": GPU ", uuid, ": XID 79"));
  EXPECT_THAT(lab_.AwaitEvent("Composition", "train", "Degraded"), HasSubstr(uuid));
  lab_.agents[member.node()]->PutGpu(GpuBehind(uuid, number));
  lab_.AwaitCondition(kComposition, "train", "Degraded", "False", "Healthy");
  lab_.agents[member.node()]->SetUnhealthy(member.volumes(0).volume(), "it reads no more");
  EXPECT_EQ(lab_.AwaitCondition(kComposition, "train", "Degraded", "True", "MemberProblem"),
            absl::StrCat("worker-0 on node ", member.node(), ": volume scratch (",
                         member.volumes(0).volume(), "): it reads no more"));
  lab_.agents[member.node()]->SetUnhealthy(member.volumes(0).volume(), "");
  lab_.AwaitCondition(kComposition, "train", "Degraded", "False", "Healthy");
  lab_.Delete(kube::kNode, member.node());
  EXPECT_EQ(lab_.AwaitCondition(kComposition, "train", "Degraded", "True", "MemberProblem"),
            absl::StrCat("worker-0: node ", member.node(), " is gone"));
}

TEST_F(CompositionApp, ASchedulerOfGangsIsToldWhenItIsInstalled) {
  const api::KindInfo& kGroup = *GangKindOf("Volcano");
  const Json gang = {{"gangScheduler", "Volcano"}};
  Make("train", Worker(2, 1, "10Gi"), gang);
  AwaitReady("train");
  EXPECT_EQ(lab_.AwaitCondition(kComposition, "train", "SchedulerTold", "False", "NotInstalled"),
            "gangScheduler is Volcano, which is not installed: the API server has no podgroups of "
            "scheduling.volcano.sh/v1beta1");
  lab_.server.Serve(kGroup);
  EXPECT_EQ(lab_.AwaitCondition(kComposition, "train", "SchedulerTold", "True", "Told"),
            "PodGroup train of scheduling.volcano.sh/v1beta1; pods must bear: schedulerName "
            "volcano, annotation scheduling.k8s.io/group-name=train");
  const auto group = lab_.server.Get({}, kGroup, {"team", "train"});
  ASSERT_TRUE(group.ok()) << group.status();
  EXPECT_EQ((*group)["spec"]["minMember"], 2);
  EXPECT_EQ((*group)["metadata"]["ownerReferences"][0]["name"], "train");
  ASSERT_TRUE(lab_.server.Delete({}, kGroup, {"team", "train"}, {}).ok());
  lab_.Await(kGroup, "train", [](const Json* now) { return now != nullptr; });
  AwaitReady("train");
  Delete("train");
  lab_.AwaitGone(kComposition, "train");
  EXPECT_THAT(All(kGroup), IsEmpty());
  ExpectNothingLeft();
}

TEST_F(CompositionApp, AGroupOfSomebodyElseIsLeftAlone) {
  const api::KindInfo& kGroup = *GangKindOf("Coscheduling");
  lab_.server.Serve(kGroup);
  ASSERT_TRUE(lab_.server
                  .Create({}, kGroup,
                          {{"apiVersion", kGroup.ApiVersion()},
                           {"kind", "PodGroup"},
                           {"metadata", {{"name", "train"}, {"namespace", "team"}}},
                           {"spec", {{"minMember", 7}}}})
                  .ok());
  Make("train", Worker(1, 1, "10Gi"));
  EXPECT_EQ(lab_.AwaitCondition(kComposition, "train", "SchedulerTold", "False", "NameTaken"),
            "PodGroup train is somebody else's; delete it, or give the Composition another name");
  AwaitReady("train");
  EXPECT_EQ(Get("train").status().gang_scheduler().name(), "Coscheduling");
  Delete("train");
  lab_.AwaitGone(kComposition, "train");
  EXPECT_THAT(All(kGroup), SizeIs(1));
}

TEST_F(CompositionApp, AnExpiredReservationFreesEverything) {
  Make("idle", Worker(4, 1, "60Gi"), {{"reservation", {{"ttlSeconds", 3}}}});
  // Ready or not: a slow machine may still be carving then.
  lab_.AwaitCondition(kComposition, "idle", "Planned", "True", "Planned");
  EXPECT_EQ(lab_.AwaitCondition(kComposition, "idle", "Released", "True", "Expired"),
            "no pod has used it for 3s");
  ExpectNothingLeft();
  EXPECT_THAT(Get("idle").status().members(), IsEmpty());
  Make("next", Worker(4, 1, "60Gi"));
  AwaitReady("next");
}

TEST_F(CompositionApp, WhatPodsUseDoesNotExpire) {
  Make("busy", Worker(1, 1, "10Gi"));
  const ComposedMember member = AwaitReady("busy").status().members(0);
  Allocate("busy-worker-0", member.node(), member.gpus(0).device(), true);
  lab_.AwaitCondition(kComposition, "busy", "Ready", "True", "InUse");
  EXPECT_FALSE(Get("busy").status().has_reserved_until());
  // Its time begins anew with the last pod's end.
  auto claim = lab_.server.Get({}, kClaim, {"team", "busy-worker-0"});
  (*claim)["status"].erase("reservedFor");
  ASSERT_TRUE(lab_.server.Update({}, kClaim, *claim, kube::Subresource::kStatus).ok());
  AwaitReady("busy");
  EXPECT_TRUE(Get("busy").status().has_reserved_until());
}

TEST_F(CompositionApp, WhatIsReservedIsNobodyElses) {
  Make("first", Worker(4, 1, "60Gi"));
  AwaitReady("first");
  Make("second", Worker(1, 1, "10Gi"));
  EXPECT_THAT(lab_.AwaitCondition(kComposition, "second", "Ready", "False", "NoRoom"),
              HasSubstr("gpu: 1 GPU: none is free"));
  const auto made = lab_.server.Create({}, api::Kind<v1alpha1::GPUPartition>(),
                                       {{"apiVersion", "ashlar.dev/v1alpha1"},
                                        {"kind", "GPUPartition"},
                                        {"metadata", {{"name", "part"}, {"namespace", "team"}}},
                                        {"spec", {{"profile", "1g.10gb"}, {"count", 1}}}});
  ASSERT_TRUE(made.ok()) << made.status();
  lab_.AwaitCondition(api::Kind<v1alpha1::GPUPartition>(), "part", "Allocated", "False", "NoRoom");
  // Its bytes are taken for everybody.
  lab_.MakeVolume("pvc", "50Gi", {{"drive", "S0"}, {"nodeName", "n1"}});
  lab_.AwaitRefused("pvc", "NoCapacity");
  Delete("first");
  lab_.AwaitGone(kComposition, "first");
  lab_.AwaitCarved("pvc");
  lab_.AwaitCondition(kComposition, "second", "Planned", "True", "Planned");
  AwaitReady("second");
}

TEST_F(CompositionApp, OneVolumeThatIsRefusedGivesBackAll) {
  const absl::Status full = absl::ResourceExhaustedError("full after all");
  lab_.agents["n1"]->FailNext("EnsureVolume", full, 1000);
  Make("train", Worker(4, 1, "60Gi"));
  EXPECT_THAT(lab_.AwaitEvent("Composition", "train", "VolumeRefused"),
              HasSubstr("full after all"));
  lab_.agents["n1"]->FailNext("EnsureVolume", full, 0);
  AwaitReady("train");
  EXPECT_THAT(All(kVolume), SizeIs(4));
}

TEST_F(CompositionApp, APlaceThatSomebodyTakesBeforeItsUseIsChosenAnew) {
  Make("one", Worker(1, 1, "10Gi"));
  const ComposedMember before = AwaitReady("one").status().members(0);
  ASSERT_TRUE(lab_.server
                  .Create({}, kClaim,
                          {{"apiVersion", "resource.k8s.io/v1"},
                           {"kind", "ResourceClaim"},
                           {"metadata", {{"name", "thief"}, {"namespace", "team"}}},
                           {"spec", Json::object()}})
                  .ok());
  Allocate("thief", before.node(), before.gpus(0).device(), true);
  EXPECT_THAT(lab_.AwaitEvent("Composition", "one", "PlaceTaken"),
              HasSubstr(before.gpus(0).device()));
  lab_.Await(kComposition, "one", [&](const Json* now) {
    const auto read = api::FromJson<v1alpha1::Composition>(*now);
    return read.ok() && !read->status().members().empty() &&
           read->status().members(0).gpus(0).gpu() != before.gpus(0).gpu();
  });
  AwaitReady("one");
}

TEST_F(CompositionApp, SomebodyElsesClaimIsLeftAlone) {
  ASSERT_TRUE(lab_.server
                  .Create({}, kube::kPersistentVolumeClaim,
                          {{"apiVersion", "v1"},
                           {"kind", "PersistentVolumeClaim"},
                           {"metadata", {{"name", "one-worker-0-scratch"}, {"namespace", "team"}}},
                           {"spec", Json::object()}})
                  .ok());
  Make("one", Worker(1, 1, "10Gi"));
  EXPECT_EQ(lab_.AwaitCondition(kComposition, "one", "Provisioned", "False", "NameTaken"),
            "PersistentVolumeClaim one-worker-0-scratch is somebody else's; delete it, or give the "
            "Composition another name");
  Delete("one");
  lab_.AwaitGone(kComposition, "one");
  EXPECT_THAT(All(kube::kPersistentVolumeClaim), SizeIs(1));
}

TEST_F(CompositionApp, AClassSaysWhatIsLeftOpen) {
  Json member = Worker(1, 1, "10Gi");
  member["volumes"][0].erase("pool");
  Make("one", member, {{"className", "gold"}});
  lab_.AwaitCondition(kComposition, "one", "Ready", "False", "NoClass");
  const auto made = lab_.server.Create({}, api::Kind<v1alpha1::CompositionClass>(),
                                       {{"apiVersion", "ashlar.dev/v1alpha1"},
                                        {"kind", "CompositionClass"},
                                        {"metadata", {{"name", "gold"}}},
                                        {"spec", {{"pool", "fast"}, {"maxMembers", 1}}}});
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(AwaitReady("one").status().members(0).volumes(0).pool(), "fast");
  member["replicas"] = 2;
  Make("two", member, {{"className", "gold"}});
  EXPECT_EQ(lab_.AwaitCondition(kComposition, "two", "Ready", "False", "InvalidSpec"),
            "spec.members: Invalid value: 2 members: the class allows 1");
}

}  // namespace
}  // namespace ashlar::controller
