// Reconciler: brings the world nearer to what one object asks for. A key never runs twice at once.
#pragma once

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "lib/api/kind_info.h"
#include "lib/base/call_context.h"

namespace ashlar::runtime {

// What follows a reconcile that went well. There is no third meaning.
class Action {
 public:
  // Nothing until something changes.
  static Action AwaitChange() { return Action(absl::InfiniteDuration()); }
  // Run again after `delay`, or earlier if something changes.
  static Action RequeueAfter(absl::Duration delay) { return Action(delay); }

  bool awaits_change() const { return delay_ == absl::InfiniteDuration(); }
  absl::Duration delay() const { return delay_; }

 private:
  explicit Action(absl::Duration delay) : delay_(delay) {}
  absl::Duration delay_;
};

class Reconciler {
 public:
  virtual ~Reconciler() = default;
  // Reads everything anew by key. An error is retried with backoff; InvalidArgument and
  // Unimplemented wait for a change of the object, because repeating cannot help.
  virtual absl::StatusOr<Action> Reconcile(const CallContext& context,
                                           const api::ObjectKey& key) = 0;
};

}  // namespace ashlar::runtime
