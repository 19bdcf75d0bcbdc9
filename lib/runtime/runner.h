// Runner: starts informers, waits until each has listed its kind, then runs controllers, and stops
// all of it in the opposite order.
#pragma once

#include <atomic>
#include <vector>

#include "lib/base/clock.h"
#include "lib/runtime/controller.h"
#include "lib/runtime/informer.h"

namespace ashlar::runtime {

class Runner {
 public:
  explicit Runner(Clock& clock) : clock_(clock) {}

  // What is added must outlive Run. Not after Run has begun.
  void Add(Informer& informer) { informers_.push_back(&informer); }
  void Add(Controller& controller) { controllers_.push_back(&controller); }

  // Blocks until `context` is stopped, then stops the controllers, waits for the reconciles that
  // run, and stops the informers. OK after a stop. DeadlineExceeded if an informer has not listed
  // its kind within `sync_timeout`; nothing has been reconciled then.
  absl::Status Run(const CallContext& context, absl::Duration sync_timeout = absl::Minutes(2));

  // True while the controllers run: for /readyz.
  bool ready() const { return ready_; }

 private:
  absl::Status AwaitSync(const CallContext& context);
  void RunControllers(std::stop_token stop);

  Clock& clock_;
  std::vector<Informer*> informers_;
  std::vector<Controller*> controllers_;
  std::atomic<bool> ready_ = false;
};

}  // namespace ashlar::runtime
