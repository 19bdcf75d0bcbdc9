#include "kubectl/topology.h"

#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "kubectl/topology_tree.h"
#include "lib/api/kinds.h"
#include "lib/base/clock.h"
#include "lib/kube/testing/fake_client.h"

namespace ashlar::kubectl {
namespace {

using v1alpha1::NodeInventory;

NodeInventory Parse(const std::string& text) {
  NodeInventory inventory;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &inventory));
  return inventory;
}

constexpr char kNode[] = R"(
  metadata { name: "node-a" }
  status {
    gpu_driver { state: "Ready" version: "580.65.06" cuda_version: "13.0" }
    domains { name: "switch-0000:17:00.0" kind: "PCIeSwitch" parent: "pci0000:16" pci_address: "0000:17:00.0" }
    domains { name: "switch-0000:19:00.0" kind: "PCIeSwitch" parent: "switch-0000:17:00.0" pci_address: "0000:19:00.0" }
    domains { name: "pci0000:16" kind: "PCIeRoot" parent: "numa-0" }
    domains { name: "numa-0" kind: "NUMANode" }
    domains { name: "numa-1" kind: "NUMANode" }
    domains { name: "nvlink-c1-3" kind: "NVLinkClique" }
    gpus {
      uuid: "GPU-1" pci_address: "0000:1a:00.0" product: "H100" memory: 85899345920 numa_node: 0 pcie_root: "pci0000:16"
      pci: "0000:16:01.0" pci: "0000:17:00.0" pci: "0000:19:00.0" pci: "0000:1a:00.0"
      mig { enabled: true instances { id: 1 profile: "3g.40gb" start: 0 size: 4 } }
      fabric { cluster_uuid: "c1" clique: 3 }
    }
    gpus { uuid: "GPU-2" pci_address: "0000:90:00.0" numa_node: 1 health { problem: "it is lost" recovery_action: "Reset" } }
    drives {
      id: "eui.1" device: "/dev/nvme0n1" serial: "S1" model: "M1" transport: "nvme" size: 68719476736 state: "Free"
      paths { pcie_root: "pci0000:16" pci: "0000:16:01.0" pci: "0000:17:00.0" pci: "0000:18:00.0" numa_node: 0 }
    }
    drives { id: "d2" device: "/dev/vda" transport: "virtio" state: "InUse" reason: "mounted at /" }
    nics {
      pci_address: "0000:1b:00.0" interfaces: "ens1f0" rdma_devices: "mlx5_0" link_layer: "Ethernet" link_up: true
      speed_mbits: 200000 numa_node: 0 pcie_root: "pci0000:16"
      pci: "0000:16:01.0" pci: "0000:17:00.0" pci: "0000:19:00.0" pci: "0000:1b:00.0"
    }
    nics { pci_address: "0000:91:00.0" rdma_devices: "mlx5_1" link_layer: "InfiniBand" numa_node: 1 }
    paths { gpu: "GPU-1" drive: "eui.1" level: "Switch" peer_to_peer: "Yes" }
    paths { gpu: "GPU-2" drive: "eui.1" level: "System" peer_to_peer: "No" reason: "they share no root complex" }
  })";

TEST(TopologyTree, DevicesHangBelowTheNearestThingTheyAreBehind) {
  EXPECT_EQ(DrawTopology(Parse(kNode)),
            "node-a: 2 GPUs, 2 drives (driver 580.65.06, CUDA 13.0)\n"
            "├─ NUMA node 0\n"
            "│  └─ root pci0000:16\n"
            "│     └─ switch 0000:17:00.0\n"
            "│        ├─ switch 0000:19:00.0\n"
            "│        │  ├─ GPU   0000:1a:00.0  H100  GPU-1  80Gi  MIG: 3g.40gb\n"
            "│        │  └─ NIC   0000:1b:00.0  ens1f0  mlx5_0  Ethernet  200 Gbit/s\n"
            "│        └─ NVMe  0000:18:00.0  nvme0n1  M1  S1  64Gi  free\n"
            "├─ NUMA node 1\n"
            "│  ├─ GPU   0000:90:00.0  GPU-2  ! it is lost  ! wants: Reset\n"
            "│  └─ NIC   0000:91:00.0  mlx5_1  InfiniBand  down\n"
            "└─ elsewhere\n"
            "   └─ drive  vda  in use: mounted at /\n"
            "NVLink clique c1-3: 0000:1a:00.0\n"
            "\nNearest drives (* looks able to move data straight into the GPU)\n"
            "  GPU 0000:1a:00.0  Switch: nvme0n1*\n"
            "  GPU 0000:90:00.0  System: nvme0n1\n"
            "  straight: No: they share no root complex\n");
}

TEST(TopologyTree, ANodeWithoutGpusAndAnEmptyOneAreDrawnToo) {
  EXPECT_EQ(DrawTopology(Parse(R"(metadata { name: "n" } status {
      gpu_driver { state: "NoLibrary" message: "there is no libnvidia-ml.so.1" } })")),
            "n: 0 GPUs, 0 drives (GPU driver: NoLibrary: there is no libnvidia-ml.so.1)\n");
  EXPECT_EQ(DrawTopology(Parse("metadata { name: \"n\" }")), "n: 0 GPUs, 0 drives\n");
}

TEST(TopologyTree, DomainsThatNameEachOtherAsParentsAreDrawn) {
  EXPECT_EQ(DrawTopology(Parse(R"(metadata { name: "n" } status {
      domains { name: "a" kind: "PCIeRoot" parent: "b" } domains { name: "b" kind: "PCIeRoot" parent: "a" }
      domains { name: "c" kind: "PCIeRoot" parent: "a" } domains { name: "d" kind: "PCIeRoot" parent: "gone" } })")),
            "n: 0 GPUs, 0 drives\n"
            "├─ root a\n"
            "│  └─ root c\n"
            "├─ root b\n"
            "└─ root d\n");
}

TEST(Topology, ShowsTheNodesThatAreAskedForAndNamesThoseThatThereAre) {
  RealClock clock;
  kube::FakeClient client(clock);
  EXPECT_EQ(*Topology({}, client, {}), "no agent has told of a node yet\n");
  for (const char* name : {"b", "a"})
    ASSERT_TRUE(client
                    .Create({}, api::Kind<NodeInventory>(),
                            api::ToJson(Parse(absl::StrCat("metadata { name: \"", name, "\" }"))))
                    .ok());
  EXPECT_EQ(*Topology({}, client, {}), "a: 0 GPUs, 0 drives\n\nb: 0 GPUs, 0 drives\n");
  EXPECT_EQ(*Topology({}, client, {"b"}), "b: 0 GPUs, 0 drives\n");
  const absl::Status missing = Topology({}, client, {"b", "c"}).status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(missing.message(), "no agent has told of c; there are: a, b");
}

}  // namespace
}  // namespace ashlar::kubectl
