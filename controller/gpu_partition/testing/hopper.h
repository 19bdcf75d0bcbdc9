// An H100 as an agent reports it, not divided, for tests.
#pragma once

#include <string>
#include <vector>

#include "ashlar/v1alpha1/gpu.pb.h"

namespace ashlar::controller {

inline v1alpha1::Gpu Hopper(const std::string& uuid) {
  v1alpha1::Gpu gpu;
  gpu.set_uuid(uuid);
  gpu.set_product("NVIDIA H100 80GB HBM3");
  gpu.set_architecture("Hopper");
  const auto add = [&](int id, const char* name, int compute, int gi, int most, int size,
                       std::vector<int> starts) {
    v1alpha1::MigProfile& profile = *gpu.mutable_mig()->add_profiles();
    profile.set_id(id);
    profile.set_name(name);
    profile.set_compute_slices(compute);
    profile.set_memory(gi * (int64_t{1} << 30));
    profile.set_max_instances(most);
    for (const int start : starts) {
      profile.add_placements()->set_start(start);
      profile.mutable_placements(profile.placements_size() - 1)->set_size(size);
    }
  };
  add(19, "1g.10gb", 1, 10, 7, 1, {0, 1, 2, 3, 4, 5, 6});
  add(14, "2g.20gb", 2, 20, 3, 2, {0, 2, 4});
  add(9, "3g.40gb", 3, 40, 2, 4, {0, 4});
  add(5, "4g.40gb", 4, 40, 1, 4, {0});
  add(0, "7g.80gb", 7, 80, 1, 8, {0});
  return gpu;
}

}  // namespace ashlar::controller
