// CallContext: how long a call may take, how it is called off, and whose request it serves. It is
// the first parameter of everything that may block; what it calls gets the same context or a
// narrower one. A value; cheap to copy.
#pragma once

#include <algorithm>
#include <stop_token>
#include <string>

#include "absl/time/time.h"

namespace ashlar {

struct CallContext {
  absl::Time deadline = absl::InfiniteFuture();
  std::stop_token stop;
  // Carried from the CSI call to the agent and written into every log line.
  std::string request_id;

  // The same context, ending at `at` if that is earlier.
  CallContext Until(absl::Time at) const {
    CallContext narrower = *this;
    narrower.deadline = std::min(deadline, at);
    return narrower;
  }
};

}  // namespace ashlar
