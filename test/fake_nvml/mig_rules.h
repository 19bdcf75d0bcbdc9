// How GPUs with seven compute and eight memory slices are divided: profiles, the places that each
// may take, and which of them are free beside what is there. As NVIDIA's MIG User Guide publishes
// it ("Supported MIG Profiles", `nvidia-smi mig -lgip` and `-lgipp`). Pure.
#pragma once

#include <string>
#include <vector>

namespace fake_nvml {

inline constexpr unsigned kComputeSlices = 7;
inline constexpr unsigned kMemorySlices = 8;

struct Placement {
  unsigned start = 0;  // first memory slice
  unsigned size = 0;   // memory slices
  bool operator==(const Placement&) const = default;
};

struct MigProfile {
  unsigned index = 0;  // NVML_GPU_INSTANCE_PROFILE_*
  unsigned id = 0;     // as nvidia-smi names it: 19, 20, 15, 14, 9, 5, 0
  std::string name;    // 1g.10gb+me
  unsigned compute_slices = 0;
  unsigned max_instances = 0;
  unsigned multiprocessors = 0;
  unsigned copy_engines = 0, decoders = 0, encoders = 0, jpegs = 0, ofas = 0;
  unsigned long long memory_mib = 0;
  std::vector<Placement> placements;
};

// One instance that exists.
struct Occupied {
  unsigned profile_id = 0;
  Placement placement;
};

// nullptr: there is no such profile.
const MigProfile* FindProfile(const std::vector<MigProfile>& profiles, unsigned id);

// Where an instance of the profile can be made now, in the order of `placements`. Empty if its
// memory slices overlap with another's everywhere, if the seven compute slices don't suffice, or if
// there are as many of it as there may be.
std::vector<Placement> FreePlacements(const std::vector<MigProfile>& profiles,
                                      const std::vector<Occupied>& occupied, unsigned id);

// How many instances of the profile could be made now, one beside the other.
unsigned RemainingCapacity(const std::vector<MigProfile>& profiles, std::vector<Occupied> occupied,
                           unsigned id);

// The place that the driver takes if none is asked for. Small instances are put at the end, so that
// the large places at the beginning stay free.
Placement PreferredPlacement(const MigProfile& profile, const std::vector<Placement>& free);

// The number of an instance follows from its place, so that it is the same when an instance is made
// again at the same place.
unsigned InstanceId(const MigProfile& profile, const Placement& placement);

}  // namespace fake_nvml
