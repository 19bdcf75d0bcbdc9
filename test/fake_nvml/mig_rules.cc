#include "test/fake_nvml/mig_rules.h"

#include <algorithm>

namespace fake_nvml {
namespace {

bool Overlap(const Placement& a, const Placement& b) {
  return a.start < b.start + b.size && b.start < a.start + a.size;
}

}  // namespace

const MigProfile* FindProfile(const std::vector<MigProfile>& profiles, unsigned id) {
  for (const MigProfile& profile : profiles)
    if (profile.id == id) return &profile;
  return nullptr;
}

std::vector<Placement> FreePlacements(const std::vector<MigProfile>& profiles,
                                      const std::vector<Occupied>& occupied, unsigned id) {
  const MigProfile* profile = FindProfile(profiles, id);
  if (profile == nullptr) return {};
  unsigned compute = 0, same = 0, media = 0;
  for (const Occupied& other : occupied) {
    const MigProfile* its = FindProfile(profiles, other.profile_id);
    if (its == nullptr) return {};
    compute += its->compute_slices;
    same += other.profile_id == id ? 1 : 0;
    media += its->ofas;
  }
  const MigProfile& whole = *FindProfile(profiles, 0);
  if (compute + profile->compute_slices > kComputeSlices || same >= profile->max_instances ||
      media + profile->ofas > whole.ofas)
    return {};
  std::vector<Placement> free;
  for (const Placement& placement : profile->placements) {
    const bool taken = std::any_of(occupied.begin(), occupied.end(), [&](const Occupied& other) {
      return Overlap(placement, other.placement);
    });
    if (!taken) free.push_back(placement);
  }
  return free;
}

unsigned RemainingCapacity(const std::vector<MigProfile>& profiles, std::vector<Occupied> occupied,
                           unsigned id) {
  // The places of one profile overlap nowhere: in which order they are taken does not matter.
  for (unsigned count = 0;; ++count) {
    const std::vector<Placement> free = FreePlacements(profiles, occupied, id);
    if (free.empty()) return count;
    occupied.push_back({id, free.front()});
  }
}

Placement PreferredPlacement(const MigProfile& profile, const std::vector<Placement>& free) {
  return profile.compute_slices < 3 ? free.back() : free.front();
}

unsigned InstanceId(const MigProfile& profile, const Placement& placement) {
  if (placement.size == kMemorySlices) return 0;
  const unsigned first = placement.size == 4 ? 1 : placement.size == 2 ? 3 : 7;
  const unsigned at = placement.start / placement.size;
  // 3g at the beginning is number 2, so that 4g there and it never share a number.
  return profile.compute_slices == 3 ? 2 - at : first + at;
}

}  // namespace fake_nvml
