// Compositions, GPUPartitions, claims and CSI volumes come and go, devices fail and heal, reports
// come late: nothing is ever given twice. Who owns what is kept here a second time, slice by slice
// and byte by byte.
#include <map>
#include <random>
#include <set>

#include "absl/strings/str_cat.h"
#include "controller/agents/agent_report.h"
#include "controller/composition/gang_choice.h"
#include "controller/dra_names/device_names.h"
#include "controller/gpu_partition/part_choice.h"
#include "controller/placement/capacity_ledger.h"
#include "gtest/gtest.h"

namespace ashlar::controller {
namespace {

using agent::v1::Inventory;
using v1alpha1::ComposedMember;
using v1alpha1::GPUPartitionAllocation;

constexpr int64_t kMi = int64_t{1} << 20;
constexpr int64_t kDriveBytes = 8 * kMi;
constexpr int kSlices = 4;

// A GPU of four memory slices.
v1alpha1::Gpu SmallGpu(const std::string& uuid, const std::string& pcie_switch) {
  v1alpha1::Gpu gpu;
  gpu.set_uuid(uuid);
  gpu.set_product("small");
  gpu.set_architecture("Hopper");
  gpu.set_pcie_switch(pcie_switch);
  gpu.set_numa_node(0);
  const auto add = [&](const char* name, int compute, int size, const std::vector<int>& starts) {
    v1alpha1::MigProfile& profile = *gpu.mutable_mig()->add_profiles();
    profile.set_name(name);
    profile.set_compute_slices(compute);
    profile.set_max_instances(static_cast<int32_t>(starts.size()));
    for (const int start : starts) {
      v1alpha1::MigPlacement& place = *profile.add_placements();
      place.set_start(start);
      place.set_size(size);
    }
  };
  add("1g.10gb", 1, 1, {0, 1, 2, 3});
  add("2g.20gb", 2, 2, {0, 2});
  return gpu;
}

Inventory EmptyNode(const std::string& name) {
  Inventory node;
  node.set_node(name);
  node.mutable_gpu_driver()->set_state("Ready");
  agent::v1::PoolState& pool = *node.add_pools();
  pool.set_name("fast");
  pool.set_ready(true);
  for (int i : {0, 1}) {
    const std::string pcie_switch = absl::StrCat("0000:1", i, ":00.0");
    *node.add_gpus() = SmallGpu(absl::StrCat("GPU-", name, i, "aaaaa-0000"), pcie_switch);
    agent::v1::Drive& drive = *node.add_drives();
    drive.set_id(absl::StrCat("d", i));
    agent::v1::DrivePath& path = *drive.add_paths();
    for (const std::string& port :
         {std::string("0000:00:01.0"), pcie_switch, std::string("x"), std::string("y")})
      path.add_pci(port);
    pool.add_drives()->set_id(drive.id());
  }
  return node;
}

class World {
 public:
  explicit World(uint32_t seed) : random_(seed), nodes_{EmptyNode("n0"), EmptyNode("n1")} {
    for (size_t n = 0; n < nodes_.size(); ++n) Report(n);
  }

  void Step() {
    switch (Pick(10)) {
      case 0:
      case 1:
        return Compose();
      case 2:
        return Partition();
      case 3:
        return Allocate();
      case 4:
        return AddCsiVolume();
      case 5:
      case 6:
        return Carve();
      case 7:
        return Free();
      case 8:
        return Turn();
      default:
        return Report(Pick(2));
    }
  }

  // All that is left when everything is freed, healed and told: everything.
  void ExpectEmpty() {
    while (!owners_.empty()) Free();
    for (size_t n = 0; n < nodes_.size(); ++n) {
      nodes_[n].mutable_pools(0)->set_ready(true);
      for (v1alpha1::Gpu& gpu : *nodes_[n].mutable_gpus()) gpu.clear_health();
      Report(n);
    }
    EXPECT_TRUE(slices_.empty());
    EXPECT_EQ(ledger_.InFlightBytes("n0", "fast") + ledger_.InFlightBytes("n1", "fast"), 0);
    for (const composer::NodeDevices& node : Stock().inventory.nodes) {
      for (const composer::Gpu& gpu : node.gpus)
        EXPECT_TRUE(!gpu.taken && gpu.used.Empty() && gpu.problem.empty());
      for (const composer::Drive& drive : node.drives)
        EXPECT_EQ(drive.allocatable_bytes, kDriveBytes);
    }
  }

  int given() const { return last_owner_; }

 private:
  struct Volume {
    int owner = 0;
    size_t node = 0;
    std::string drive;  // that was named
    int64_t bytes = 0;
    std::string carved;  // drive that it lies on
  };

  size_t Pick(size_t of) { return random_() % of; }

  // The node's agent tells what is.
  void Report(size_t n) {
    Inventory& node = nodes_[n];
    node.clear_volumes();
    std::map<std::string, int64_t> used;
    for (const auto& [name, volume] : volumes_) {
      if (volume.node != n || volume.carved.empty()) continue;
      agent::v1::VolumeState& state = *node.add_volumes();
      state.set_volume_id(name);
      state.set_pool("fast");
      state.set_drive(volume.carved);
      state.set_size_bytes(volume.bytes);
      used[volume.carved] += volume.bytes;
    }
    agent::v1::PoolState& pool = *node.mutable_pools(0);
    int64_t all = 0, largest = 0;
    for (agent::v1::PoolDriveState& drive : *pool.mutable_drives()) {
      const int64_t left = kDriveBytes - used[drive.id()];
      ASSERT_GE(left, 0);
      drive.set_capacity_bytes(kDriveBytes);
      drive.set_allocatable_bytes(left);
      drive.set_largest_volume_bytes(left);
      all += left;
      largest = std::max(largest, left);
    }
    pool.set_allocatable_bytes(all);
    pool.set_largest_volume_bytes(largest);
    reports_[n] = node;
    ledger_.Observe(node.node(), AgentReport(node).Summary());
  }

  DeviceStock Stock() const {
    std::vector<ComposableNode> nodes;
    for (size_t n = 0; n < nodes_.size(); ++n)
      nodes.push_back({{nodes_[n].node(), "", &reports_[n], Held(n)}, {}});
    std::vector<PromisedBytes> bytes;
    for (const auto& [name, volume] : volumes_)
      bytes.push_back({name, nodes_[volume.node].node(), "fast", volume.drive, volume.bytes});
    return StockOf(nodes, Parts(), bytes);
  }
  std::vector<GPUPartitionAllocation> Parts() const {
    std::vector<GPUPartitionAllocation> parts;
    for (const auto& [owner, promised] : promised_)
      parts.insert(parts.end(), promised.begin(), promised.end());
    return parts;
  }
  std::vector<std::string> Held(size_t n) const {
    std::vector<std::string> names;
    for (const auto& [owner, device] : held_)
      if (device.first == n) names.push_back(device.second);
    return names;
  }

  void Own(int owner, const std::string& gpu, int start, int size) {
    if (size == 0) size = kSlices;
    for (int slice = start; slice < start + size; ++slice)
      ASSERT_TRUE(slices_.try_emplace({gpu, slice}, owner).second) << gpu << " slice " << slice;
  }
  void Promise(int owner, const std::string& node, const std::string& gpu,
               const std::string& profile, int start, int size) {
    Own(owner, gpu, start, size);
    GPUPartitionAllocation& part = promised_[owner].emplace_back();
    part.set_node(node);
    part.set_gpu(gpu);
    part.set_profile(profile);
    part.set_start(start);
    part.set_size(size);
  }
  bool PromiseVolume(int owner, const std::string& name, size_t node, const std::string& drive,
                     int64_t bytes) {
    NodeOffer offer;
    offer.node = nodes_[node].node();
    offer.selected = true;
    offer.agent = AgentState::kHeard;
    VolumeRequest request{.volume = name, .pool = "fast", .size_bytes = bytes, .node = offer.node};
    request.drive = drive;
    if (!std::holds_alternative<Plan>(ledger_.Assign({offer}, request))) return false;
    volumes_[name] = {owner, node, drive, bytes, ""};
    return true;
  }

  void Compose() {
    v1alpha1::Composition object;
    object.mutable_metadata()->set_name("c");
    object.mutable_metadata()->set_uid(absl::StrCat(last_owner_ + 1));
    v1alpha1::CompositionMember& member = *object.mutable_spec()->add_members();
    member.set_name("w");
    member.set_replicas(static_cast<int32_t>(1 + Pick(3)));
    const char* profiles[] = {"", "1g.10gb", "2g.20gb"};
    member.add_gpus()->set_name("gpu");
    member.mutable_gpus(0)->set_profile(profiles[Pick(3)]);
    member.add_volumes()->set_name("data");
    member.mutable_volumes(0)->set_pool("fast");
    member.mutable_volumes(0)->set_size(static_cast<int64_t>(1 + Pick(5)) * kMi);
    v1alpha1::CompositionConstraint& near = *member.add_constraints();
    near.add_requests("gpu");
    near.add_requests("data");
    near.set_level("Switch");
    near.set_enforcement(Pick(2) == 0 ? "Required" : "Preferred");
    const GangChoice choice = ChooseGang(Stock(), object);
    const auto* members = std::get_if<std::vector<ComposedMember>>(&choice);
    if (members == nullptr) return;
    const int owner = ++last_owner_;
    owners_.insert(owner);
    for (const ComposedMember& placed : *members) {
      for (const v1alpha1::ComposedGPU& gpu : placed.gpus())
        Promise(owner, placed.node(), gpu.gpu(), gpu.profile(), gpu.start(), gpu.size());
      for (const v1alpha1::ComposedVolume& volume : placed.volumes())
        // What was chosen can be had: the stock promises no more than the ledger.
        ASSERT_TRUE(PromiseVolume(owner, volume.volume(), placed.node() == "n1" ? 1 : 0,
                                  volume.drive(), volume.bytes()));
    }
  }

  void Partition() {
    std::vector<GpuNodeFacts> nodes;
    for (size_t n = 0; n < nodes_.size(); ++n)
      nodes.push_back({nodes_[n].node(), "", &reports_[n], Held(n)});
    v1alpha1::GPUPartitionSpec spec;
    spec.set_profile(Pick(2) == 0 ? "1g.10gb" : "2g.20gb");
    spec.set_count(static_cast<int32_t>(1 + Pick(2)));
    spec.set_placement_policy(Pick(2) == 0 ? "BestFit" : "Spread");
    const PartChoice choice =
        ChooseParts(controller::StockOf(nodes, Parts(), std::set<std::string>()), spec);
    const auto* parts = std::get_if<std::vector<GPUPartitionAllocation>>(&choice);
    if (parts == nullptr) return;
    const int owner = ++last_owner_;
    owners_.insert(owner);
    for (const GPUPartitionAllocation& part : *parts)
      Promise(owner, part.node(), part.gpu(), part.profile(), part.start(), part.size());
  }

  // The scheduler gives a slice to a claim. It heeds taints and counters: nobody has it.
  void Allocate() {
    const size_t n = Pick(2);
    const std::string gpu = nodes_[n].gpus(static_cast<int>(Pick(2))).uuid();
    const int slice = static_cast<int>(Pick(kSlices));
    if (slices_.count({gpu, slice}) > 0) return;
    const int owner = ++last_owner_;
    owners_.insert(owner);
    Own(owner, gpu, slice, 1);
    held_[owner] = {n, GpuPartDeviceName(gpu, "1g.10gb", slice, 1)};
  }

  void AddCsiVolume() {
    const int owner = ++last_owner_;
    const std::string drive = Pick(2) == 0 ? "" : absl::StrCat("d", Pick(2));
    if (PromiseVolume(owner, absl::StrCat("pvc-", owner), Pick(2), drive,
                      static_cast<int64_t>(1 + Pick(5)) * kMi))
      owners_.insert(owner);
  }

  // An agent makes what was promised, or finds no drive that holds it.
  void Carve() {
    for (auto& [name, volume] : volumes_) {
      if (!volume.carved.empty() || Pick(2) == 0) continue;
      std::map<std::string, int64_t> left = {{"d0", kDriveBytes}, {"d1", kDriveBytes}};
      for (const auto& [other, its] : volumes_)
        if (its.node == volume.node && !its.carved.empty()) left[its.carved] -= its.bytes;
      for (const auto& [drive, bytes] : left)
        if ((volume.drive.empty() || volume.drive == drive) && bytes >= volume.bytes)
          volume.carved = drive;
    }
  }

  void Free() {
    if (owners_.empty()) return;
    auto it = owners_.begin();
    std::advance(it, Pick(owners_.size()));
    const int owner = *it;
    owners_.erase(it);
    std::erase_if(slices_, [&](const auto& slice) { return slice.second == owner; });
    promised_.erase(owner);
    held_.erase(owner);
    for (auto volume = volumes_.begin(); volume != volumes_.end();) {
      if (volume->second.owner != owner) {
        ++volume;
        continue;
      }
      ledger_.Removed(nodes_[volume->second.node].node(), volume->first);
      volume = volumes_.erase(volume);
    }
  }

  // Something fails, or heals.
  void Turn() {
    const size_t n = Pick(2);
    if (Pick(3) == 0) {
      nodes_[n].mutable_pools(0)->set_ready(!nodes_[n].pools(0).ready());
    } else {
      v1alpha1::GpuHealth& health =
          *nodes_[n].mutable_gpus(static_cast<int>(Pick(2)))->mutable_health();
      health.set_problem(health.problem().empty() ? "it is lost" : "");
    }
    Report(n);
  }

  std::mt19937 random_;
  std::vector<Inventory> nodes_;
  Inventory reports_[2];
  CapacityLedger ledger_;
  std::map<std::string, Volume> volumes_;
  std::map<int, std::vector<GPUPartitionAllocation>> promised_;  // by owner
  std::map<int, std::pair<size_t, std::string>> held_;           // by owner: node and device
  std::map<std::pair<std::string, int>, int> slices_;            // of GPUs: owner
  std::set<int> owners_;
  int last_owner_ = 0;
};

TEST(StockProperty, NothingIsGivenTwiceIn100000RandomSequences) {
  int64_t given = 0;
  for (uint32_t seed = 0; seed < 100'000 && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    World world(seed);
    for (int step = 0; step < 8; ++step) world.Step();
    given += world.given();
    world.ExpectEmpty();
  }
  EXPECT_GT(given, 150'000);
}

}  // namespace
}  // namespace ashlar::controller
