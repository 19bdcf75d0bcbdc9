#include "lib/runtime/object_waiter.h"

namespace ashlar::runtime {

ObjectWaiter::ObjectWaiter(Cache& cache, Clock& clock) : cache_(cache), clock_(clock) {
  cache_.AddHandler([state = state_](const api::ObjectKey& key) {
    MutexLock lock(state->mu);
    const auto [first, last] = state->waiting.equal_range(key);
    for (auto it = first; it != last; ++it) {
      it->second->changed = true;
      it->second->woken.NotifyAll();
    }
  });
}

absl::Status ObjectWaiter::Await(const CallContext& context, const api::ObjectKey& key,
                                 absl::FunctionRef<bool(const ObjectPtr&)> done) {
  Waiting waiting;
  State& state = *state_;
  std::multimap<api::ObjectKey, Waiting*>::iterator entry;
  {
    MutexLock lock(state.mu);
    entry = state.waiting.emplace(key, &waiting);
  }
  absl::Status status;
  while (!done(cache_.Get(key))) {
    status = AwaitChange(context, waiting);
    if (!status.ok()) break;
  }
  MutexLock lock(state.mu);
  state.waiting.erase(entry);
  return status;
}

absl::Status ObjectWaiter::AwaitChange(const CallContext& context, Waiting& waiting) {
  State& state = *state_;
  std::stop_callback wake(context.stop, [&] {
    MutexLock lock(state.mu);
    waiting.woken.NotifyAll();
  });
  MutexLock lock(state.mu);
  while (!waiting.changed) {
    if (absl::Status ended = CheckContext(clock_, context); !ended.ok()) return ended;
    clock_.WaitUntil(waiting.woken, state.mu, context.deadline);
  }
  waiting.changed = false;
  return absl::OkStatus();
}

}  // namespace ashlar::runtime
