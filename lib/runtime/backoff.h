// Backoff: how long to wait after the n-th failure in a row. A value, no state.
#pragma once

#include <algorithm>
#include <cmath>

#include "absl/time/time.h"

namespace ashlar::runtime {

struct Backoff {
  absl::Duration initial = absl::Milliseconds(5);  // after the first failure
  absl::Duration max = absl::Minutes(2);
  double factor = 2;

  // `failures` counts from 1; 0 gives no delay.
  absl::Duration Delay(int failures) const {
    if (failures <= 0) return absl::ZeroDuration();
    const double growth = std::pow(factor, std::min(failures - 1, 64));
    return std::min(max, initial * growth);
  }
};

}  // namespace ashlar::runtime
