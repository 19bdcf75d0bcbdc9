// WorkQueue: the keys that wait for a worker, with the promises of client-go's work queue:
//   - a key that is added many times before a worker takes it runs once;
//   - a key never runs on two workers at once; added while it runs, it runs again after Done;
//   - keys run in the order in which they became due; of two due times of one key the earlier wins.
//
//            Add                    Get                 Done
//   absent ───────► ready ─────────────────► running ─────────► absent
//     │  ▲            ▲                       │ Add   ▲
//     │  AddAfter:    │ time has come         ▼       │ (Done: ready again)
//     └────────────► delayed               running+dirty
//
// Thread-safe. Time comes from the clock only.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <set>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/time/time.h"
#include "lib/api/kind_info.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/runtime/backoff.h"

namespace ashlar::runtime {

class WorkQueue {
 public:
  explicit WorkQueue(Clock& clock, Backoff backoff = {}) : clock_(clock), backoff_(backoff) {}

  // Runs the key as soon as a worker is free. A due time that the key waits for is dropped.
  void Add(const api::ObjectKey& key);
  // Runs the key when `delay` has passed, or earlier if it is added or was due earlier.
  void AddAfter(const api::ObjectKey& key, absl::Duration delay);
  // AddAfter with the backoff of a key that has failed once more.
  void AddRateLimited(const api::ObjectKey& key);
  // Counts the key's failures from zero again.
  void Forget(const api::ObjectKey& key);
  int Failures(const api::ObjectKey& key) const;

  // Blocks until a key is due; the caller must call Done with it. nullopt: the queue is shut down
  // and empty.
  std::optional<api::ObjectKey> Get();
  void Done(const api::ObjectKey& key);

  // Nothing is added any more and due times are dropped; Get hands out what is ready, then nullopt.
  void ShutDown();
  // ShutDown, then blocks until every key that was ready or running is done.
  void ShutDownAndDrain();

  // Keys that are due and not taken yet.
  int depth() const;

 private:
  void Enqueue(const api::ObjectKey& key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void DropDueTime(const api::ObjectKey& key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void TakeInDueKeys() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void AddAfterLocked(const api::ObjectKey& key, absl::Duration delay)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  Clock& clock_;
  const Backoff backoff_;
  mutable Mutex mu_;
  CondVar changed_;
  bool shut_down_ ABSL_GUARDED_BY(mu_) = false;
  // ready_ holds each dirty key that does not run; dirty_ every key that must run (again).
  std::deque<api::ObjectKey> ready_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_set<api::ObjectKey> dirty_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_set<api::ObjectKey> running_ ABSL_GUARDED_BY(mu_);
  // The same delayed keys, by due time and by key.
  std::set<std::pair<absl::Time, api::ObjectKey>> by_time_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<api::ObjectKey, absl::Time> due_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<api::ObjectKey, int> failures_ ABSL_GUARDED_BY(mu_);
};

}  // namespace ashlar::runtime
