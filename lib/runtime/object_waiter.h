// ObjectWaiter: blocks callers until an object of a cache is as they want it. A change wakes only
// those who wait for its key. Thread-safe.
#pragma once

#include <map>
#include <memory>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/runtime/cache.h"

namespace ashlar::runtime {

class ObjectWaiter {
 public:
  // `cache` and `clock` must outlive the waiter. The waiter may go before the cache.
  ObjectWaiter(Cache& cache, Clock& clock);

  // Calls `done` with the object (nullptr: absent), now and again after every change, on the
  // caller's thread and without a lock held, until it answers true. Cancelled, DeadlineExceeded as
  // the context says.
  absl::Status Await(const CallContext& context, const api::ObjectKey& key,
                     absl::FunctionRef<bool(const ObjectPtr&)> done);

 private:
  struct Waiting {
    CondVar woken;
    bool changed = false;
  };
  // Shared with the cache's handler, which can't be taken back.
  struct State {
    Mutex mu;
    std::multimap<api::ObjectKey, Waiting*> waiting ABSL_GUARDED_BY(mu);
  };

  absl::Status AwaitChange(const CallContext& context, Waiting& waiting);

  Cache& cache_;
  Clock& clock_;
  const std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace ashlar::runtime
