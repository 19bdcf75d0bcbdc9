// MigLayout: how GPUs of one model are divided, as the inventory tells it: profiles, the memory
// slices that each may take, and what an instance uses of what they share. Nothing of a vendor's
// table stands here. MigOccupancy is what is in use of one GPU. Pure values.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace ashlar::composer {

struct MigPlacement {
  int start = 0;  // first memory slice
  int size = 0;   // memory slices
  friend auto operator<=>(const MigPlacement&, const MigPlacement&) = default;
};

struct MigProfile {
  std::string name;  // such as 3g.40gb
  int compute_slices = 0;
  int media_engines = 0;
  int max_instances = 0;  // that one GPU can have of it
  std::vector<MigPlacement> placements;
};

inline constexpr int kMaxMigProfiles = 32;

// What is in use of one GPU.
struct MigOccupancy {
  uint64_t memory = 0;  // a bit for each memory slice
  int compute = 0;
  int media = 0;
  std::array<uint8_t, kMaxMigProfiles> instances = {};  // by profile
  bool Empty() const { return memory == 0 && compute == 0; }
  friend bool operator==(const MigOccupancy&, const MigOccupancy&) = default;
};

class MigLayout {
 public:
  // At most 64 memory slices and kMaxMigProfiles profiles; profiles beyond are left out, and
  // placements that do not lie within the memory slices.
  MigLayout(int memory_slices, int compute_slices, int media_engines,
            std::vector<MigProfile> profiles);

  int memory_slices() const { return memory_slices_; }
  const std::vector<MigProfile>& profiles() const { return profiles_; }

  // The number of the profile, or -1.
  int Find(absl::string_view name) const;

  // Whether an instance can be made there beside what is in use.
  bool CanTake(const MigOccupancy& used, int profile, MigPlacement placement) const;
  // `placement` must be free, or in use by an instance of the profile, respectively.
  void Take(MigOccupancy& used, int profile, MigPlacement placement) const;
  void GiveBack(MigOccupancy& used, int profile, MigPlacement placement) const;

  // Where an instance can be made now, by start.
  std::vector<MigPlacement> FreePlacements(const MigOccupancy& used, int profile) const;

  // How many instances of the profile could be made now, one beside the other.
  int Remaining(const MigOccupancy& used, int profile) const;

  // What could still be made, as one number. More of a larger kind (memory, then compute) is worth
  // more than anything of smaller kinds, and an empty GPU is worth most.
  int64_t Value(const MigOccupancy& used) const;

  // Best fit: the free placement that leaves the highest value; the lowest start decides between
  // equals. Nothing if none is free.
  std::optional<MigPlacement> BestPlacement(const MigOccupancy& used, int profile) const;

 private:
  int64_t Count(const MigOccupancy& used) const;

  int memory_slices_;
  int compute_slices_;
  int media_engines_;
  std::vector<MigProfile> profiles_;
  std::vector<std::vector<int>> kinds_;  // profiles of equal memory and compute, the largest first
  int64_t value_of_empty_ = 0;
};

// What a GPU is worth of which nothing is in use, beside what its layout says.
inline constexpr int64_t kEmptyGpuValue = int64_t{1} << 40;

}  // namespace ashlar::composer
