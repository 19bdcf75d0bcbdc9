#include "lib/kube/leader_elector.h"

#include <algorithm>
#include <thread>

#include "absl/strings/str_cat.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/kube/core_kinds.h"

namespace ashlar::kube {
namespace {

std::string MicroTime(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", time, absl::UTCTimeZone());
}

std::string HolderOf(const Json& lease) { return JsonString(lease, {"spec", "holderIdentity"}); }

}  // namespace

LeaderElector::LeaderElector(Client& client, Clock& clock, LeaderElectionOptions options)
    : client_(client), clock_(clock), options_(std::move(options)) {}

absl::Status LeaderElector::Run(const CallContext& context,
                                std::function<void(std::stop_token)> lead) {
  const absl::Status acquired = Acquire(context);
  if (absl::IsCancelled(acquired)) return absl::OkStatus();
  ASHLAR_RETURN_IF_ERROR(acquired);
  LogInfo("leading", {{"lease", options_.lease.ToString()}, {"identity", options_.identity}});
  leading_ = true;

  std::stop_source over;  // the caller's stop, or `lead` returned
  std::stop_callback on_stop(context.stop, [&] { over.request_stop(); });
  std::jthread leader([&](std::stop_token stop) {
    lead(stop);
    over.request_stop();
  });
  CallContext renewing = context;
  renewing.stop = over.get_token();
  const absl::Status ended = KeepRenewing(renewing);
  leader.request_stop();
  leader.join();
  leading_ = false;
  if (ended.ok()) Release();
  return ended;
}

absl::Status LeaderElector::Acquire(const CallContext& context) {
  for (;;) {
    const auto holds = TryAcquireOrRenew(context.Until(clock_.Now() + options_.renew_deadline));
    if (holds.ok() && *holds) return absl::OkStatus();
    ASHLAR_RETURN_IF_ERROR(CheckContext(clock_, context));
    if (!holds.ok() && !absl::IsAborted(holds.status()) && !absl::IsAlreadyExists(holds.status()))
      LogWarning("lease not taken", {{"error", holds.status().ToString()}});
    ASHLAR_RETURN_IF_ERROR(SleepFor(clock_, context, options_.retry_period));
  }
}

absl::Status LeaderElector::KeepRenewing(const CallContext& context) {
  absl::Time renewed = clock_.Now();
  for (;;) {
    const absl::Time lost_at = renewed + options_.renew_deadline;
    const absl::Time next = std::min(clock_.Now() + options_.retry_period, lost_at);
    SleepFor(clock_, context, next - clock_.Now()).IgnoreError();
    if (context.stop.stop_requested()) return absl::OkStatus();
    const absl::Time began = clock_.Now();
    const auto holds = TryAcquireOrRenew(context.Until(lost_at));
    if (context.stop.stop_requested()) return absl::OkStatus();
    if (holds.ok() && *holds) {
      renewed = began;
      continue;
    }
    const std::string why =
        holds.ok() ? absl::StrCat("held by ", HolderOf(observed_)) : holds.status().ToString();
    LogWarning("lease not renewed", {{"lease", options_.lease.ToString()}, {"error", why}});
    if (holds.ok() || clock_.Now() >= lost_at)
      return absl::AbortedError(
          absl::StrCat("lease ", options_.lease.ToString(), " is lost: ", why));
  }
}

absl::StatusOr<bool> LeaderElector::TryAcquireOrRenew(const CallContext& context) {
  // A leader writes what it wrote last time; everybody else looks first.
  if (!leading_ || HolderOf(observed_) != options_.identity) {
    auto got = client_.Get(context, kLease, options_.lease);
    if (absl::IsNotFound(got.status())) {
      observed_ = nullptr;
      ASHLAR_ASSIGN_OR_RETURN(Json made, client_.Create(context, kLease, NextLease(clock_.Now())));
      Observe(std::move(made));
      return true;
    }
    ASHLAR_RETURN_IF_ERROR(got.status());
    Observe(*std::move(got));
    const std::string holder = HolderOf(observed_);
    if (!holder.empty() && holder != options_.identity &&
        clock_.Now() < observed_at_ + options_.lease_duration)
      return false;
  }
  auto updated = client_.Update(context, kLease, NextLease(clock_.Now()), Subresource::kNone);
  if (!updated.ok()) {
    if (absl::IsAborted(updated.status())) observed_ = nullptr;  // look again next time
    return updated.status();
  }
  Observe(*std::move(updated));
  return true;
}

void LeaderElector::Observe(Json lease) {
  if (lease == observed_) return;
  observed_ = std::move(lease);
  observed_at_ = clock_.Now();
}

Json LeaderElector::NextLease(absl::Time now) const {
  Json lease = observed_;
  if (!lease.is_object()) {
    lease = {{"apiVersion", "coordination.k8s.io/v1"},
             {"kind", "Lease"},
             {"metadata", {{"namespace", options_.lease.space}, {"name", options_.lease.name}}}};
  }
  const bool mine = HolderOf(lease) == options_.identity;
  const int64_t transitions = JsonInt(lease, {"spec", "leaseTransitions"});
  const bool first = !lease.contains("spec");
  Json& spec = lease["spec"];
  spec["holderIdentity"] = options_.identity;
  spec["leaseDurationSeconds"] = absl::ToInt64Seconds(options_.lease_duration);
  spec["renewTime"] = MicroTime(now);
  if (!mine || !spec.contains("acquireTime")) spec["acquireTime"] = MicroTime(now);
  spec["leaseTransitions"] = mine || first ? transitions : transitions + 1;
  return lease;
}

void LeaderElector::Release() {
  if (!observed_.is_object() || HolderOf(observed_) != options_.identity) return;
  Json lease = observed_;
  lease["spec"]["holderIdentity"] = "";
  lease["spec"]["leaseDurationSeconds"] = 1;
  lease["spec"]["renewTime"] = MicroTime(clock_.Now());
  // The caller's context is stopped already; this last call has a short one of its own.
  const CallContext context{.deadline = clock_.Now() + absl::Seconds(2)};
  const auto released = client_.Update(context, kLease, lease, Subresource::kNone);
  if (released.ok()) {
    LogInfo("lease released", {{"lease", options_.lease.ToString()}});
  } else {
    LogWarning("lease not released; it lapses by itself",
               {{"lease", options_.lease.ToString()}, {"error", released.status().ToString()}});
  }
}

}  // namespace ashlar::kube
