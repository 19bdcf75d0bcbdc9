// Failures: what a fake shall answer instead of doing its work. Thread-safe.
#pragma once

#include <map>
#include <string>

#include "absl/status/status.h"
#include "lib/base/mutex.h"

namespace ashlar::node_agent {

class Failures {
 public:
  // The next call of `method`, such as "Unmount", answers `status` and does nothing.
  void FailNext(const std::string& method, absl::Status status) {
    MutexLock lock(mu_);
    next_[method] = std::move(status);
  }
  // OK, or the failure that is due.
  absl::Status Take(const std::string& method) {
    MutexLock lock(mu_);
    const auto it = next_.find(method);
    if (it == next_.end()) return absl::OkStatus();
    absl::Status status = std::move(it->second);
    next_.erase(it);
    return status;
  }

 private:
  Mutex mu_;
  std::map<std::string, absl::Status> next_ ABSL_GUARDED_BY(mu_);
};

}  // namespace ashlar::node_agent
