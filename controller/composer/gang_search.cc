#include "controller/composer/gang_search.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace ashlar::composer {
namespace {

int Sum(const std::vector<int>& counts) { return std::accumulate(counts.begin(), counts.end(), 0); }

class GangSearch {
 public:
  GangSearch(NodeClasses& classes, const std::vector<GangCandidate>& candidates,
             const GangSearchRequest& request)
      : classes_(classes),
        candidates_(candidates),
        request_(request),
        groups_(request.replicas.size()) {
    FindBounds();
  }

  GangAnswer Run() {
    least_ = Bound(0, request_.replicas, {});
    Descend(0, request_.replicas, {}, nullptr);
    best_.proven = done_ || steps_ < request_.steps;
    return std::move(best_);
  }

 private:
  void FindBounds() {
    const size_t n = candidates_.size();
    room_.assign(n + 1, std::vector<int64_t>(groups_, 0));
    next_.assign(n, 0);
    most_.assign(groups_, 0);
    missed_.assign(groups_, 0);
    std::vector<bool> seen(groups_, false);
    for (size_t i = n; i-- > 0;) {
      const int node_class = candidates_[i].node_class;
      next_[i] = i + 1 < n && Alike(i, i + 1) ? next_[i + 1] : i + 1;
      for (size_t g = 0; g < groups_; ++g) {
        const int most = classes_.Most(node_class, static_cast<int>(g));
        room_[i][g] = room_[i + 1][g] + most;
        most_[g] = std::max(most_[g], most);
        if (most == 0) continue;
        GroupCounts one(groups_, 0);
        one[g] = 1;
        const int missed = classes_.Fit(node_class, one)->answer.cost.missed_levels;
        missed_[g] = seen[g] ? std::min(missed_[g], missed) : missed;
        seen[g] = true;
      }
    }
  }

  bool Alike(size_t a, size_t b) const {
    return candidates_[a].node_class == candidates_[b].node_class &&
           candidates_[a].domain == candidates_[b].domain;
  }

  // What any answer costs at least that continues so and is better than the best. Exact enough in
  // left_out to see that nothing does.
  GangCost Bound(size_t from, const std::vector<int>& remaining, GangCost cost) const {
    int nodes = 0, missed = 0;
    for (size_t g = 0; g < groups_; ++g) {
      cost.left_out +=
          static_cast<int>(remaining[g] - std::min<int64_t>(remaining[g], room_[from][g]));
    }
    // Of answers that are no worse in what they leave out.
    const int left_out = best_.found ? best_.cost.left_out : cost.left_out;
    for (size_t g = 0; g < groups_; ++g) {
      const int certain = std::max(0, remaining[g] - left_out);
      if (certain == 0 || most_[g] == 0) continue;
      nodes = std::max(nodes, (certain + most_[g] - 1) / most_[g]);
      missed += certain * missed_[g];
    }
    cost.missed_levels += missed;
    cost.nodes += nodes;
    if (nodes > 0 && cost.domains == 0 && !candidates_.empty() && candidates_[0].domain >= 0) {
      cost.domains = 1;
    }
    return cost;
  }

  bool Hopeless(size_t from, const std::vector<int>& remaining, const GangCost& cost) const {
    const GangCost bound = Bound(from, remaining, cost);
    return bound.left_out > request_.may_leave_out || (best_.found && bound >= best_.cost);
  }

  void Offer(const std::vector<int>& remaining, GangCost cost) {
    cost.left_out = Sum(remaining);
    if (cost.left_out > request_.may_leave_out) return;
    if (best_.found && cost >= best_.cost) return;
    best_.found = true;
    best_.cost = cost;
    best_.nodes = chosen_;
    done_ = cost == least_;
  }

  // `before`: what the candidate before `from` got, if it got something.
  void Descend(size_t from, const std::vector<int>& remaining, const GangCost& cost,
               const GroupCounts* before) {
    if (Sum(remaining) == 0) return Offer(remaining, cost);
    for (size_t i = from; i < candidates_.size(); i = next_[i]) {
      if (done_ || steps_ >= request_.steps) return;
      if (Hopeless(i, remaining, cost)) break;
      // Of alike nodes, one that comes later gets no more.
      const bool bounded = before != nullptr && i == from && Alike(i - 1, i);
      GroupCounts counts(groups_, 0);
      Enumerate(i, 0, remaining, cost, bounded ? before : nullptr, counts);
    }
    if (!done_) Offer(remaining, cost);
  }

  // All counts for candidate i from group g on, the largest first.
  void Enumerate(size_t i, size_t g, const std::vector<int>& remaining, const GangCost& cost,
                 const GroupCounts* bound, GroupCounts& counts) {
    if (g == groups_) return Choose(i, remaining, cost, bound, counts);
    const int node_class = candidates_[i].node_class;
    const int most = std::min(remaining[g], classes_.Most(node_class, static_cast<int>(g)));
    for (int count = most; count >= 0; --count) {
      if (done_ || steps_ >= request_.steps) break;
      counts[g] = count;
      if (count > 0 && classes_.Fit(node_class, counts) == nullptr) {
        ++steps_;
        continue;
      }
      Enumerate(i, g + 1, remaining, cost, bound, counts);
    }
    counts[g] = 0;
  }

  void Choose(size_t i, const std::vector<int>& remaining, const GangCost& cost,
              const GroupCounts* bound, const GroupCounts& counts) {
    if (Sum(counts) == 0 || (bound != nullptr && counts > *bound)) return;
    ++steps_;
    const ClassFit* fit = classes_.Fit(candidates_[i].node_class, counts);
    std::vector<int> rest = remaining;
    for (size_t g = 0; g < groups_; ++g) rest[g] -= counts[g];
    GangCost then = cost;
    then.missed_levels += fit->answer.cost.missed_levels;
    ++then.nodes;
    const int domain = candidates_[i].domain;
    if (domain >= 0 && domain != last_domain_) ++then.domains;
    if (Hopeless(i + 1, rest, then)) return;
    const int domain_before = std::exchange(last_domain_, domain);
    chosen_.push_back({candidates_[i].node, counts});
    const GroupCounts got = counts;
    Descend(i + 1, rest, then, &got);
    chosen_.pop_back();
    last_domain_ = domain_before;
  }

  NodeClasses& classes_;
  const std::vector<GangCandidate>& candidates_;
  const GangSearchRequest& request_;
  const size_t groups_;
  std::vector<std::vector<int64_t>> room_;  // by candidate: for each group alone, from there on
  std::vector<size_t> next_;                // the next candidate that is not alike
  std::vector<int> most_, missed_;          // by group: on any candidate
  GangCost least_;
  std::vector<std::pair<int, GroupCounts>> chosen_;
  int last_domain_ = -1;
  int steps_ = 0;
  bool done_ = false;
  GangAnswer best_;
};

}  // namespace

GangAnswer SearchGang(NodeClasses& classes, const std::vector<GangCandidate>& candidates,
                      const GangSearchRequest& request) {
  return GangSearch(classes, candidates, request).Run();
}

}  // namespace ashlar::composer
