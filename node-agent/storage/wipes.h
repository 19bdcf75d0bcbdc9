// Wipes: work that makes the bytes of former volumes unreadable, each in a thread of its own, so
// that it outlives the call that asked for it and holds up no other call. What must be wiped is
// recorded on the medium by the backend; after a restart the backend starts it again.
// Thread-safe.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "lib/base/call_context.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"

namespace ashlar::node_agent {

class Wipes {
 public:
  // Gets a context that is stopped when the wipes are destroyed.
  using Work = std::function<absl::Status(const CallContext& context)>;

  // Stops the work and waits for its end.
  ~Wipes();
  // Starts the work unless work of this key is under way, and does not wait.
  void Start(const std::string& key, Work work);
  // Start, and waits for the end of the work of this key. Its status; or Unavailable when the
  // context ends before: the work goes on and the call can be repeated.
  absl::Status Run(const CallContext& context, const std::string& key, Work work);

 private:
  struct Wipe {
    bool done = false;
    absl::Status status;
    std::jthread thread;
  };
  std::shared_ptr<Wipe> Ensure(const std::string& key, Work work)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  RealClock clock_;
  Mutex mu_;
  CondVar changed_;
  std::map<std::string, std::shared_ptr<Wipe>> wipes_ ABSL_GUARDED_BY(mu_);
};

}  // namespace ashlar::node_agent
