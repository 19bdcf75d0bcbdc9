#include "controller/composer/gang.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "controller/composer/gang_search.h"
#include "controller/composer/member_fit.h"

namespace ashlar::composer {
namespace {

// How many classes of nodes are explained; each costs some searches.
constexpr size_t kClassesExplained = 8;

using Candidates = std::vector<GangCandidate>;

class GangPlacement {
 public:
  GangPlacement(const Inventory& inventory, const GangRequest& request)
      : inventory_(inventory), request_(request) {
    for (size_t i = 0; i < request.members.size(); ++i) {
      if (request.members[i].replicas > 0) order_.push_back(static_cast<int>(i));
    }
    std::stable_sort(order_.begin(), order_.end(),
                     [&](int a, int b) { return Demand(a) > Demand(b); });
    for (const int member : order_) {
      groups_.push_back(&request.members[member].request);
      replicas_.push_back(request.members[member].replicas);
    }
    total_ = std::accumulate(replicas_.begin(), replicas_.end(), 0);
    const bool fewer = request.min_members > 0 && request.min_members < total_;
    wanted_ = fewer ? request.min_members : total_;
    classes_.emplace(inventory_, groups_, replicas_);
    RankClasses();
  }

  GangOutcome Place() {
    if (total_ == 0) return GangPlan{};
    std::map<std::string, Candidates> parts = Parts();
    std::string best_domain;
    GangAnswer best = Best(parts, total_ - wanted_, best_domain);
    if (best.found) return PlanOf(best);
    GangRefusal refusal;
    refusal.wanted = wanted_;
    refusal.proven = best.proven && classes_->proven();
    best = Best(parts, total_, best_domain);
    refusal.placeable = best.found ? total_ - best.cost.left_out : 0;
    if (!request_.required_label.empty() && refusal.placeable > 0) {
      refusal.domain = absl::StrCat(request_.required_label, " ", best_domain);
    }
    ExplainNodes(refusal);
    return refusal;
  }

 private:
  // How hard a member is to place: the hardest are placed first.
  std::pair<int64_t, int64_t> Demand(int member) const {
    const MemberRequest& asked = request_.members[member].request;
    int64_t gpus = 0, bytes = 0;
    for (const GpuRequest& gpu : asked.gpus) gpus += gpu.count * (gpu.profile.empty() ? 16 : 1);
    for (const DriveRequest& drive : asked.drives) bytes += drive.bytes;
    return {gpus, bytes};
  }

  // Which class is taken first: all members there if possible, and of those that the fullest;
  // else the roomiest.
  void RankClasses() {
    std::vector<std::tuple<bool, int, int, FitCost, int>> keys;
    for (int c = 0; c < classes_->size(); ++c) {
      bool all = true;
      int room = 0;
      FitCost cost;
      for (size_t g = 0; g < groups_.size(); ++g) {
        const int most = classes_->Most(c, static_cast<int>(g));
        room += most;
        all = all && most >= replicas_[g];
        if (most == 0) continue;
        GroupCounts one(groups_.size(), 0);
        one[g] = 1;
        cost = cost + classes_->Fit(c, one)->answer.cost;
      }
      room_.push_back(room);
      const int missed = std::exchange(cost.missed_levels, 0);
      keys.emplace_back(!all, missed, all ? 0 : -room, cost, c);
    }
    rank_.resize(keys.size());
    std::sort(keys.begin(), keys.end());
    for (size_t i = 0; i < keys.size(); ++i) rank_[std::get<4>(keys[i])] = static_cast<int>(i);
  }

  // Candidates by value of the required label, in the order in which they are tried.
  std::map<std::string, Candidates> Parts() const {
    std::vector<int> nodes(inventory_.nodes.size());
    std::iota(nodes.begin(), nodes.end(), 0);
    std::erase_if(nodes, [&](int node) {
      const int node_class = classes_->ClassOf(node);
      return node_class < 0 || room_[node_class] == 0;
    });
    std::sort(nodes.begin(), nodes.end(), [&](int a, int b) {
      const int x = rank_[classes_->ClassOf(a)], y = rank_[classes_->ClassOf(b)];
      return x != y ? x < y : inventory_.nodes[a].name < inventory_.nodes[b].name;
    });
    std::map<std::string, Candidates> parts;
    for (const int node : nodes) {
      std::string value;
      if (!request_.required_label.empty()) {
        const auto& labels = inventory_.nodes[node].labels;
        const auto label = labels.find(request_.required_label);
        if (label == labels.end()) continue;
        value = label->second;
      }
      parts[value].push_back({node, classes_->ClassOf(node), -1});
    }
    return parts;
  }

  // A node without the label is a domain of its own.
  std::string DomainOf(int node) const {
    const auto& labels = inventory_.nodes[node].labels;
    const auto label = labels.find(request_.preferred_label);
    return label != labels.end() ? absl::StrCat("=", label->second)
                                 : absl::StrCat("#", inventory_.nodes[node].name);
  }

  std::vector<int64_t> RoomOf(const Candidates& candidates) const {
    std::vector<int64_t> room(groups_.size(), 0);
    for (const GangCandidate& candidate : candidates) {
      for (size_t g = 0; g < groups_.size(); ++g) {
        room[g] += classes_->Most(candidate.node_class, static_cast<int>(g));
      }
    }
    return room;
  }

  bool HasRoomForAll(const std::vector<int64_t>& room) const {
    for (size_t g = 0; g < groups_.size(); ++g) {
      if (room[g] < replicas_[g]) return false;
    }
    return true;
  }

  // The best of the parts; of equal ones that with the least room.
  GangAnswer Best(const std::map<std::string, Candidates>& parts, int may_leave_out,
                  std::string& best_part) {
    GangAnswer best;
    bool proven = true;
    int64_t best_room = 0;
    for (const auto& [value, candidates] : parts) {
      const std::vector<int64_t> room = RoomOf(candidates);
      const int64_t sum = std::accumulate(room.begin(), room.end(), int64_t{0});
      if (sum < total_ - may_leave_out) continue;
      GangAnswer answer = request_.preferred_label.empty() ? Search(candidates, may_leave_out)
                                                           : InDomains(candidates, may_leave_out);
      proven = proven && answer.proven;
      if (!answer.found) continue;
      if (best.found && std::tie(answer.cost, sum) >= std::tie(best.cost, best_room)) continue;
      best = std::move(answer);
      best_room = sum;
      best_part = value;
    }
    best.proven = proven;
    return best;
  }

  GangAnswer Search(const Candidates& candidates, int may_leave_out) {
    return SearchGang(*classes_, candidates, {replicas_, may_leave_out});
  }

  // One domain of the preferred label if one will do; else all of them in one search.
  GangAnswer InDomains(const Candidates& candidates, int may_leave_out) {
    std::map<std::string, Candidates> domains;
    for (const GangCandidate& candidate : candidates) {
      domains[DomainOf(candidate.node)].push_back(candidate);
    }
    std::vector<std::tuple<int64_t, std::string, Candidates*>> by_room;
    GangAnswer best;
    bool proven = true;
    int64_t best_room = 0;
    for (auto& [name, members] : domains) {
      const std::vector<int64_t> room = RoomOf(members);
      const int64_t sum = std::accumulate(room.begin(), room.end(), int64_t{0});
      by_room.emplace_back(-sum, name, &members);
      if (!HasRoomForAll(room)) continue;
      for (GangCandidate& candidate : members) candidate.domain = 0;
      GangAnswer answer = Search(members, 0);
      proven = proven && answer.proven;
      if (!answer.found) continue;
      if (best.found && std::tie(answer.cost, sum) >= std::tie(best.cost, best_room)) continue;
      best = std::move(answer);
      best_room = sum;
    }
    best.proven = proven;
    if (best.found) return best;
    std::sort(by_room.begin(), by_room.end());
    Candidates all;
    for (size_t d = 0; d < by_room.size(); ++d) {
      for (GangCandidate candidate : *std::get<2>(by_room[d])) {
        candidate.domain = static_cast<int>(d);
        all.push_back(candidate);
      }
    }
    return Search(all, may_leave_out);
  }

  GangPlan PlanOf(const GangAnswer& answer) const {
    GangPlan plan;
    plan.cost = answer.cost;
    plan.proven = answer.proven && classes_->proven();
    for (const auto& [node, counts] : answer.nodes) {
      const ClassFit* fit = classes_->Known(classes_->ClassOf(node), counts);
      int member = 0;
      for (size_t g = 0; g < groups_.size(); ++g) {
        for (int i = 0; i < counts[g]; ++i, ++member) {
          plan.members.push_back(
              {groups_[g]->name, order_[g], 0, node,
               GrantsOf(fit->problem, fit->answer, inventory_.nodes[node], member),
               LevelsOf(fit->problem, fit->answer, member)});
        }
      }
    }
    Number(plan);
    return plan;
  }

  // Members by their domains from the outside in, then by node, then as the request has them.
  std::vector<std::string> RankKey(const PlacedMember& member) const {
    const NodeDevices& node = inventory_.nodes[member.node];
    std::vector<std::string> labels = request_.rank_labels;
    labels.push_back(request_.required_label);
    labels.push_back(request_.preferred_label);
    std::vector<std::string> key;
    for (const std::string& label : labels) {
      const auto value = node.labels.find(label);
      key.push_back(value == node.labels.end() ? "" : value->second);
    }
    key.push_back(node.name);
    return key;
  }

  // Until here `index` says which of the request's members it is.
  void Number(GangPlan& plan) const {
    std::map<int, std::vector<std::string>> keys;
    for (const PlacedMember& member : plan.members) {
      if (!keys.contains(member.node)) keys[member.node] = RankKey(member);
    }
    std::stable_sort(plan.members.begin(), plan.members.end(),
                     [&](const PlacedMember& a, const PlacedMember& b) {
                       if (a.node != b.node) return keys[a.node] < keys[b.node];
                       return a.index < b.index;
                     });
    std::map<int, int> next;
    for (size_t i = 0; i < plan.members.size(); ++i) {
      plan.members[i].rank = static_cast<int>(i);
      plan.members[i].index = next[plan.members[i].index]++;
    }
  }

  // Of each class the node with the largest drive, the roomiest classes first.
  void ExplainNodes(GangRefusal& refusal) const {
    std::vector<std::pair<int64_t, int>> nearest(classes_->size(), {-1, -1});
    std::vector<int> alike(classes_->size(), -1);
    std::vector<NodeMisfit> unusable;
    for (int i = 0; i < static_cast<int>(inventory_.nodes.size()); ++i) {
      const NodeDevices& node = inventory_.nodes[i];
      const int node_class = classes_->ClassOf(i);
      if (node_class < 0) {
        unusable.push_back({node.name, 0, "", 0, {{"the node", node.problem, ""}}});
        continue;
      }
      ++alike[node_class];
      int64_t bytes = 0;
      for (const Drive& drive : node.drives) bytes = std::max(bytes, drive.allocatable_bytes);
      auto& [most, known] = nearest[node_class];
      if (bytes < most || (bytes == most && inventory_.nodes[known].name < node.name)) continue;
      nearest[node_class] = {bytes, i};
    }
    std::vector<std::pair<int, int>> by_room;
    for (int c = 0; c < classes_->size(); ++c) by_room.emplace_back(-room_[c], c);
    std::sort(by_room.begin(), by_room.end());
    if (by_room.size() > kClassesExplained) by_room.resize(kClassesExplained);
    for (const auto& [room, node_class] : by_room) {
      for (size_t g = 0; g < groups_.size(); ++g) {
        const int node = nearest[node_class].second;
        if (classes_->Most(node_class, static_cast<int>(g)) >= replicas_[g]) continue;
        refusal.nodes.push_back(ExplainNode(node, static_cast<int>(g), alike[node_class]));
      }
    }
    std::sort(unusable.begin(), unusable.end(),
              [](const NodeMisfit& a, const NodeMisfit& b) { return a.node < b.node; });
    refusal.nodes.insert(refusal.nodes.end(), unusable.begin(), unusable.end());
  }

  NodeMisfit ExplainNode(int number, int group, int alike) const {
    NodeDevices node = inventory_.nodes[number];
    const int node_class = classes_->ClassOf(number);
    GroupCounts counts(groups_.size(), 0);
    counts[group] = classes_->Most(node_class, group);
    if (counts[group] > 0) {
      const ClassFit* fit = classes_->Known(node_class, counts);
      for (int i = 0; i < counts[group]; ++i) {
        Occupy(node, inventory_.layouts, GrantsOf(fit->problem, fit->answer, node, i));
      }
    }
    return {node.name, alike, groups_[group]->name, counts[group],
            ExplainMisfit(node, inventory_.layouts, *groups_[group])};
  }

  const Inventory& inventory_;
  const GangRequest& request_;
  std::vector<int> order_;  // members of the request, the hardest first
  std::vector<const MemberRequest*> groups_;
  std::vector<int> replicas_;
  int total_ = 0;
  int wanted_ = 0;
  std::optional<NodeClasses> classes_;
  std::vector<int> room_;  // by class: of all groups, each alone
  std::vector<int> rank_;  // by class
};

}  // namespace

GangOutcome PlaceGang(const Inventory& inventory, const GangRequest& request) {
  return GangPlacement(inventory, request).Place();
}

}  // namespace ashlar::composer
