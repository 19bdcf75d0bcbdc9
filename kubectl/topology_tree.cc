#include "kubectl/topology_tree.h"

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "lib/api/quantity.h"

namespace ashlar::kubectl {
namespace {

using v1alpha1::Domain;
using v1alpha1::Drive;
using v1alpha1::Gpu;
using v1alpha1::Nic;
using v1alpha1::NodeInventoryStatus;

// What hangs on a domain: other domains first, then devices, each in its order.
struct Branch {
  std::string label;
  std::vector<std::string> domains;
  std::map<std::string, std::string> devices;  // by PCI address: what is said of it
};

constexpr char kTop[] = "", kElsewhere[] = "elsewhere";

std::string LabelOf(const Domain& domain) {
  if (domain.kind() == "PCIeSwitch") return absl::StrCat("switch ", domain.pci_address());
  if (domain.kind() == "PCIeRoot") return absl::StrCat("root ", domain.name());
  if (domain.kind() == "NUMANode" && absl::StartsWith(domain.name(), "numa-"))
    return absl::StrCat("NUMA node ", domain.name().substr(5));
  return domain.name();
}

void Say(std::string& line, absl::string_view more) {
  if (!more.empty()) absl::StrAppend(&line, "  ", more);
}

std::string NameOf(const Drive& drive) {
  const absl::string_view device = drive.device();
  return std::string(absl::StartsWith(device, "/dev/") ? device.substr(5) : device);
}

std::string DivisionOf(const Gpu& gpu) {
  if (!gpu.has_mig()) return "";
  if (!gpu.mig().enabled()) return gpu.mig().pending() ? "MIG after a reset" : "MIG off";
  std::vector<std::string> parts;
  for (const auto& instance : gpu.mig().instances())
    parts.push_back(instance.profile().empty() ? absl::StrCat("instance ", instance.id())
                                               : instance.profile());
  return absl::StrCat("MIG: ", parts.empty() ? "no parts" : absl::StrJoin(parts, ", "));
}

std::string LineOf(const Gpu& gpu) {
  std::string line = absl::StrCat("GPU   ", gpu.pci_address());
  Say(line, gpu.product());
  Say(line, gpu.uuid());
  if (gpu.has_memory()) Say(line, api::FormatBytes(gpu.memory()));
  Say(line, DivisionOf(gpu));
  if (!gpu.health().problem().empty()) Say(line, absl::StrCat("! ", gpu.health().problem()));
  if (!gpu.health().recovery_action().empty() && gpu.health().recovery_action() != "None")
    Say(line, absl::StrCat("! wants: ", gpu.health().recovery_action()));
  return line;
}

std::string LineOf(const Drive& drive, absl::string_view address) {
  std::string line = absl::StrCat(drive.transport() == "nvme" ? "NVMe  " : "drive ", address);
  if (address.empty()) line.pop_back();
  Say(line, NameOf(drive));
  Say(line, drive.model());
  Say(line, drive.serial());
  if (drive.has_size()) Say(line, api::FormatBytes(drive.size()));
  if (drive.state() == "Pool") {
    Say(line, absl::StrCat("pool ", drive.pool()));
  } else if (drive.state() == "Free") {
    Say(line, "free");
  } else {
    Say(line, absl::StrCat("in use: ", drive.reason()));
  }
  if (drive.health().warnings_size() > 0)
    Say(line, absl::StrCat("! ", absl::StrJoin(drive.health().warnings(), ", ")));
  return line;
}

std::string LineOf(const Nic& nic) {
  std::string line = absl::StrCat("NIC   ", nic.pci_address());
  Say(line, absl::StrJoin(nic.interfaces(), " "));
  Say(line, absl::StrJoin(nic.rdma_devices(), " "));
  Say(line, nic.link_layer());
  if (!nic.link_up())
    Say(line, "down");
  else if (nic.speed_mbits() >= 1000)
    Say(line, absl::StrCat(nic.speed_mbits() / 1000, " Gbit/s"));
  else if (nic.has_speed_mbits())
    Say(line, absl::StrCat(nic.speed_mbits(), " Mbit/s"));
  return line;
}

class Tree {
 public:
  explicit Tree(const NodeInventoryStatus& status) {
    for (const Domain& domain : status.domains())
      if (domain.kind() != "NVLinkClique") branches_[domain.name()].label = LabelOf(domain);
    for (const Domain& domain : status.domains()) {
      if (domain.kind() == "NVLinkClique") continue;
      if (domain.kind() == "PCIeSwitch") switches_[domain.pci_address()] = domain.name();
      const bool known = branches_.count(domain.parent()) > 0 && !Above(status, domain);
      branches_[known ? domain.parent() : kTop].domains.push_back(domain.name());
    }
    for (const Gpu& gpu : status.gpus())
      Hang({gpu.pci().begin(), gpu.pci().end()}, gpu.pcie_root(), gpu.numa_node(),
           gpu.pci_address(), LineOf(gpu));
    for (const Nic& nic : status.nics())
      Hang({nic.pci().begin(), nic.pci().end()}, nic.pcie_root(), nic.numa_node(),
           nic.pci_address(), LineOf(nic));
    for (const Drive& drive : status.drives()) {
      for (const auto& path : drive.paths())
        Hang({path.pci().begin(), path.pci().end()}, path.pcie_root(), path.numa_node(),
             path.pci().empty() ? drive.pci_address() : *path.pci().rbegin(),
             LineOf(drive, path.pci().empty() ? drive.pci_address() : *path.pci().rbegin()));
      if (drive.paths().empty())
        Hang({}, "", -1, drive.pci_address(), LineOf(drive, drive.pci_address()));
    }
    if (branches_.count(kElsewhere) > 0) {
      branches_[kElsewhere].label = kElsewhere;
      branches_[kTop].domains.push_back(kElsewhere);
    }
  }

  void Draw(std::string& out) const { DrawBelow(kTop, "", out); }

 private:
  // Whether the domain is its own ancestor, which a report that is wrong may say.
  static bool Above(const NodeInventoryStatus& status, const Domain& domain) {
    std::map<std::string, std::string> parents;
    for (const Domain& each : status.domains()) parents[each.name()] = each.parent();
    std::set<std::string> seen;
    for (std::string at = domain.name(); !at.empty() && parents.count(at) > 0; at = parents[at])
      if (!seen.insert(at).second) return at == domain.name();
    return false;
  }

  void Hang(const std::vector<std::string>& pci, const std::string& root, int numa_node,
            const std::string& address, const std::string& line) {
    std::string on = kElsewhere;
    const std::string numa = absl::StrCat("numa-", numa_node);
    if (branches_.count(numa) > 0) on = numa;
    if (!root.empty() && branches_.count(root) > 0) on = root;
    for (const std::string& function : pci) {
      const auto found = switches_.find(function);
      if (found != switches_.end()) on = found->second;
    }
    // Namespaces of one controller share its address.
    branches_[on].devices[absl::StrCat(address, " ", line)] = line;
  }

  void DrawBelow(const std::string& name, const std::string& margin, std::string& out) const {
    const auto found = branches_.find(name);
    if (found == branches_.end()) return;
    const Branch& branch = found->second;
    size_t left = branch.domains.size() + branch.devices.size();
    for (const std::string& domain : branch.domains) {
      const bool last = --left == 0;
      absl::StrAppend(&out, margin, last ? "└─ " : "├─ ", branches_.at(domain).label, "\n");
      DrawBelow(domain, absl::StrCat(margin, last ? "   " : "│  "), out);
    }
    for (const auto& [address, line] : branch.devices)
      absl::StrAppend(&out, margin, --left == 0 ? "└─ " : "├─ ", line, "\n");
  }

  std::map<std::string, Branch> branches_;       // by name of the domain
  std::map<std::string, std::string> switches_;  // names, by address of the upstream port
};

void DrawCliques(const NodeInventoryStatus& status, std::string& out) {
  for (const Domain& domain : status.domains()) {
    if (domain.kind() != "NVLinkClique") continue;
    std::vector<std::string> members;
    for (const Gpu& gpu : status.gpus())
      if (gpu.has_fabric() && domain.name() == absl::StrCat("nvlink-", gpu.fabric().cluster_uuid(),
                                                            "-", gpu.fabric().clique()))
        members.push_back(gpu.pci_address());
    absl::StrAppend(&out, "NVLink clique ", domain.name().substr(domain.name().find('-') + 1), ": ",
                    absl::StrJoin(members, ", "), "\n");
  }
}

// Of each GPU the drives by level, nearest first.
void DrawPaths(const NodeInventoryStatus& status, std::string& out) {
  if (status.paths().empty()) return;
  std::map<std::string, std::string> drives;
  for (const Drive& drive : status.drives()) drives[drive.id()] = NameOf(drive);
  absl::StrAppend(&out, "\nNearest drives (* looks able to move data straight into the GPU)\n");
  for (const Gpu& gpu : status.gpus()) {
    std::vector<std::string> levels;
    for (const char* level : {"Switch", "Root", "NUMANode", "System"}) {
      std::vector<std::string> names;
      for (const auto& path : status.paths()) {
        if (path.gpu() != gpu.uuid() || path.level() != level) continue;
        const auto found = drives.find(path.drive());
        names.push_back(absl::StrCat(found == drives.end() ? path.drive() : found->second,
                                     path.peer_to_peer() == "Yes" ? "*" : ""));
      }
      std::sort(names.begin(), names.end());
      if (!names.empty()) levels.push_back(absl::StrCat(level, ": ", absl::StrJoin(names, " ")));
    }
    absl::StrAppend(&out, "  GPU ", gpu.pci_address(), "  ",
                    levels.empty() ? "none" : absl::StrJoin(levels, "  "), "\n");
  }
  std::set<std::string> reasons;
  for (const auto& path : status.paths())
    if (path.peer_to_peer() != "Yes" && !path.reason().empty())
      reasons.insert(absl::StrCat(path.peer_to_peer(), ": ", path.reason()));
  for (const std::string& reason : reasons) absl::StrAppend(&out, "  straight: ", reason, "\n");
}

std::string Count(int count, absl::string_view what) {
  return absl::StrCat(count, " ", what, count == 1 ? "" : "s");
}

}  // namespace

std::string DrawTopology(const v1alpha1::NodeInventory& inventory) {
  const NodeInventoryStatus& status = inventory.status();
  std::string out =
      absl::StrCat(inventory.metadata().name(), ": ", Count(status.gpus_size(), "GPU"), ", ",
                   Count(status.drives_size(), "drive"));
  const auto& driver = status.gpu_driver();
  if (driver.state() == "Ready") {
    absl::StrAppend(&out, " (driver ", driver.version(), ", CUDA ", driver.cuda_version(), ")");
  } else if (!driver.state().empty()) {
    absl::StrAppend(&out, " (GPU driver: ", driver.state(), driver.message().empty() ? "" : ": ",
                    driver.message(), ")");
  }
  out += "\n";
  Tree(status).Draw(out);
  DrawCliques(status, out);
  DrawPaths(status, out);
  return out;
}

}  // namespace ashlar::kubectl
