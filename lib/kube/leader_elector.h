// LeaderElector: of the processes that name the same Lease, one leads at a time. The rules and
// times are those of client-go's leaderelection: a candidate takes the lease when its holder has
// not renewed it for `lease_duration` as the candidate's own clock measured it; a leader that could
// not renew for `renew_deadline` stops leading before anyone else can begin.
//
//   candidate ──── lease is free or lapsed: taken ───► leading ──── stop ───► released
//       ▲  │ held by another: look again                  │
//       └──┘ after `retry_period`                         └── not renewed in time ───► lost
//
// Thread-safe.
#pragma once

#include <atomic>
#include <functional>
#include <stop_token>
#include <string>

#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/kube/client.h"

namespace ashlar::kube {

struct LeaderElectionOptions {
  ObjectKey lease;       // namespace and name of the Lease
  std::string identity;  // unlike that of any other candidate: the pod's name
  absl::Duration lease_duration = absl::Seconds(15);
  absl::Duration renew_deadline = absl::Seconds(10);
  absl::Duration retry_period = absl::Seconds(2);
};

class LeaderElector {
 public:
  // `client` and `clock` must outlive it. The process needs the rights to get, create and update
  // leases.
  LeaderElector(Client& client, Clock& clock, LeaderElectionOptions options);

  // Waits until this process leads, then calls `lead` on another thread with a token that is
  // stopped when leading ends, and returns when `lead` has returned. OK: the context was stopped or
  // `lead` returned by itself, and the lease has been given up. Aborted: the lease was lost; the
  // process should end, since `lead` may have been late to stop.
  absl::Status Run(const CallContext& context, std::function<void(std::stop_token)> lead);

  bool leading() const { return leading_; }

 private:
  absl::Status Acquire(const CallContext& context);
  // Returns when `over` is stopped (OK) or the lease is lost (Aborted).
  absl::Status KeepRenewing(const CallContext& context);
  // True: this process holds the lease now.
  absl::StatusOr<bool> TryAcquireOrRenew(const CallContext& context);
  void Observe(Json lease);
  Json NextLease(absl::Time now) const;
  void Release();

  Client& client_;
  Clock& clock_;
  const LeaderElectionOptions options_;
  std::atomic<bool> leading_ = false;
  Json observed_;  // the lease as it was seen last, null before the first look
  absl::Time observed_at_ = absl::InfinitePast();  // when it was seen to change last
};

}  // namespace ashlar::kube
