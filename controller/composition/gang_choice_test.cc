#include "controller/composition/gang_choice.h"

#include "absl/strings/str_cat.h"
#include "controller/composition/composition_objects.h"
#include "controller/gpu_partition/testing/hopper.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ashlar::controller {
namespace {

using ::testing::HasSubstr;
using v1alpha1::ComposedMember;
using v1alpha1::Composition;

constexpr int64_t kGi = int64_t{1} << 30;

// One node with two GPUs, GPU-0 and GPU-1, and a drive behind the switch of each.
class GangChoiceTest : public testing::Test {
 protected:
  GangChoiceTest() {
    inventory_.mutable_gpu_driver()->set_state("Ready");
    agent::v1::PoolState& pool = *inventory_.add_pools();
    pool.set_name("fast");
    pool.set_ready(true);
    pool.set_allocatable_bytes(200 * kGi);
    for (int i : {0, 1}) {
      v1alpha1::Gpu gpu = Hopper(absl::StrCat("GPU-", i));
      gpu.set_pcie_switch(absl::StrCat("0000:1", i, ":00.0"));
      gpu.set_pcie_root(absl::StrCat("pci0000:1", i));
      gpu.set_numa_node(i);
      *inventory_.add_gpus() = gpu;
      agent::v1::Drive& drive = *inventory_.add_drives();
      drive.set_id(absl::StrCat("S", i));
      drive.set_numa_node(i);
      agent::v1::DrivePath& path = *drive.add_paths();
      path.set_pcie_root(gpu.pcie_root());
      for (const std::string& port : {std::string("0000:00:01.0"), gpu.pcie_switch(),
                                      std::string("0000:20:00.0"), std::string("0000:21:00.0")})
        path.add_pci(port);
      agent::v1::PoolDriveState& state = *pool.add_drives();
      state.set_id(drive.id());
      state.set_capacity_bytes(100 * kGi);
      state.set_allocatable_bytes(100 * kGi);
      state.set_largest_volume_bytes(100 * kGi);
    }
    object_.mutable_metadata()->set_name("c");
    object_.mutable_metadata()->set_uid("uid");
    v1alpha1::CompositionMember& member = *object_.mutable_spec()->add_members();
    member.set_name("worker");
    member.set_replicas(1);
    v1alpha1::CompositionGPUs& gpus = *member.add_gpus();
    gpus.set_name("gpu");
    gpus.set_count(1);
    v1alpha1::CompositionVolume& volume = *member.add_volumes();
    volume.set_name("scratch");
    volume.set_size(50 * kGi);
    volume.set_pool("fast");
    v1alpha1::CompositionConstraint& near = *member.add_constraints();
    near.add_requests("gpu");
    near.add_requests("scratch");
    near.set_level("Switch");
  }

  v1alpha1::CompositionMember& Member() { return *object_.mutable_spec()->mutable_members(0); }
  // MEMBER:GPU[/START]+DRIVE of each, or why there is none.
  std::string Choice() {
    const ComposableNode node{{"n1", "", &inventory_, held_, gpus_problem_}, {}};
    const GangChoice choice = ChooseGang(StockOf({node}, parts_, bytes_), object_);
    if (const auto* none = std::get_if<NoGang>(&choice)) return none->message;
    std::string text;
    for (const ComposedMember& member : std::get<std::vector<ComposedMember>>(choice)) {
      absl::StrAppend(&text, text.empty() ? "" : " ", member.name(), ":");
      for (const v1alpha1::ComposedGPU& gpu : member.gpus())
        absl::StrAppend(&text, gpu.gpu(),
                        gpu.profile().empty() ? "" : absl::StrCat("/", gpu.start()), "+");
      for (const v1alpha1::ComposedVolume& volume : member.volumes())
        absl::StrAppend(&text, volume.drive());
      for (const v1alpha1::ComposedNIC& nic : member.nics())
        absl::StrAppend(&text, "+", nic.request(), "=", nic.pci_address(), ",", nic.interface(),
                        ",", nic.rdma_device(), ",", nic.link_layer());
    }
    return text;
  }
  std::string Check(const v1alpha1::CompositionClassSpec& its_class = {}) {
    return std::string(CheckComposition("c", object_.spec(), its_class).message());
  }

  agent::v1::Inventory inventory_;
  Composition object_;
  std::vector<std::string> held_;
  std::string gpus_problem_;
  std::vector<v1alpha1::GPUPartitionAllocation> parts_;
  std::vector<PromisedBytes> bytes_;
};

TEST_F(GangChoiceTest, AVolumeLiesBehindTheSwitchOfItsGpu) {
  EXPECT_EQ(Choice(), "worker-0:GPU-0+S0");
  Member().set_replicas(2);
  EXPECT_EQ(Choice(), "worker-0:GPU-0+S0 worker-1:GPU-1+S1");
}

TEST_F(GangChoiceTest, BytesThatAreOnTheirWayAreNotFree) {
  bytes_ = {{"v", "n1", "fast", "S0", 60 * kGi}};
  EXPECT_EQ(Choice(), "worker-0:GPU-1+S1");
  // Of a volume that names no drive only the agent knows where it comes to lie.
  bytes_ = {{"v", "n1", "fast", "", 60 * kGi}};
  EXPECT_THAT(Choice(), HasSubstr("largest scratch that fits: 40Gi"));
  // What the report shows is counted there.
  agent::v1::VolumeState& volume = *inventory_.add_volumes();
  volume.set_volume_id("v");
  volume.set_size_bytes(60 * kGi);
  EXPECT_EQ(Choice(), "worker-0:GPU-0+S0");
  bytes_ = {{"v", "n2", "fast", "", 600 * kGi}};
  EXPECT_EQ(Choice(), "worker-0:GPU-0+S0");
}

TEST_F(GangChoiceTest, GpusThatClaimsOrPromisesHaveAreNotFree) {
  held_ = {"gpu-0"};
  EXPECT_EQ(Choice(), "worker-0:GPU-0+S0") << "no device has that name";
  v1alpha1::GPUPartitionAllocation part;
  part.set_node("n1");
  part.set_gpu("GPU-0");
  parts_ = {part};  // all of it
  EXPECT_EQ(Choice(), "worker-0:GPU-1+S1");
  part.set_profile("1g.10gb");
  part.set_size(1);
  parts_ = {part};
  EXPECT_EQ(Choice(), "worker-0:GPU-1+S1") << "of a divided one nobody gets all";
  Member().mutable_gpus(0)->set_profile("3g.40gb");
  EXPECT_EQ(Choice(), "worker-0:GPU-0/4+S0");
}

TEST_F(GangChoiceTest, AGpuThatCannotBeDividedNowIsGivenWholeOnly) {
  for (v1alpha1::Gpu& gpu : *inventory_.mutable_gpus()) gpu.set_architecture("Ampere");
  EXPECT_EQ(Choice(), "worker-0:GPU-0+S0");
  Member().mutable_gpus(0)->set_profile("3g.40gb");
  EXPECT_EQ(Choice(),
            "0 of 1 member fits. Node n1, worker: gpu: 1 3g.40gb: no usable GPU can give it.");
}

TEST_F(GangChoiceTest, GpusThatAreNotAshlarsAreRefusedWithTheReason) {
  const auto owned = [](const char* ownership, bool conflict) -> Json {
    Json inventory = {{"spec", {{"gpuOwnership", ownership}}}};
    if (conflict)
      inventory["status"]["conditions"] =
          Json::array({{{"type", "OwnershipConflict"}, {"status", "True"}}});
    return inventory;
  };
  const struct {
    Json inventory;
    const char* other_owner;
    const char* problem;
  } kCases[] = {
      {owned("Manage", false), "", ""},
      {owned("Observe", false), "",
       "gpuOwnership of its NodeInventory is Observe, so its GPUs are not Ashlar's to give"},
      {owned("Observe", false), "a device plugin that offers nvidia.com/gpu",
       "gpuOwnership of its NodeInventory is Observe, so its GPUs are not Ashlar's to give: they "
       "are handed out by a device plugin that offers nvidia.com/gpu"},
      {owned("Manage", false), "ResourceSlices of gpu.nvidia.com",
       "its GPUs are handed out by ResourceSlices of gpu.nvidia.com too (OwnershipConflict), so "
       "Ashlar gives none"},
      {owned("Manage", true), "",
       "its GPUs are handed out by somebody else too (OwnershipConflict), so Ashlar gives none"},
  };
  for (const auto& one : kCases) {
    gpus_problem_ = GpuOwnershipProblem(one.inventory, one.other_owner);
    EXPECT_EQ(gpus_problem_, one.problem);
    for (const char* profile : {"", "3g.40gb"}) {
      Member().mutable_gpus(0)->set_profile(profile);
      if (gpus_problem_.empty())
        EXPECT_THAT(Choice(), HasSubstr("worker-0:GPU-0"));
      else
        EXPECT_EQ(Choice(), absl::StrCat("0 of 1 member fits. Node n1, worker: gpu: 1 ",
                                         *profile == 0 ? "GPU" : profile,
                                         ": no usable GPU can give it: ", one.problem, "."));
    }
  }
  Member().clear_gpus();
  Member().clear_constraints();
  EXPECT_EQ(Choice(), "worker-0:S0") << "its drives are Ashlar's all the same";
}

TEST_F(GangChoiceTest, NicsAreChosenNearTheGpusAndShared) {
  for (int i : {0, 1}) {
    v1alpha1::Nic& nic = *inventory_.add_nics();
    nic.set_pci_address(absl::StrCat("0000:3", i, ":00.0"));
    nic.add_interfaces(absl::StrCat("ib", i));
    nic.add_rdma_devices(absl::StrCat("mlx5_", i));
    nic.set_link_layer("InfiniBand");
    nic.set_link_up(true);
    nic.set_speed_mbits(400'000);
    nic.set_pcie_switch(inventory_.gpus(1 - i).pcie_switch());
    nic.set_pcie_root(inventory_.gpus(1 - i).pcie_root());
    nic.set_numa_node(1 - i);
  }
  v1alpha1::CompositionNICs& nics = *Member().add_nics();
  nics.set_name("ib");
  nics.set_rdma(true);
  nics.set_min_speed_mbits(200'000);
  v1alpha1::CompositionConstraint& near = *Member().add_constraints();
  near.add_requests("gpu");
  near.add_requests("ib");
  near.set_level("Switch");
  EXPECT_EQ(Choice(), "worker-0:GPU-0+S0+ib-0=0000:31:00.0,ib1,mlx5_1,InfiniBand");
  Member().mutable_gpus(0)->set_profile("3g.40gb");
  Member().mutable_volumes(0)->set_size(kGi);
  Member().set_replicas(4);
  EXPECT_THAT(Choice(), HasSubstr("worker-3:")) << "two members use one NIC";
  Member().set_replicas(1);
  nics.set_min_speed_mbits(800'000);
  EXPECT_EQ(Choice(),
            "0 of 1 member fits. Node n1, worker: ib: 1 NIC with RDMA from 800 Gbit/s: none is "
            "such; fastest that fits: 400 Gbit/s.");
  nics.set_min_speed_mbits(0);
  nics.set_link_layer("Ethernet");
  EXPECT_EQ(Choice(),
            "0 of 1 member fits. Node n1, worker: ib: 1 NIC of Ethernet with RDMA: none is such; "
            "it would fit with InfiniBand.");
  nics.clear_link_layer();
  for (v1alpha1::Nic& nic : *inventory_.mutable_nics()) nic.set_link_up(false);
  EXPECT_EQ(Choice(),
            "0 of 1 member fits. Node n1, worker: ib: 1 NIC with RDMA: none is such: 0000:30:00.0 "
            "would be: no link is up, 0000:31:00.0 would be: no link is up.");
}

TEST_F(GangChoiceTest, WhatPodsTakeOfTheirNicsHasTheNamesOfTheLibraries) {
  ComposedMember& member = *object_.mutable_status()->add_members();
  member.set_name("worker-0");
  const auto add = [&](const char* interface, const char* rdma) {
    v1alpha1::ComposedNIC& nic = *member.add_nics();
    nic.set_interface(interface);
    nic.set_rdma_device(rdma);
  };
  add("ib0", "mlx5_0");
  add("ib1", "mlx5_1");
  Json data = ConfigMapOf(object_)["data"];
  EXPECT_EQ(data["worker-0.NCCL_IB_HCA"], "=mlx5_0,mlx5_1");
  EXPECT_EQ(data["worker-0.NCCL_SOCKET_IFNAME"], "=ib0,ib1");
  EXPECT_EQ(data["worker-0.UCX_NET_DEVICES"], "mlx5_0:1,mlx5_1:1");
  member.clear_nics();
  add("ens1", "");
  data = ConfigMapOf(object_)["data"];
  EXPECT_FALSE(data.contains("worker-0.NCCL_IB_HCA"));
  EXPECT_EQ(data["worker-0.UCX_NET_DEVICES"], "ens1");
}

TEST_F(GangChoiceTest, AReserveOfThePoolIsNotGivenOutOnEachDrive) {
  inventory_.mutable_pools(0)->set_allocatable_bytes(120 * kGi);
  Member().set_replicas(2);
  EXPECT_THAT(Choice(), HasSubstr("1 of 2 members fit"));
}

TEST_F(GangChoiceTest, WhatCannotBeIsRefusedByItsField) {
  EXPECT_EQ(Check(), "");
  Member().mutable_constraints(0)->set_requests(1, "data");
  EXPECT_EQ(Check(),
            "spec.members[worker].constraints: Invalid value: data: must be one of gpu, scratch");
  Member().mutable_constraints(0)->set_requests(1, "scratch");
  Member().mutable_volumes(0)->set_size(0);
  EXPECT_EQ(Check(),
            "spec.members[worker].volumes[scratch].size: Invalid value: 0: must be greater than 0");
  Member().mutable_volumes(0)->set_size(1);
  Member().mutable_volumes(0)->clear_pool();
  EXPECT_THAT(Check(), HasSubstr("a pool must be named here or by the class"));
  Member().mutable_volumes(0)->set_pool("fast");
  Member().mutable_volumes(0)->set_name("gpu");
  EXPECT_THAT(Check(), HasSubstr("names two of GPUs, volumes and NICs alike"));
}

}  // namespace
}  // namespace ashlar::controller
