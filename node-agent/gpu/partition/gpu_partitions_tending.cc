// What GpuPartitions does without being asked.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "node-agent/gpu/partition/gpu_partitions.h"
#include "node-agent/gpu/partition/partition_turn.h"

namespace ashlar::node_agent {

namespace pb = agent::v1;

absl::Status GpuPartitions::ForgetMode(const ModeRecord& record) {
  ASHLAR_RETURN_IF_ERROR(journal_.RemoveMode(record));
  MutexLock lock(mu_);
  modes_.erase(record.gpu);
  mode_retry_.erase(record.gpu);
  return absl::OkStatus();
}

void GpuPartitions::LeaveMode(const std::string& gpu) {
  ModeRecord record;
  {
    MutexLock lock(mu_);
    const auto it = modes_.find(gpu);
    if (it == modes_.end()) return;
    for (const auto& [place, entry] : entries_)
      if (place.gpu == gpu) return;
    record = it->second;
  }
  const pb::GpuChangeAnswer answer =
      Change(gpu, [](pb::ChangeGpu& step) { step.mutable_mode()->set_enabled(false); });
  if (answer.reason().empty() && ForgetMode(record).ok()) return;
  if (stop_.stop_requested()) return;
  LogWarning("the MIG mode of a GPU is not set back yet",
             {{"gpu", gpu}, {"error", absl::StrCat(answer.reason(), ": ", answer.message())}});
  MutexLock lock(mu_);
  mode_retry_[gpu] = clock_.Now() + options_.mode_retry;
}

void GpuPartitions::LookForRemoved(const std::string& gpu) {
  const absl::StatusOr<v1alpha1::Mig> mig = Read(gpu);
  if (!mig.ok()) {
    MutexLock lock(mu_);
    look_at_ = std::min(look_at_, clock_.Now() + options_.retry);
    return;
  }
  for (const Entry& entry : Entries()) {
    const PartitionRecord& record = entry.record;
    if (record.gpu != gpu || record.phase != PartitionPhase::kMade || IsThere(*mig, record))
      continue;
    LogWarning("somebody else removed a part of a GPU", {{"gpu", gpu},
                                                         {"profile", record.profile},
                                                         {"start", record.start},
                                                         {"claim", record.claim}});
    if (!Forget(record).ok() || record.claim.empty()) continue;
    GpuPartition lost = ShowPart(record,
                                 "Removed: somebody else removed it; the pod must be "
                                 "replaced");
    MutexLock lock(mu_);
    refused_[{record.claim, Place{record.gpu, record.start}}] = std::move(lost);
  }
}

// Also of a GPU whose part was saved as made when the agent died, before its limit was set.
std::map<std::string, absl::Time> GpuPartitions::UnsettledPowers() {
  std::map<std::string, absl::Time> gpus;
  for (const std::string& gpu : powers_.Changed()) gpus[gpu] = absl::InfiniteFuture();
  for (const auto& [place, entry] : entries_)
    if (entry.record.power_watts > 0) gpus[place.gpu] = absl::InfiniteFuture();
  for (auto& [gpu, at] : gpus) at = powers_.NextTry(gpu, PowerOf(gpu));
  return gpus;
}

void GpuPartitions::Tend() {
  std::set<std::string> look, touched;
  {
    MutexLock lock(mu_);
    if (look_at_ <= clock_.Now()) {
      look_at_ = absl::InfiniteFuture();
      for (const auto& [place, entry] : entries_)
        if (entry.record.phase == PartitionPhase::kMade) look.insert(place.gpu);
    }
    for (const auto& [gpu, mode] : modes_)
      if (const auto retry = mode_retry_.find(gpu);
          retry == mode_retry_.end() || retry->second <= clock_.Now())
        touched.insert(gpu);
  }
  for (const std::string& gpu : look) LookForRemoved(gpu);
  for (const Entry& entry : Entries()) {
    const PartitionRecord& record = entry.record;
    const absl::Time due = record.kept()                           ? record.kept_until
                           : record.phase == PartitionPhase::kMade ? absl::InfiniteFuture()
                                                                   : entry.retry_at;
    if (due > clock_.Now()) continue;
    if (Undo({record.gpu, record.start}).ok()) touched.insert(record.gpu);
  }
  std::set<std::string> powered;
  {
    MutexLock lock(mu_);
    for (const auto& [gpu, at] : UnsettledPowers())
      if (at <= clock_.Now()) powered.insert(gpu);
  }
  for (const std::string& gpu : powered) SettlePower(gpu).IgnoreError();
  for (const std::string& gpu : touched) LeaveMode(gpu);
  bool rest = false;
  {
    MutexLock lock(mu_);
    rest = clock_.Now() - used_ >= options_.rest_after;
    if (rest) used_ = absl::InfiniteFuture();
  }
  if (rest) gpus_.Rest();
}

absl::Time GpuPartitions::NextTending() {
  absl::Time next = std::min(look_at_, used_ + options_.rest_after);
  std::set<std::string> occupied;
  for (const auto& [place, entry] : entries_) {
    occupied.insert(place.gpu);
    if (entry.record.kept())
      next = std::min(next, entry.record.kept_until);
    else if (entry.record.phase != PartitionPhase::kMade)
      next = std::min(next, entry.retry_at);
  }
  for (const auto& [gpu, at] : UnsettledPowers()) next = std::min(next, at);
  for (const auto& [gpu, mode] : modes_) {
    if (occupied.contains(gpu)) continue;
    const auto retry = mode_retry_.find(gpu);
    next = std::min(next, retry == mode_retry_.end() ? absl::InfinitePast() : retry->second);
  }
  return next;
}

void GpuPartitions::Run(const std::stop_token& stop) {
  const std::stop_callback wake(stop, [this] {
    MutexLock lock(mu_);
    changed_.NotifyAll();
  });
  CallContext context;
  context.stop = stop;
  for (;;) {
    {
      MutexLock lock(mu_);
      while (!stop.stop_requested() && (taken_ || clock_.Now() < NextTending()))
        clock_.WaitUntil(changed_, mu_, taken_ ? absl::InfiniteFuture() : NextTending());
    }
    const std::vector<GpuPartition> before = List();
    {
      Turn turn(*this);
      if (!turn.Await(context).ok()) return;
      Tend();
    }
    if (tell_ && List() != before) tell_();
  }
}

}  // namespace ashlar::node_agent
