#include "node-agent/gpu/partition/power_limits.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"

namespace ashlar::node_agent {

namespace pb = agent::v1;

absl::Status PowerLimits::Recover(const std::vector<PowerRecord>& records) {
  for (const PowerRecord& record : records) {
    if (record.boot_id != boot_id_) {  // the driver began with its default
      ASHLAR_RETURN_IF_ERROR(journal_.RemovePower(record));
      continue;
    }
    MutexLock lock(mu_);
    entries_[record.gpu].record = record;
  }
  return absl::OkStatus();
}

int64_t PowerLimits::Wanted(const Entry& entry, int watts) const {
  return watts == 0 ? entry.record.before_milliwatts : int64_t{watts} * 1000;
}

pb::GpuChangeAnswer PowerLimits::Check(const std::string& gpu, int watts) const {
  return change_(gpu, [&](pb::ChangeGpu& step) {
    step.mutable_read_power()->set_wanted_milliwatts(static_cast<uint32_t>(watts) * 1000);
  });
}

std::vector<std::string> PowerLimits::Changed() {
  MutexLock lock(mu_);
  std::vector<std::string> gpus;
  for (const auto& [gpu, entry] : entries_)
    if (!entry.record.gpu.empty()) gpus.push_back(gpu);
  return gpus;
}

absl::Time PowerLimits::NextTry(const std::string& gpu, int watts) {
  MutexLock lock(mu_);
  const auto it = entries_.find(gpu);
  if (it == entries_.end() || it->second.record.gpu.empty()) {
    if (watts == 0) return absl::InfiniteFuture();
    return it == entries_.end() ? absl::InfinitePast() : it->second.retry_at;
  }
  // Without a wish the record is still to be removed.
  const bool done = watts > 0 && it->second.set_milliwatts == Wanted(it->second, watts);
  return done ? absl::InfiniteFuture() : it->second.retry_at;
}

absl::StatusOr<pb::GpuChangeAnswer> PowerLimits::Settle(const std::string& gpu, int watts) {
  Entry entry;
  {
    MutexLock lock(mu_);
    const auto it = entries_.find(gpu);
    if (it != entries_.end()) entry = it->second;
  }
  if (entry.record.gpu.empty()) {
    if (watts == 0) return pb::GpuChangeAnswer();
    const pb::GpuChangeAnswer now =
        change_(gpu, [](pb::ChangeGpu& step) { step.mutable_read_power(); });
    if (!now.reason().empty()) {
      MutexLock lock(mu_);
      entries_[gpu].retry_at = clock_.Now() + retry_;
      return now;
    }
    entry.record = {gpu, boot_id_, now.power_milliwatts()};
    ASHLAR_RETURN_IF_ERROR(journal_.SavePower(entry.record));
  } else if (watts > 0 && entry.set_milliwatts == Wanted(entry, watts)) {
    return pb::GpuChangeAnswer();
  }
  const int64_t wanted = Wanted(entry, watts);
  const pb::GpuChangeAnswer answer = change_(gpu, [&](pb::ChangeGpu& step) {
    step.mutable_set_power()->set_milliwatts(static_cast<uint32_t>(wanted));
  });
  entry.set_milliwatts = answer.reason().empty() ? wanted : 0;
  entry.retry_at = answer.reason().empty() ? absl::InfinitePast() : clock_.Now() + retry_;
  if (answer.reason().empty())
    LogInfo("set the power limit of a GPU",
            {{"gpu", gpu}, {"milliwatts", wanted}, {"asked", watts > 0}});
  else
    LogWarning("the power limit of a GPU is not set yet",
               {{"gpu", gpu},
                {"milliwatts", wanted},
                {"error", absl::StrCat(answer.reason(), ": ", answer.message())}});
  const bool over = watts == 0 && answer.reason().empty();
  if (over) ASHLAR_RETURN_IF_ERROR(journal_.RemovePower(entry.record));
  MutexLock lock(mu_);
  if (over)
    entries_.erase(gpu);
  else
    entries_[gpu] = std::move(entry);
  return answer;
}

}  // namespace ashlar::node_agent
