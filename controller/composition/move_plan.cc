#include "controller/composition/move_plan.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "controller/composer/defragmentation.h"
#include "controller/composition/gang_choice.h"
#include "controller/placement/placement.h"

namespace ashlar::controller {
namespace {

using composer::Grants;
using composer::Inventory;
using composer::MigLayout;
using composer::NodeDevices;
using v1alpha1::CompositionMoves;

constexpr size_t kMostMovable = 200;
// Each costs a placement, which at 10,000 nodes takes 100 ms.
constexpr int kMostAttempts = 1000;
constexpr int kFewestAttempts = 8;
constexpr int kNodesTimesAttempts = 50'000;

// Of a pool on one node alone.
std::string KindOf(const std::string& pool, const std::string& node) {
  return absl::StrCat(pool, "@", node);
}

class MoveWriter {
 public:
  MoveWriter(const DeviceStock& stock, const std::vector<Movable>& movable) : stock_(stock) {
    inventory_ = stock.inventory;
    for (size_t n = 0; n < inventory_.nodes.size(); ++n)
      for (size_t d = 0; d < inventory_.nodes[n].drives.size(); ++d)
        inventory_.nodes[n].drives[d].kinds.push_back(
            KindOf(stock.drives[n][d].pool, inventory_.nodes[n].name));
    for (const Movable& one : movable)
      if (auto member = MemberOf(one); member && members_.size() < kMostMovable)
        members_.push_back(*std::move(member));
  }

  CompositionMoves Write(const composer::GangRequest& gang) const {
    CompositionMoves out;
    out.set_movable(static_cast<int32_t>(members_.size()));
    const int nodes = static_cast<int>(inventory_.nodes.size());
    const int attempts =
        std::clamp(kNodesTimesAttempts / std::max(nodes, 1), kFewestAttempts, kMostAttempts);
    const auto plan =
        composer::PlanMoves(inventory_, gang, members_, {.max_moves = 3, .max_attempts = attempts});
    SetLargest(inventory_, /*after=*/false, out);
    if (!plan || plan->moves.empty()) return out;
    Inventory after = inventory_;
    for (const composer::Move& move : plan->moves) {
      composer::Occupy(after.nodes[static_cast<size_t>(move.to)], after.layouts, move.new_grants);
      v1alpha1::CompositionMove& line = *out.add_moves();
      line.set_what(move.name);
      line.set_from(Words(move.from, move.old_grants));
      line.set_to(Words(move.to, move.new_grants));
    }
    for (const composer::Move& move : plan->moves)
      composer::GiveBack(after.nodes[static_cast<size_t>(move.from)], after.layouts,
                         move.old_grants);
    SetLargest(after, /*after=*/true, out);
    return out;
  }

 private:
  std::optional<composer::MovableMember> MemberOf(const Movable& one) const {
    for (size_t n = 0; n < inventory_.nodes.size(); ++n) {
      const NodeDevices& node = inventory_.nodes[n];
      if (node.name != one.node) continue;
      composer::MovableMember member{one.what, one.request, static_cast<int>(n), {}};
      for (size_t i = 0; i < one.gpus.size(); ++i)
        if (!AddGpu(node, one.gpus[i], one.gpu_requests[i], member.grants)) return std::nullopt;
      for (const Movable::Bytes& bytes : one.drives)
        if (!AddDrive(n, bytes, member.grants)) return std::nullopt;
      if (one.stays_on_node)
        for (composer::DriveRequest& drive : member.request.drives)
          drive.kind = KindOf(drive.kind, node.name);
      return member;
    }
    return std::nullopt;
  }

  bool AddGpu(const NodeDevices& node, const v1alpha1::GPUPartitionAllocation& part, int request,
              Grants& grants) const {
    for (size_t g = 0; g < node.gpus.size(); ++g) {
      const composer::Gpu& gpu = node.gpus[g];
      if (gpu.name != part.gpu()) continue;
      composer::GpuGrant grant{request, static_cast<int>(g), -1, {}};
      if (part.profile().empty()) {
        if (!gpu.taken) return false;
      } else {
        if (gpu.layout < 0) return false;
        const MigLayout& layout = inventory_.layouts[static_cast<size_t>(gpu.layout)];
        grant.profile = layout.Find(part.profile());
        grant.placement = {part.start(), part.size()};
        const uint64_t bits = ((uint64_t{1} << part.size()) - 1) << part.start();
        if (grant.profile < 0 || (gpu.used.memory & bits) != bits ||
            gpu.used.instances[static_cast<size_t>(grant.profile)] == 0)
          return false;
      }
      grants.gpus.push_back(grant);
      return true;
    }
    return false;
  }

  bool AddDrive(size_t n, const Movable::Bytes& bytes, Grants& grants) const {
    for (size_t d = 0; d < stock_.drives[n].size(); ++d)
      if (stock_.drives[n][d].pool == bytes.pool && stock_.drives[n][d].drive == bytes.drive) {
        grants.drives.push_back({bytes.request, static_cast<int>(d), bytes.bytes});
        return true;
      }
    return false;
  }

  // "n1: 3g.40gb at 4 of GPU-a; 50Gi on S0".
  std::string Words(int number, const Grants& grants) const {
    const NodeDevices& node = inventory_.nodes[static_cast<size_t>(number)];
    std::vector<std::string> has;
    for (const composer::GpuGrant& grant : grants.gpus) {
      const composer::Gpu& gpu = node.gpus[static_cast<size_t>(grant.gpu)];
      if (grant.profile < 0)
        has.push_back(gpu.name);
      else
        has.push_back(absl::StrCat(inventory_.layouts[static_cast<size_t>(gpu.layout)]
                                       .profiles()[static_cast<size_t>(grant.profile)]
                                       .name,
                                   " at ", grant.placement.start, " of ", gpu.name));
    }
    for (const composer::DriveGrant& grant : grants.drives)
      has.push_back(absl::StrCat(FormatBytes(grant.bytes), " on ",
                                 node.drives[static_cast<size_t>(grant.drive)].name));
    return absl::StrCat(node.name, ": ", absl::StrJoin(has, "; "));
  }

  static void SetLargest(const Inventory& inventory, bool after, CompositionMoves& out) {
    std::tuple<int, int> size;
    std::string part;
    int64_t bytes = 0;
    for (const NodeDevices& node : inventory.nodes) {
      if (!node.problem.empty()) continue;
      for (const composer::Gpu& gpu : node.gpus) {
        if (!gpu.problem.empty() || gpu.taken || gpu.layout < 0) continue;
        const MigLayout& layout = inventory.layouts[static_cast<size_t>(gpu.layout)];
        for (size_t p = 0; p < layout.profiles().size(); ++p) {
          const composer::MigProfile& profile = layout.profiles()[p];
          const auto places = layout.FreePlacements(gpu.used, static_cast<int>(p));
          if (places.empty()) continue;
          const std::tuple<int, int> its{places[0].size, profile.compute_slices};
          if (its <= size) continue;
          size = its;
          part = profile.name;
        }
      }
      for (const composer::Drive& drive : node.drives)
        if (drive.problem.empty()) bytes = std::max(bytes, drive.allocatable_bytes);
    }
    after ? out.set_largest_part_after(part) : out.set_largest_part_before(part);
    after ? out.set_largest_volume_after(bytes) : out.set_largest_volume_before(bytes);
  }

  const DeviceStock& stock_;
  Inventory inventory_;
  std::vector<composer::MovableMember> members_;
};

}  // namespace

CompositionMoves PlanMovesFor(const DeviceStock& stock, const v1alpha1::Composition& object,
                              const std::vector<Movable>& movable) {
  return MoveWriter(stock, movable).Write(GangRequestOf(object.spec()));
}

}  // namespace ashlar::controller
