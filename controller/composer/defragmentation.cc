#include "controller/composer/defragmentation.h"

#include <algorithm>
#include <numeric>
#include <variant>

namespace ashlar::composer {
namespace {

class MovePlanner {
 public:
  MovePlanner(const Inventory& inventory, const GangRequest& gang,
              const std::vector<MovableMember>& movable, const MoveOptions& options)
      : inventory_(inventory), gang_(gang), movable_(movable), options_(options) {
    by_name_.resize(movable.size());
    std::iota(by_name_.begin(), by_name_.end(), 0);
    std::sort(by_name_.begin(), by_name_.end(),
              [&](int a, int b) { return movable[a].name < movable[b].name; });
  }

  std::optional<MovePlan> Plan() {
    for (int count = 0; count <= options_.max_moves; ++count) {
      std::vector<int> chosen;
      if (std::optional<MovePlan> plan = TryAll(0, count, chosen)) return plan;
    }
    return std::nullopt;
  }

 private:
  // All sets of `count` more members, from the one at `from` on.
  std::optional<MovePlan> TryAll(size_t from, int count, std::vector<int>& chosen) {
    if (attempts_ >= options_.max_attempts) return std::nullopt;
    if (count == 0) {
      ++attempts_;
      return Try(chosen);
    }
    for (size_t i = from; i < by_name_.size(); ++i) {
      chosen.push_back(by_name_[i]);
      std::optional<MovePlan> plan = TryAll(i + 1, count - 1, chosen);
      chosen.pop_back();
      if (plan) return plan;
    }
    return std::nullopt;
  }

  // First the gang where the members were, and the members beside it; else the other way round.
  std::optional<MovePlan> Try(const std::vector<int>& chosen) const {
    Inventory without = inventory_;
    for (const int i : chosen) {
      GiveBack(without.nodes[movable_[i].node], without.layouts, movable_[i].grants);
    }
    const GangOutcome outcome = PlaceGang(without, gang_);
    const GangPlan* gang = std::get_if<GangPlan>(&outcome);
    if (gang == nullptr) return std::nullopt;
    MovePlan plan{{}, *gang};
    Inventory beside = inventory_;
    Reserve(beside, *gang);
    if (MoveAll(beside, chosen, plan.moves)) return plan;
    plan.moves.clear();
    Inventory after = inventory_;
    if (!MoveAll(after, chosen, plan.moves)) return std::nullopt;
    for (const int i : chosen) {
      GiveBack(after.nodes[movable_[i].node], after.layouts, movable_[i].grants);
    }
    const GangOutcome then = PlaceGang(after, gang_);
    if (!std::holds_alternative<GangPlan>(then)) return std::nullopt;
    plan.gang = std::get<GangPlan>(then);
    return plan;
  }

  // Marks what the gang will use as in use, beside all that is: the members that will have moved
  // still hold some of it.
  static void Reserve(Inventory& inventory, const GangPlan& gang) {
    for (const PlacedMember& member : gang.members) {
      NodeDevices& node = inventory.nodes[member.node];
      for (const GpuGrant& grant : member.grants.gpus) {
        node.gpus[grant.gpu].taken = true;  // not even beside the gang's slices
      }
      for (const DriveGrant& grant : member.grants.drives) {
        node.drives[grant.drive].allocatable_bytes -= grant.bytes;
      }
      for (const NicGrant& grant : member.grants.nics) --node.nics[grant.nic].free;
    }
  }

  // Finds each a new place, beside its old one.
  bool MoveAll(Inventory& inventory, const std::vector<int>& chosen,
               std::vector<Move>& moves) const {
    for (const int i : chosen) {
      const MovableMember& member = movable_[i];
      const GangOutcome outcome = PlaceGang(inventory, {.members = {{member.request, 1}}});
      const GangPlan* place = std::get_if<GangPlan>(&outcome);
      if (place == nullptr) return false;
      const PlacedMember& placed = place->members.at(0);
      Occupy(inventory.nodes[placed.node], inventory.layouts, placed.grants);
      moves.push_back({member.name, member.node, placed.node, member.grants, placed.grants});
    }
    return true;
  }

  const Inventory& inventory_;
  const GangRequest& gang_;
  const std::vector<MovableMember>& movable_;
  const MoveOptions& options_;
  std::vector<int> by_name_;
  int attempts_ = 0;
};

}  // namespace

std::optional<MovePlan> PlanMoves(const Inventory& inventory, const GangRequest& gang,
                                  const std::vector<MovableMember>& movable,
                                  const MoveOptions& options) {
  return MovePlanner(inventory, gang, movable, options).Plan();
}

}  // namespace ashlar::composer
