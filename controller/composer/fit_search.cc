#include "controller/composer/fit_search.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace ashlar::composer {
namespace {

constexpr int64_t kMebibyte = int64_t{1} << 20;
// Steps that the greedy answer may take beyond one for each device.
constexpr size_t kGreedySteps = 64;

bool Contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

struct Candidate {
  FitChoice choice;
  FitCost cost;  // that it adds
};

class FitSearch {
 public:
  FitSearch(const NodeDevices& node, const std::vector<MigLayout>& layouts,
            const FitProblem& problem, const FitOptions& options)
      : node_(node), layouts_(layouts), problem_(problem), options_(options) {
    for (const Gpu& gpu : node.gpus) {
      taken_.push_back(gpu.taken);
      used_.push_back(gpu.used);
      value_.push_back(ValueOf(gpu, layouts));
    }
    for (const Drive& drive : node.drives) left_.push_back(drive.allocatable_bytes);
    for (const Nic& nic : node.nics) free_.push_back(nic.free);
    FindEligible();
    FindEqualGpus();
    FindBounds();
    members_.resize(problem.bonds.size());
    reached_.assign(problem.bonds.size(), Level::kSwitch);
    choices_.resize(problem.units.size());
  }

  // A greedy answer first: what is equal is then looked at in the order of cost, not of devices,
  // and all else is measured against it.
  FitAnswer Run() {
    greedy_ = true;
    limit_ = std::min<int>(options_.steps, static_cast<int>(kGreedySteps + problem_.units.size()));
    Descend(0, {});
    greedy_ = false;
    steps_ = 0;
    limit_ = options_.steps;
    Descend(0, {});
    best_.proven = steps_ < limit_;
    return std::move(best_);
  }

 private:
  void FindEligible() {
    for (const FitPart& part : problem_.parts) {
      std::vector<char> eligible;
      std::vector<int> profile;
      for (const Gpu& gpu : node_.gpus) {
        if (part.gpu == nullptr) break;
        eligible.push_back(MayUse(*part.gpu, gpu, layouts_));
        const bool divided = !part.gpu->profile.empty() && gpu.layout >= 0;
        profile.push_back(divided ? layouts_[gpu.layout].Find(part.gpu->profile) : -1);
      }
      eligible_.push_back(std::move(eligible));
      profile_.push_back(std::move(profile));
    }
  }

  // GPUs that are the same to every request, but for what is free of them.
  void FindEqualGpus() {
    for (size_t a = 0; a < node_.gpus.size(); ++a) {
      size_t b = 0;
      while (b < a && !EqualGpus(a, b)) ++b;
      gpu_class_.push_back(static_cast<int>(b));
    }
  }

  bool EqualGpus(size_t a, size_t b) const {
    const Gpu& x = node_.gpus[a];
    const Gpu& y = node_.gpus[b];
    if (x.place != y.place || x.clique != y.clique || x.layout != y.layout) return false;
    return std::all_of(eligible_.begin(), eligible_.end(), [&](const std::vector<char>& eligible) {
      return eligible.empty() || eligible[a] == eligible[b];
    });
  }

  bool EqualDrives(size_t a, size_t b) const {
    const Drive& x = node_.drives[a];
    const Drive& y = node_.drives[b];
    return x.place == y.place && left_[a] == left_[b] && x.kinds == y.kinds &&
           x.allocatable_bytes == y.allocatable_bytes && x.capacity_bytes == y.capacity_bytes &&
           x.problem.empty() == y.problem.empty();
  }

  bool EqualNics(size_t a, size_t b) const {
    const Nic& x = node_.nics[a];
    const Nic& y = node_.nics[b];
    return x.place == y.place && free_[a] == free_[b] && x.rdma == y.rdma &&
           x.link_layer == y.link_layer && x.speed_mbits == y.speed_mbits &&
           x.problem.empty() == y.problem.empty();
  }

  // rest_[i]: what the units from i on cost at least.
  void FindBounds() {
    rest_.assign(problem_.units.size() + 1, {});
    for (size_t i = problem_.units.size(); i-- > 0;) {
      const int index = problem_.units[i].part;
      const FitPart& part = problem_.parts[index];
      int64_t least = std::numeric_limits<int64_t>::max();
      if (part.gpu != nullptr && part.gpu->profile.empty()) {
        for (size_t g = 0; g < node_.gpus.size(); ++g) {
          if (eligible_[index][g] != 0 && value_[g] > 0) least = std::min(least, value_[g]);
        }
      }
      const bool found_gpu = least != std::numeric_limits<int64_t>::max();
      rest_[i] = rest_[i + 1] + FitCost{0, found_gpu ? least : 0, LeastMebibytes(part)};
    }
  }

  int64_t LeastMebibytes(const FitPart& part) const {
    int64_t least = std::numeric_limits<int64_t>::max();
    for (const Drive& drive : node_.drives) {
      if (part.drive == nullptr) break;
      if (CanHold(drive, *part.drive, part.bytes, drive.allocatable_bytes)) {
        least = std::min(least, drive.allocatable_bytes / kMebibyte);
      }
    }
    return least == std::numeric_limits<int64_t>::max() ? 0 : least;
  }

  // Whether a lower device is free to the unit in just the same way.
  bool HasEqualBefore(DeviceKind kind, size_t device) const {
    if (options_.pin) return false;
    for (size_t other = 0; other < device; ++other) {
      switch (kind) {
        case DeviceKind::kGpu:
          if (gpu_class_[other] == gpu_class_[device] && taken_[other] == taken_[device] &&
              used_[other] == used_[device]) {
            return true;
          }
          break;
        case DeviceKind::kDrive:
          if (EqualDrives(other, device)) return true;
          break;
        case DeviceKind::kNic:
          if (EqualNics(other, device)) return true;
          break;
      }
    }
    return false;
  }

  const Place& PlaceOf(DeviceKind kind, int device) const {
    switch (kind) {
      case DeviceKind::kGpu:
        return node_.gpus[device].place;
      case DeviceKind::kDrive:
        return node_.drives[device].place;
      case DeviceKind::kNic:
        break;
    }
    return node_.nics[device].place;
  }

  // The level that the bond has with one more device there.
  Level LevelWith(int bond, const Place& place) const {
    Level level = reached_[bond];
    for (const Place& member : members_[bond]) level = std::max(level, LevelBetween(member, place));
    return level;
  }

  static int Missed(const FitBond& bond, Level reached) {
    return std::max(0, static_cast<int>(reached) - static_cast<int>(bond.level));
  }

  // The levels that the device misses for preferred constraints, or nothing if it breaks a required
  // one.
  std::optional<int> MissedAt(const FitPart& part, const Place& place) const {
    int missed = 0;
    for (const int index : part.bonds) {
      const FitBond& bond = problem_.bonds[index];
      const Level level = LevelWith(index, place);
      if (bond.enforcement == Enforcement::kRequired) {
        if (level > bond.level) return std::nullopt;
      } else {
        missed += Missed(bond, level) - Missed(bond, reached_[index]);
      }
    }
    return missed;
  }

  bool Admits(size_t unit, const FitChoice& choice) const {
    const FitUnit& wanted = problem_.units[unit];
    const bool first = unit == 0 || problem_.units[unit - 1].part != wanted.part;
    if (options_.pin) {
      const FitPin& pin = *options_.pin;
      return wanted.part != pin.part || !first ||
             (choice.device == pin.device &&
              (pin.start < 0 || choice.placement.start == pin.start));
    }
    return greedy_ || wanted.twin < 0 || choices_[wanted.twin] <= choice;
  }

  void Add(size_t unit, FitChoice choice, FitCost cost, std::vector<Candidate>& candidates) const {
    if (!Admits(unit, choice)) return;
    const FitPart& part = problem_.parts[problem_.units[unit].part];
    const std::optional<int> missed = MissedAt(part, PlaceOf(part.kind, choice.device));
    if (!missed) return;
    cost.missed_levels = *missed;
    candidates.push_back({choice, cost});
  }

  // The clique that the units of the part before this one are in.
  bool CliqueFits(size_t unit, int gpu) const {
    const int part = problem_.units[unit].part;
    if (!problem_.parts[part].gpu->one_clique) return true;
    const int clique = node_.gpus[gpu].clique;
    if (unit == 0 || problem_.units[unit - 1].part != part) return clique >= 0;
    return clique == node_.gpus[choices_[unit - 1].device].clique;
  }

  void AddGpus(size_t unit, std::vector<Candidate>& candidates) const {
    const int part = problem_.units[unit].part;
    for (int g = 0; g < static_cast<int>(node_.gpus.size()); ++g) {
      if (eligible_[part][g] == 0 || taken_[g] || !CliqueFits(unit, g)) continue;
      if (HasEqualBefore(DeviceKind::kGpu, g)) continue;
      const int profile = profile_[part][g];
      if (problem_.parts[part].gpu->profile.empty()) {
        if (used_[g].Empty()) Add(unit, {g, -1, {}}, {0, value_[g], 0}, candidates);
        continue;
      }
      const MigLayout& layout = layouts_[node_.gpus[g].layout];
      for (const MigPlacement& placement : layout.FreePlacements(used_[g], profile)) {
        MigOccupancy then = used_[g];
        layout.Take(then, profile, placement);
        Add(unit, {g, profile, placement}, {0, value_[g] - layout.Value(then), 0}, candidates);
      }
    }
  }

  // Those that the fewest use come first: of equals the first is taken.
  void AddNics(size_t unit, std::vector<Candidate>& candidates) const {
    const int part = problem_.units[unit].part;
    std::vector<int> nics;
    for (int n = 0; n < static_cast<int>(free_.size()); ++n) {
      if (free_[n] <= 0 || !Serves(node_.nics[n], *problem_.parts[part].nic)) continue;
      if (!HasIt(unit, n) && !HasEqualBefore(DeviceKind::kNic, n)) nics.push_back(n);
    }
    std::stable_sort(nics.begin(), nics.end(), [&](int a, int b) { return free_[a] > free_[b]; });
    for (const int n : nics) Add(unit, {n, -1, {}}, {}, candidates);
  }

  // Whether an earlier unit of the same part has the device.
  bool HasIt(size_t unit, int device) const {
    const int part = problem_.units[unit].part;
    for (size_t before = unit; before > 0 && problem_.units[before - 1].part == part; --before)
      if (choices_[before - 1].device == device) return true;
    return false;
  }

  std::vector<Candidate> Candidates(size_t unit) const {
    std::vector<Candidate> candidates;
    const FitPart& part = problem_.parts[problem_.units[unit].part];
    if (part.kind == DeviceKind::kGpu) AddGpus(unit, candidates);
    for (int d = 0; part.kind == DeviceKind::kDrive && d < static_cast<int>(left_.size()); ++d) {
      const Drive& drive = node_.drives[d];
      if (!CanHold(drive, *part.drive, part.bytes, left_[d])) continue;
      if (HasEqualBefore(DeviceKind::kDrive, d)) continue;
      Add(unit, {d, -1, {}}, {0, 0, drive.allocatable_bytes / kMebibyte}, candidates);
    }
    if (part.kind == DeviceKind::kNic) AddNics(unit, candidates);
    std::stable_sort(candidates.begin(), candidates.end(),
                     [](const Candidate& a, const Candidate& b) { return a.cost < b.cost; });
    return candidates;
  }

  void Take(const FitPart& part, const FitChoice& choice) {
    const int d = choice.device;
    if (part.kind == DeviceKind::kDrive) {
      left_[d] -= part.drive->whole_drive ? node_.drives[d].capacity_bytes : part.bytes;
    } else if (part.kind == DeviceKind::kNic) {
      --free_[d];
    } else if (choice.profile < 0) {
      taken_[d] = true;
    } else {
      const MigLayout& layout = layouts_[node_.gpus[d].layout];
      layout.Take(used_[d], choice.profile, choice.placement);
      value_[d] = layout.Value(used_[d]);
    }
  }

  void Undo(const FitPart& part, const FitChoice& choice) {
    const int d = choice.device;
    if (part.kind == DeviceKind::kDrive) {
      left_[d] += part.drive->whole_drive ? node_.drives[d].capacity_bytes : part.bytes;
    } else if (part.kind == DeviceKind::kNic) {
      ++free_[d];
    } else if (choice.profile < 0) {
      taken_[d] = false;
    } else {
      const MigLayout& layout = layouts_[node_.gpus[d].layout];
      layout.GiveBack(used_[d], choice.profile, choice.placement);
      value_[d] = layout.Value(used_[d]);
    }
  }

  bool Hopeless(size_t unit, const FitCost& cost) const {
    if (!best_.found) return false;
    if (greedy_ || options_.any) return true;
    if (options_.levels_only) return cost.missed_levels >= best_.cost.missed_levels;
    return cost + rest_[unit] >= best_.cost;
  }

  void Descend(size_t unit, const FitCost& cost) {
    if (Hopeless(unit, cost)) return;
    if (unit == problem_.units.size()) {
      best_ = {true, true, cost, choices_, reached_};
      return;
    }
    const FitPart& part = problem_.parts[problem_.units[unit].part];
    for (const Candidate& candidate : Candidates(unit)) {
      if (steps_ >= limit_) return;
      ++steps_;
      if (Hopeless(unit + 1, cost + candidate.cost)) continue;
      const Place& place = PlaceOf(part.kind, candidate.choice.device);
      std::vector<Level> before;
      for (const int bond : part.bonds) {
        before.push_back(reached_[bond]);
        reached_[bond] = LevelWith(bond, place);
        members_[bond].push_back(place);
      }
      choices_[unit] = candidate.choice;
      Take(part, candidate.choice);
      Descend(unit + 1, cost + candidate.cost);
      Undo(part, candidate.choice);
      for (size_t i = 0; i < part.bonds.size(); ++i) {
        reached_[part.bonds[i]] = before[i];
        members_[part.bonds[i]].pop_back();
      }
    }
  }

  const NodeDevices& node_;
  const std::vector<MigLayout>& layouts_;
  const FitProblem& problem_;
  const FitOptions& options_;
  std::vector<std::vector<char>> eligible_;  // by part, then GPU
  std::vector<std::vector<int>> profile_;    // likewise: number of the wanted profile
  std::vector<int> gpu_class_;
  std::vector<FitCost> rest_;
  // As the choices so far leave it:
  std::vector<bool> taken_;
  std::vector<MigOccupancy> used_;
  std::vector<int64_t> value_;
  std::vector<int64_t> left_;
  std::vector<int> free_;
  std::vector<std::vector<Place>> members_;  // by bond
  std::vector<Level> reached_;
  std::vector<FitChoice> choices_;
  bool greedy_ = false;
  int limit_ = 0;
  int steps_ = 0;
  FitAnswer best_;
};

}  // namespace

bool MayUse(const GpuRequest& request, const Gpu& gpu, const std::vector<MigLayout>& layouts) {
  if (!gpu.problem.empty()) return false;
  if (!request.products.empty() && !Contains(request.products, gpu.product)) return false;
  if (!request.gpus.empty() && !Contains(request.gpus, gpu.name)) return false;
  if (request.profile.empty()) return gpu.gives_whole;
  return gpu.layout >= 0 && layouts[gpu.layout].Find(request.profile) >= 0;
}

bool Serves(const Nic& nic, const NicRequest& request) {
  return nic.problem.empty() && (nic.rdma || !request.rdma) &&
         (request.link_layer.empty() || nic.link_layer == request.link_layer) &&
         nic.speed_mbits >= request.min_speed_mbits;
}

bool CanHold(const Drive& drive, const DriveRequest& request, int64_t bytes,
             int64_t allocatable_bytes) {
  if (!drive.problem.empty() || allocatable_bytes < bytes) return false;
  if (request.whole_drive && allocatable_bytes != drive.capacity_bytes) return false;
  return request.kind.empty() || Contains(drive.kinds, request.kind);
}

FitAnswer SearchFit(const NodeDevices& node, const std::vector<MigLayout>& layouts,
                    const FitProblem& problem, const FitOptions& options) {
  return FitSearch(node, layouts, problem, options).Run();
}

Grants GrantsOf(const FitProblem& problem, const FitAnswer& answer, const NodeDevices& node,
                int member) {
  Grants grants;
  for (size_t i = 0; i < problem.units.size(); ++i) {
    const FitPart& part = problem.parts[problem.units[i].part];
    if (part.member != member) continue;
    const FitChoice& choice = answer.choices[i];
    if (part.kind == DeviceKind::kGpu) {
      grants.gpus.push_back({part.request, choice.device, choice.profile, choice.placement});
    } else if (part.kind == DeviceKind::kDrive) {
      const int64_t bytes =
          part.drive->whole_drive ? node.drives[choice.device].capacity_bytes : part.bytes;
      grants.drives.push_back({part.request, choice.device, bytes});
    } else {
      grants.nics.push_back({part.request, choice.device});
    }
  }
  auto by_request = [](const auto& a, const auto& b) { return a.request < b.request; };
  std::stable_sort(grants.gpus.begin(), grants.gpus.end(), by_request);
  std::stable_sort(grants.drives.begin(), grants.drives.end(), by_request);
  std::stable_sort(grants.nics.begin(), grants.nics.end(), by_request);
  return grants;
}

}  // namespace ashlar::composer
