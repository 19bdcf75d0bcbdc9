#include "controller/slices/slice_pool.h"

#include <map>
#include <random>
#include <set>

#include "absl/strings/str_cat.h"
#include "ashlar/k8s/resource.codec.h"
#include "gtest/gtest.h"
#include "lib/kube/object.h"

namespace ashlar::controller {
namespace {

const PoolOwner kOwner{"gpu.ashlar.dev", "node-1", "uid-1"};

k8s::Device Named(const std::string& name, int64_t value = 0, const std::string& set = "") {
  k8s::Device device;
  device.set_name(name);
  (*device.mutable_attributes())["value"].set_int_(value);
  if (!set.empty()) {
    k8s::DeviceCounterConsumption& consumed = *device.add_consumes_counters();
    consumed.set_counter_set(set);
    (*consumed.mutable_counters())["slices"].set_value(1);
  }
  return device;
}

// An API server that holds the slices of one pool, and what a scheduler makes of them.
class Server {
 public:
  void Apply(const SliceWrite& write) {
    const std::string name = kube::KeyOf(write.object).name;
    if (write.kind == SliceWrite::Kind::kDelete) {
      ASSERT_EQ(slices.erase(name), 1u);
    } else {
      ASSERT_EQ(slices.count(name), write.kind == SliceWrite::Kind::kCreate ? 0u : 1u);
      slices[name] = write.object;
      if (Json& spec = slices[name]["spec"]; spec.contains("devices"))
        for (Json& device : spec["devices"])
          for (const std::string& field : off) device.erase(field);
      LearnDropped(write.object, slices[name], dropped);
    }
  }

  std::vector<Json> All() const {
    std::vector<Json> all;
    for (const auto& [name, slice] : slices) all.push_back(slice);
    return all;
  }

  // Devices that can be allocated, by name with their value; none while the pool is incomplete.
  // Fails the test if the pool is invalid.
  std::map<std::string, int64_t> Usable() const {
    int64_t generation = 0;
    std::vector<k8s::ResourceSlice> newest;
    for (const auto& [name, json] : slices) {
      const auto slice = api::FromJson<k8s::ResourceSlice>(json);
      EXPECT_TRUE(slice.ok()) << slice.status();
      if (slice->spec().pool().generation() > generation) newest.clear();
      generation = std::max(generation, slice->spec().pool().generation());
      if (slice->spec().pool().generation() == generation) newest.push_back(*slice);
    }
    std::map<std::string, int64_t> devices;
    std::set<std::string> sets;
    int64_t count = 0;
    for (const k8s::ResourceSlice& slice : newest) {
      if (count != 0) {
        EXPECT_EQ(slice.spec().pool().resource_slice_count(), count);
      }
      count = slice.spec().pool().resource_slice_count();
      for (const k8s::CounterSet& set : slice.spec().shared_counters())
        EXPECT_TRUE(sets.insert(set.name()).second) << set.name();
    }
    EXPECT_LE(newest.size(), static_cast<size_t>(count));
    if (newest.size() < static_cast<size_t>(count)) return {};
    for (const k8s::ResourceSlice& slice : newest) {
      EXPECT_LE(slice.spec().devices_size(), kMaxDevicesPerSlice);
      EXPECT_LE(slice.spec().shared_counters_size(), kMaxCounterSetsPerSlice);
      EXPECT_TRUE(slice.spec().devices().empty() || slice.spec().shared_counters().empty());
      for (const k8s::Device& device : slice.spec().devices()) {
        EXPECT_TRUE(devices.emplace(device.name(), device.attributes().at("value").int_()).second)
            << device.name() << " is there twice";
        for (const auto& consumed : device.consumes_counters())
          EXPECT_EQ(sets.count(consumed.counter_set()), 1u) << consumed.counter_set();
      }
    }
    return devices;
  }

  std::map<std::string, Json> slices;
  std::set<std::string> off;  // fields of devices that it leaves out
  DroppedFields dropped;      // of them those of which it was seen
};

std::vector<SliceContent> Contents(int gpus, int64_t value) {
  std::vector<SliceContent> contents;
  for (int gpu = 0; gpu < gpus; ++gpu) {
    if (gpu % kMaxCounterSetsPerSlice == 0) contents.emplace_back();
    k8s::CounterSet& set = contents.back().counters.emplace_back();
    set.set_name(absl::StrCat("set-", gpu));
    (*set.mutable_counters())["slices"].set_value(7);
  }
  std::vector<k8s::Device> devices;
  for (int gpu = 0; gpu < gpus; ++gpu)
    for (int part = 0; part < 25; ++part)
      devices.push_back(
          Named(absl::StrCat("gpu-", gpu, "-", part), value, absl::StrCat("set-", gpu)));
  for (SliceContent& slice : InSlices(std::move(devices))) contents.push_back(std::move(slice));
  return contents;
}

int Bring(Server& server, const std::vector<SliceContent>& contents) {
  int writes = 0;
  for (const SliceWrite& write : PlanPool(kOwner, server.All(), contents, server.dropped)) {
    server.Apply(write);
    ++writes;
  }
  return writes;
}

TEST(SlicePool, NothingIsWrittenWithoutAChange) {
  Server server;
  EXPECT_EQ(Bring(server, Contents(8, 1)), 5);  // 200 devices and 8 counter sets
  EXPECT_EQ(server.Usable().size(), 200u);
  EXPECT_EQ(Bring(server, Contents(8, 1)), 0);
}

TEST(SlicePool, AChangeOfOneSliceIsOneWriteAfterWhichThePoolIsWhole) {
  Server server;
  std::vector<SliceContent> contents = Contents(8, 1);
  Bring(server, contents);
  (*contents[2].devices[3].mutable_attributes())["value"].set_int_(9);
  EXPECT_EQ(Bring(server, contents), 1);
  EXPECT_EQ(server.Usable().at(contents[2].devices[3].name()), 9);
  EXPECT_EQ(server.Usable().size(), 200u);
}

TEST(SlicePool, BetweenWritesThePoolIsOldNewOrIncompleteAndNeverWrong) {
  std::mt19937 random(1);  // NOLINT(cert-msc51-cpp): the same cases each time
  Server server;
  std::map<std::string, int64_t> old;
  for (int round = 0; round < 100; ++round) {
    const auto contents = Contents(static_cast<int>(random() % 12), random() % 2);
    Server goal;
    Bring(goal, contents);
    // Now and then the writer dies, and another one plans anew.
    for (bool whole = false; !whole;) {
      whole = true;
      for (const SliceWrite& write : PlanPool(kOwner, server.All(), contents, server.dropped)) {
        server.Apply(write);
        const auto usable = server.Usable();
        ASSERT_TRUE(usable.empty() || usable == old || usable == goal.Usable())
            << "round " << round;
        whole = random() % 10 != 0;
        if (!whole) break;
      }
    }
    ASSERT_EQ(server.Usable(), goal.Usable());
    ASSERT_TRUE(PlanPool(kOwner, server.All(), contents, server.dropped).empty());
    old = server.Usable();
  }
}

TEST(SlicePool, WhatTheServerDoesNotKeepIsNotWrittenAgain) {
  Server server;
  server.off = {"bindsToNode", "bindingConditions"};
  std::vector<SliceContent> contents(1);
  k8s::Device device = Named("a");
  device.set_binds_to_node(true);
  device.add_binding_conditions("VolumeReady");
  k8s::DeviceTaint& taint = *device.add_taints();
  taint.set_key("k");
  taint.set_effect("NoSchedule");
  contents[0].devices = {device};
  Bring(server, contents);
  Json& stored = server.slices.begin()->second;
  EXPECT_EQ(server.dropped, server.off);
  stored["spec"]["devices"][0]["taints"][0]["timeAdded"] = "2026-01-01T00:00:00Z";
  EXPECT_EQ(Bring(server, contents), 0);
  // What somebody else changed is.
  stored["spec"]["devices"][0]["attributes"]["value"]["int"] = 5;
  EXPECT_EQ(Bring(server, contents), 1);
  EXPECT_EQ(server.Usable().at("a"), 0);
  EXPECT_EQ(server.slices.begin()->second["spec"]["devices"][0]["taints"][0]["timeAdded"],
            "2026-01-01T00:00:00Z");
}

TEST(SlicePool, ATaintThatComesLaterIsWrittenOnceAlsoWhereTaintsAreOff) {
  for (const bool keeps : {true, false}) {
    SCOPED_TRACE(keeps);
    Server server;
    if (!keeps) server.off = {"taints"};
    std::vector<SliceContent> contents(1);
    contents[0].devices = {Named("a"), Named("b")};
    Bring(server, contents);
    k8s::DeviceTaint& taint = *contents[0].devices[1].add_taints();
    taint.set_key("k");
    taint.set_effect("NoSchedule");
    EXPECT_EQ(Bring(server, contents), 1);
    EXPECT_EQ(server.slices.begin()->second["spec"]["devices"][1].contains("taints"), keeps);
    EXPECT_EQ(Bring(server, contents), 0);
    contents[0].devices[1].clear_taints();
    EXPECT_EQ(Bring(server, contents), keeps ? 1 : 0);
  }
}

TEST(SlicePool, AThousandNodesCostAsManyWritesAsChanges) {
  constexpr int kNodes = 1000;
  std::vector<Server> servers(kNodes);
  std::vector<std::vector<SliceContent>> contents(kNodes);
  int writes = 0;
  const auto bring_all = [&] {
    writes = 0;
    for (int i = 0; i < kNodes; ++i) {
      const PoolOwner owner{"nvme.ashlar.dev", absl::StrCat("node-", i), "uid"};
      for (const SliceWrite& write : PlanPool(owner, servers[i].All(), contents[i], {})) {
        servers[i].Apply(write);
        ++writes;
      }
    }
  };
  for (auto& node : contents) {
    node.resize(1);
    for (int drive = 0; drive < 8; ++drive)
      node[0].devices.push_back(Named(absl::StrCat("drive-", drive)));
  }
  bring_all();
  EXPECT_EQ(writes, kNodes);
  bring_all();
  EXPECT_EQ(writes, 0);
  for (int i = 0; i < kNodes; i += 7)
    (*contents[i][0].devices[i % 8].mutable_attributes())["value"].set_int_(i + 1);
  bring_all();
  EXPECT_EQ(writes, (kNodes + 6) / 7);
}

TEST(SlicePool, SlicesOfANodeWithALongNameHaveNamesOfTheirOwn) {
  const PoolOwner a{"nvme.ashlar.dev", std::string(253, 'a'), ""};
  const PoolOwner b{"nvme.ashlar.dev", std::string(252, 'a') + "b", ""};
  EXPECT_NE(SliceName(a, 0), SliceName(b, 0));
  EXPECT_LE(SliceName(a, 99).size(), 253u);
}

}  // namespace
}  // namespace ashlar::controller
