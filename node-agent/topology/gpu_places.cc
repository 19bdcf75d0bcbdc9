#include "node-agent/topology/gpu_places.h"

#include <algorithm>
#include <optional>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "lib/system/files.h"
#include "node-agent/inventory/drive_paths.h"

namespace ashlar::node_agent {
namespace {

constexpr sys::KernelVersion kKernelWithP2p{6, 2};
constexpr int kDriverWithP2p = 565;

template <class Device>
std::vector<std::string> Pci(const Device& device) {
  return {device.pci().begin(), device.pci().end()};
}

PciFunction Function(const TreeFacts& facts, const std::string& address) {
  const auto found = facts.functions.find(address);
  return found == facts.functions.end() ? PciFunction{} : found->second;
}

enum Level { kSwitch, kRoot, kNumaNode, kSystem };
constexpr const char* kLevels[] = {"Switch", "Root", "NUMANode", "System"};

Level LevelOf(const TreeFacts& facts, const v1alpha1::Gpu& gpu, const DrivePath& path) {
  const std::vector<std::string> above = SwitchesOf(facts, Pci(gpu));
  for (const std::string& one : SwitchesOf(facts, path.pci))
    if (std::count(above.begin(), above.end(), one) > 0) return kSwitch;
  if (!gpu.pcie_root().empty() && gpu.pcie_root() == path.pcie_root) return kRoot;
  if (gpu.numa_node() >= 0 && gpu.numa_node() == path.numa_node) return kNumaNode;
  return kSystem;
}

// The first port between the two, below what they share, that sends requests up; empty: none does.
std::string Redirect(const TreeFacts& facts, const std::vector<std::string>& a,
                     const std::vector<std::string>& b) {
  size_t shared = 0;
  while (shared < a.size() && shared < b.size() && a[shared] == b[shared]) ++shared;
  for (const auto* way : {&a, &b})
    for (size_t i = shared; i < way->size(); ++i)
      if (Function(facts, (*way)[i]).redirects) return (*way)[i];
  return "";
}

bool TooOld(const v1alpha1::Gpu& gpu) {
  static const std::set<std::string> kOld = {"Kepler", "Maxwell", "Pascal", "Volta", "Turing"};
  return kOld.count(gpu.architecture()) > 0;
}

struct Answer {
  const char* word;
  std::string reason;
};

Answer PeerToPeer(const TreeFacts& facts, const v1alpha1::Gpu& gpu, const Drive& drive,
                  const DrivePath& path, Level level) {
  if (!gpu.health().problem().empty()) return {"Unknown", "the GPU does not answer"};
  if (drive.paths.size() > 1) return {"No", "the drive has several paths (NVMe multipath)"};
  if (gpu.iommu_translates()) return {"No", "the IOMMU translates the GPU's addresses"};
  if (path.iommu_translates) return {"No", "the IOMMU translates the drive's addresses"};
  if (const std::string port = Redirect(facts, Pci(gpu), path.pci); !port.empty())
    return {"No", absl::StrCat("the port ", port, " sends requests up to the root (ACS)")};
  if (TooOld(gpu))
    return {"No", absl::StrCat("the GPU is older than Ampere: ", gpu.architecture())};
  if (!facts.nvidia_fs) {
    if (!facts.open_driver)
      return {"No", "neither nvidia-fs nor the driver's open kernel modules are loaded"};
    if (facts.driver < kDriverWithP2p)
      return {"No", absl::StrCat("without nvidia-fs the driver must be ", kDriverWithP2p,
                                 " or newer, it is ", facts.driver)};
    if (facts.kernel < kKernelWithP2p)
      return {"No", "without nvidia-fs the kernel must be 6.2 or newer"};
  }
  if (level > kRoot)
    return {"Unknown",
            "GPU and drive are below different roots: whether requests pass between "
            "them depends on the processor"};
  return {"Yes", "on ext4 (data=ordered) or XFS with nothing between filesystem and drive"};
}

void Add(std::map<std::string, v1alpha1::Domain>& domains, const std::string& name,
         const char* kind, const std::string& parent, const std::string& address = "") {
  v1alpha1::Domain& domain = domains[name];
  domain.set_name(name);
  domain.set_kind(kind);
  domain.set_parent(parent);
  domain.set_pci_address(address);
}

void AddWay(const TreeFacts& facts, const std::vector<std::string>& pci, const std::string& root,
            int numa_node, std::map<std::string, v1alpha1::Domain>& domains) {
  std::string parent;
  if (numa_node >= 0) {
    parent = absl::StrCat("numa-", numa_node);
    Add(domains, parent, "NUMANode", "");
  }
  if (root.empty()) return;
  Add(domains, root, "PCIeRoot", parent);
  parent = root;
  for (const std::string& address : SwitchesOf(facts, pci)) {
    const std::string name = absl::StrCat("switch-", address);
    Add(domains, name, "PCIeSwitch", parent, address);
    parent = name;
  }
}

// Sets its pcie_switch.
template <class Device>
void AddWayOf(const TreeFacts& facts, Device& device,
              std::map<std::string, v1alpha1::Domain>& domains) {
  const std::vector<std::string> pci = Pci(device), switches = SwitchesOf(facts, pci);
  device.set_pcie_switch(switches.empty() ? "" : switches.back());
  AddWay(facts, pci, device.pcie_root(), device.numa_node(), domains);
}

}  // namespace

void PlaceGpus(const std::string& sys_root, std::vector<v1alpha1::Gpu>& gpus) {
  for (v1alpha1::Gpu& gpu : gpus) {
    const std::optional<DrivePath> path = ReadPciPath(sys_root, gpu.pci_address());
    if (!path) continue;
    gpu.set_pcie_root(path->pcie_root);
    gpu.mutable_pci()->Assign(path->pci.begin(), path->pci.end());
    if (path->numa_node >= 0) gpu.set_numa_node(path->numa_node);
    gpu.set_iommu_group(path->iommu_group);
    if (!path->iommu_group.empty()) gpu.set_iommu_translates(path->iommu_translates);
  }
}

TreeFacts ReadTreeFacts(const std::string& sys_root, const std::string& proc_root,
                        const std::vector<v1alpha1::Gpu>& gpus, const std::vector<Drive>& drives,
                        const std::vector<v1alpha1::Nic>& nics) {
  TreeFacts facts;
  const auto read = [&](const auto& pci) {
    for (const std::string& address : pci)
      if (facts.functions.count(address) == 0)
        facts.functions[address] = ReadPciFunction(sys_root, address);
  };
  for (const v1alpha1::Gpu& gpu : gpus) read(gpu.pci());
  for (const v1alpha1::Nic& nic : nics) read(nic.pci());
  for (const Drive& drive : drives)
    if (drive.transport == "nvme")
      for (const DrivePath& path : drive.paths) read(path.pci);
  facts.nvidia_fs = sys::Exists(absl::StrCat(sys_root, "/module/nvidia_fs"));
  const std::string version =
      sys::ReadFile(absl::StrCat(proc_root, "/driver/nvidia/version")).value_or("");
  facts.open_driver = absl::StrContains(version, "Open Kernel Module");
  for (const absl::string_view word : absl::StrSplit(version, absl::ByAnyChar(" \t\n"))) {
    const std::vector<absl::string_view> parts = absl::StrSplit(word, '.');
    int major = 0;
    if (facts.driver == 0 && parts.size() >= 2 && absl::SimpleAtoi(parts[0], &major))
      facts.driver = major;
  }
  facts.kernel = sys::RunningKernel();
  return facts;
}

std::vector<std::string> SwitchesOf(const TreeFacts& facts, const std::vector<std::string>& pci) {
  std::vector<std::string> switches;
  for (size_t i = 1; i + 1 < pci.size(); ++i) {
    const PciPort port = Function(facts, pci[i]).port;
    const bool by_place = port == PciPort::kUnknown && i % 2 == 1 && i + 2 < pci.size();
    if (port == PciPort::kUpstream || by_place) switches.push_back(pci[i]);
  }
  return switches;
}

std::vector<v1alpha1::Domain> FindDomains(const TreeFacts& facts, std::vector<v1alpha1::Gpu>& gpus,
                                          const std::vector<Drive>& drives,
                                          std::vector<v1alpha1::Nic>& nics) {
  std::map<std::string, v1alpha1::Domain> domains;
  for (v1alpha1::Gpu& gpu : gpus) {
    AddWayOf(facts, gpu, domains);
    if (!gpu.fabric().cluster_uuid().empty())
      Add(domains, absl::StrCat("nvlink-", gpu.fabric().cluster_uuid(), "-", gpu.fabric().clique()),
          "NVLinkClique", "");
  }
  for (const Drive& drive : drives)
    for (const DrivePath& path : drive.paths)
      if (drive.transport == "nvme")
        AddWay(facts, path.pci, path.pcie_root, path.numa_node, domains);
  for (v1alpha1::Nic& nic : nics) AddWayOf(facts, nic, domains);
  std::vector<v1alpha1::Domain> list;
  for (auto& [name, domain] : domains) list.push_back(std::move(domain));
  return list;
}

std::vector<v1alpha1::GpuDrivePath> FindPaths(const TreeFacts& facts,
                                              const std::vector<v1alpha1::Gpu>& gpus,
                                              const std::vector<Drive>& drives) {
  std::vector<v1alpha1::GpuDrivePath> paths;
  for (const v1alpha1::Gpu& gpu : gpus) {
    for (const Drive& drive : drives) {
      if (drive.transport != "nvme" || drive.paths.empty()) continue;
      const DrivePath* nearest = nullptr;
      Level level = kSystem;
      for (const DrivePath& path : drive.paths) {
        const Level its = LevelOf(facts, gpu, path);
        if (nearest != nullptr && its >= level) continue;
        nearest = &path;
        level = its;
      }
      const Answer answer = PeerToPeer(facts, gpu, drive, *nearest, level);
      v1alpha1::GpuDrivePath& out = paths.emplace_back();
      out.set_gpu(gpu.uuid());
      out.set_drive(drive.id);
      out.set_level(kLevels[level]);
      out.set_peer_to_peer(answer.word);
      out.set_reason(answer.reason);
    }
  }
  return paths;
}

v1alpha1::GdsFacts FindGdsFacts(const TreeFacts& facts) {
  v1alpha1::GdsFacts gds;
  gds.set_nvidia_fs(facts.nvidia_fs);
  gds.set_open_kernel_modules(facts.open_driver);
  for (const auto& [address, function] : facts.functions)
    if (function.redirects) gds.add_acs_redirects(address);
  return gds;
}

}  // namespace ashlar::node_agent
