#include "controller/composer/mig_layout.h"

#include <algorithm>
#include <map>
#include <utility>

namespace ashlar::composer {
namespace {

// Kinds that a value tells apart, and the bits that each has in it.
constexpr size_t kKinds = 10;
constexpr int kBitsOfKind = 4;

uint64_t Bits(MigPlacement placement) {
  const uint64_t ones = placement.size >= 64 ? ~uint64_t{0} : (uint64_t{1} << placement.size) - 1;
  return ones << placement.start;
}

bool Within(MigPlacement placement, int slices) {
  return placement.size > 0 && placement.start >= 0 && placement.size <= slices &&
         placement.start <= slices - placement.size;
}

}  // namespace

MigLayout::MigLayout(int memory_slices, int compute_slices, int media_engines,
                     std::vector<MigProfile> profiles)
    : memory_slices_(std::min(memory_slices, 64)),
      compute_slices_(compute_slices),
      media_engines_(media_engines),
      profiles_(std::move(profiles)) {
  if (profiles_.size() > kMaxMigProfiles) profiles_.resize(kMaxMigProfiles);
  std::map<std::pair<int, int>, std::vector<int>> kinds;
  for (size_t i = 0; i < profiles_.size(); ++i) {
    std::vector<MigPlacement>& placements = profiles_[i].placements;
    std::erase_if(placements, [&](MigPlacement p) { return !Within(p, memory_slices_); });
    std::sort(placements.begin(), placements.end());
    if (placements.empty()) continue;
    kinds[{-placements[0].size, -profiles_[i].compute_slices}].push_back(static_cast<int>(i));
  }
  for (auto& [size, members] : kinds) {
    if (kinds_.size() < kKinds) kinds_.push_back(members);
  }
  value_of_empty_ = Count({});
}

int MigLayout::Find(absl::string_view name) const {
  for (size_t i = 0; i < profiles_.size(); ++i) {
    if (profiles_[i].name == name) return static_cast<int>(i);
  }
  return -1;
}

bool MigLayout::CanTake(const MigOccupancy& used, int profile, MigPlacement placement) const {
  const MigProfile& wanted = profiles_[profile];
  return (used.memory & Bits(placement)) == 0 &&
         used.compute + wanted.compute_slices <= compute_slices_ &&
         used.media + wanted.media_engines <= media_engines_ &&
         used.instances[profile] < wanted.max_instances;
}

void MigLayout::Take(MigOccupancy& used, int profile, MigPlacement placement) const {
  used.memory |= Bits(placement);
  used.compute += profiles_[profile].compute_slices;
  used.media += profiles_[profile].media_engines;
  ++used.instances[profile];
}

void MigLayout::GiveBack(MigOccupancy& used, int profile, MigPlacement placement) const {
  used.memory &= ~Bits(placement);
  used.compute -= profiles_[profile].compute_slices;
  used.media -= profiles_[profile].media_engines;
  --used.instances[profile];
}

std::vector<MigPlacement> MigLayout::FreePlacements(const MigOccupancy& used, int profile) const {
  std::vector<MigPlacement> free;
  for (const MigPlacement& placement : profiles_[profile].placements) {
    if (CanTake(used, profile, placement)) free.push_back(placement);
  }
  return free;
}

// Placements are intervals of slices: taking the one that ends first, again and again, makes most.
int MigLayout::Remaining(const MigOccupancy& used, int profile) const {
  MigOccupancy then = used;
  int count = 0;
  while (true) {
    const MigPlacement* first = nullptr;
    for (const MigPlacement& placement : profiles_[profile].placements) {
      if (!CanTake(then, profile, placement)) continue;
      if (first == nullptr || placement.start + placement.size < first->start + first->size) {
        first = &placement;
      }
    }
    if (first == nullptr) return count;
    Take(then, profile, *first);
    ++count;
  }
}

int64_t MigLayout::Value(const MigOccupancy& used) const {
  return used.Empty() ? value_of_empty_ : Count(used);
}

int64_t MigLayout::Count(const MigOccupancy& used) const {
  constexpr int kMost = (1 << kBitsOfKind) - 1;
  int64_t value = used.Empty() ? 1 : 0;
  for (size_t kind = 0; kind < kKinds; ++kind) {
    int most = 0;
    if (kind < kinds_.size()) {
      for (const int profile : kinds_[kind]) most = std::max(most, Remaining(used, profile));
    }
    value = (value << kBitsOfKind) + std::min(most, kMost);
  }
  static_assert(kEmptyGpuValue == int64_t{1} << (kKinds * kBitsOfKind));
  return value;
}

std::optional<MigPlacement> MigLayout::BestPlacement(const MigOccupancy& used, int profile) const {
  std::optional<MigPlacement> best;
  int64_t best_value = -1;
  for (const MigPlacement& placement : FreePlacements(used, profile)) {
    MigOccupancy then = used;
    Take(then, profile, placement);
    const int64_t value = Value(then);
    if (value > best_value) {
      best = placement;
      best_value = value;
    }
  }
  return best;
}

}  // namespace ashlar::composer
