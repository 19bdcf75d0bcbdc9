#include "controller/composition/device_stock.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "controller/gpu_partition/power_budget.h"
#include "controller/node_inventory/drive_status.h"
#include "controller/slices/drive_devices.h"

namespace ashlar::controller {
namespace {

using agent::v1::Inventory;

// More than any gang has members.
constexpr int kUsersOfNic = 1 << 20;

int NumberOf(const std::string& name, std::vector<std::string>& names) {
  if (name.empty()) return -1;
  const auto found = std::find(names.begin(), names.end(), name);
  if (found != names.end()) return static_cast<int>(found - names.begin());
  names.push_back(name);
  return static_cast<int>(names.size()) - 1;
}

// Of the backend Namespace a pool names drives by their controllers' serials.
const agent::v1::Drive* FindDrive(const Inventory& inventory, const std::string& id) {
  for (const agent::v1::Drive& drive : inventory.drives())
    if (drive.id() == id) return &drive;
  for (const agent::v1::Drive& drive : inventory.drives())
    if (!id.empty() && drive.serial() == id) return &drive;
  return nullptr;
}

class NodeStock {
 public:
  NodeStock(const Inventory& inventory, composer::NodeDevices& node, std::vector<DriveName>& names)
      : inventory_(inventory), node_(node), names_(names) {}

  void PlaceGpus() {
    std::vector<std::string> cliques;
    for (composer::Gpu& gpu : node_.gpus)
      for (const v1alpha1::Gpu& its : inventory_.gpus()) {
        if (its.uuid() != gpu.name) continue;
        gpu.place = {NumberOf(its.pcie_switch(), node_.switches),
                     NumberOf(its.pcie_root(), node_.roots), its.numa_node()};
        if (!its.fabric().cluster_uuid().empty())
          gpu.clique = NumberOf(
              absl::StrCat(its.fabric().cluster_uuid(), "-", its.fabric().clique()), cliques);
      }
  }

  void AddNic(const v1alpha1::Nic& its) {
    composer::Nic& nic = node_.nics.emplace_back();
    nic.name = its.pci_address();
    nic.place = {NumberOf(its.pcie_switch(), node_.switches),
                 NumberOf(its.pcie_root(), node_.roots), its.numa_node()};
    if (!its.link_up()) nic.problem = "no link is up";
    nic.free = kUsersOfNic;
    nic.rdma = !its.rdma_devices().empty();
    nic.link_layer = its.link_layer();
    nic.speed_mbits = its.speed_mbits();
  }

  void AddPool(const agent::v1::PoolState& pool) {
    if (!pool.ready()) return;
    left_[pool.name()] = pool.allocatable_bytes();
    if (pool.drives().empty()) {
      // The bytes of several drives are one volume's only as far as the agent says.
      const int64_t free = std::min(pool.allocatable_bytes(), pool.largest_volume_bytes());
      const std::string only = pool.devices_size() == 1 ? pool.devices(0) : "";
      return Add(pool.name(), "", FindDrive(inventory_, only), pool.capacity_bytes(), free);
    }
    for (const agent::v1::PoolDriveState& drive : pool.drives())
      Add(pool.name(), drive.id(), FindDrive(inventory_, drive.id()), drive.capacity_bytes(),
          std::min(drive.allocatable_bytes(), drive.largest_volume_bytes()));
  }

  void Promise(const PromisedBytes& promised) {
    int64_t bytes = promised.bytes;
    for (const agent::v1::VolumeState& volume : inventory_.volumes())
      if (volume.volume_id() == promised.volume) bytes -= volume.size_bytes();
    if (bytes <= 0) return;
    left_[promised.pool] -= bytes;
    for (size_t i = 0; i < names_.size(); ++i) {
      if (names_[i].pool != promised.pool) continue;
      if (!promised.drive.empty() && !names_[i].drive.empty() && names_[i].drive != promised.drive)
        continue;
      int64_t& free = node_.drives[i].allocatable_bytes;
      free = std::max<int64_t>(free - bytes, 0);
    }
  }

  // All that a pool gives together, as the ledger counts it: a reserve is not a drive's, and what
  // is promised on a drive that is full by now comes to lie on another one, or nowhere.
  void BoundByPools() {
    for (size_t i = 0; i < names_.size(); ++i) {
      int64_t& left = left_[names_[i].pool];
      int64_t& free = node_.drives[i].allocatable_bytes;
      free = std::clamp<int64_t>(left, 0, free);
      left -= free;
    }
  }

 private:
  void Add(const std::string& pool, const std::string& id, const agent::v1::Drive* its,
           int64_t capacity, int64_t free) {
    composer::Drive& drive = node_.drives.emplace_back();
    names_.push_back({pool, id});
    drive.name = id.empty() ? pool : id;
    drive.kinds = {pool};
    drive.capacity_bytes = capacity;
    drive.allocatable_bytes = free;
    if (its == nullptr) return;
    const v1alpha1::Drive told = DriveOf(*its);
    drive.problem = absl::StrJoin(told.health().warnings(), ", ");
    if (its->paths_size() != 1) return;  // of several ways to a drive none is its place
    const agent::v1::DrivePath& path = its->paths(0);
    drive.place = {NumberOf(NearestSwitch(inventory_, path.pci()), node_.switches),
                   NumberOf(path.pcie_root(), node_.roots), its->numa_node()};
  }

  const Inventory& inventory_;
  composer::NodeDevices& node_;
  std::vector<DriveName>& names_;
  std::map<std::string, int64_t> left_;  // of all of the pool
};

}  // namespace

DeviceStock StockOf(const std::vector<ComposableNode>& nodes,
                    const std::vector<v1alpha1::GPUPartitionAllocation>& parts,
                    const std::vector<PromisedBytes>& bytes,
                    const std::set<std::string>& own_claims) {
  std::vector<GpuNodeFacts> gpus;
  for (const ComposableNode& node : nodes) gpus.push_back(node.facts);
  DeviceStock stock;
  stock.inventory = StockOf(gpus, parts, own_claims, GpuUse::kPartsAndWhole).inventory;
  stock.drives.resize(nodes.size());
  stock.nics.resize(nodes.size());
  std::map<std::string, std::vector<const PromisedBytes*>> by_node;
  for (const PromisedBytes& promised : bytes) by_node[promised.node].push_back(&promised);
  for (size_t i = 0; i < nodes.size(); ++i) {
    composer::NodeDevices& node = stock.inventory.nodes[i];
    node.labels = nodes[i].labels;
    const Inventory* inventory = nodes[i].facts.inventory;
    if (inventory == nullptr) continue;
    if (gpus[i].power_budget_watts > 0)
      KeepWithinBudget(NodePower(gpus[i], {parts, {}}, own_claims), 0, node);
    NodeStock one(*inventory, node, stock.drives[i]);
    one.PlaceGpus();
    for (const v1alpha1::Nic& nic : inventory->nics()) one.AddNic(nic);
    stock.nics[i].assign(inventory->nics().begin(), inventory->nics().end());
    for (const agent::v1::PoolState& pool : inventory->pools()) one.AddPool(pool);
    for (const PromisedBytes* promised : by_node[node.name]) one.Promise(*promised);
    one.BoundByPools();
  }
  return stock;
}

}  // namespace ashlar::controller
