#include "node-agent/limits/limit_keeper.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "lib/base/log.h"

namespace ashlar::node_agent {
namespace {

// How soon to look again for a group that is missing, or one that a container has got.
constexpr absl::Duration kSoonest = absl::Milliseconds(50);
constexpr absl::Duration kLatest = absl::Milliseconds(500);
// The kubelet may mount a volume before it has made the pod's group.
constexpr absl::Duration kStartTime = absl::Seconds(10);

void AddProblem(std::map<std::string, std::string>& problems, const std::string& volume,
                absl::string_view problem) {
  std::string& text = problems[volume];
  absl::StrAppend(&text, text.empty() ? "" : "; ", problem);
}

}  // namespace

LimitKeeper::LimitKeeper(IoCgroups& groups, std::function<std::vector<VolumeUse>()> uses,
                         std::function<void()> changed, Clock& clock, metrics::Registry& metrics)
    : groups_(groups),
      uses_(std::move(uses)),
      changed_(std::move(changed)),
      clock_(clock),
      limited_(metrics.GetGauge("ashlar_agent_limited_groups",
                                "Control groups in which a volume's limits are in force.")),
      missing_(metrics.GetGauge("ashlar_agent_unlimited_volumes",
                                "Volumes whose limits are not in force for every pod.")),
      errors_(metrics.GetCounter("ashlar_agent_limit_errors_total",
                                 "Limits that a control group did not take.")) {}

void LimitKeeper::Start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
}

void LimitKeeper::Stop() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
}

absl::Status LimitKeeper::Refresh(const CallContext& context) {
  const std::stop_callback wake(context.stop, [this] {
    MutexLock lock(mu_);
    wake_.NotifyAll();
  });
  MutexLock lock(mu_);
  const uint64_t mine = ++asked_;
  wake_.NotifyAll();
  while (answered_ < mine) {
    if (context.stop.stop_requested()) return absl::CancelledError("the call was called off");
    if (clock_.Now() >= context.deadline)
      return absl::DeadlineExceededError("the limits were not looked at in time");
    clock_.WaitUntil(wake_, mu_, context.deadline);
  }
  return absl::OkStatus();
}

void LimitKeeper::Poke() {
  MutexLock lock(mu_);
  ++asked_;
  wake_.NotifyAll();
}

std::string LimitKeeper::Problem(const std::string& volume) const {
  MutexLock lock(mu_);
  const auto found = problems_.find(volume);
  return found == problems_.end() ? std::string() : found->second;
}

void LimitKeeper::Run(const std::stop_token& stop) {
  const std::stop_callback wake(stop, [this] {
    MutexLock lock(mu_);
    wake_.NotifyAll();
  });
  absl::Duration pause = kSoonest;
  while (!stop.stop_requested()) {
    uint64_t asked;
    {
      MutexLock lock(mu_);
      asked = asked_;
    }
    const bool again = Pass();
    MutexLock lock(mu_);
    pause = answered_ == asked ? std::min(2 * pause, kLatest) : kSoonest;
    answered_ = asked;
    wake_.NotifyAll();
    const absl::Time until = again ? clock_.Now() + pause : absl::InfiniteFuture();
    while (asked_ == asked && clock_.Now() < until && !stop.stop_requested())
      clock_.WaitUntil(wake_, mu_, until);
  }
}

bool LimitKeeper::Pass() {
  Findings findings;
  for (const VolumeUse& use : uses_()) {
    findings.limited = findings.limited || use.attributes.limits.any();
    std::set<std::string> pods;
    for (const std::string& target : use.targets) {
      const std::string pod = PodOfTarget(target);
      const auto claim = use.claim_pods.find(target);
      if (!pod.empty())
        pods.insert(pod);
      else if (claim != use.claim_pods.end())
        pods.insert(claim->second.begin(), claim->second.end());
      else if (use.attributes.limits.any())
        AddProblem(findings.problems, use.id,
                   absl::StrCat(target, " is not of a pod: no limits hold there"));
    }
    for (const std::string& pod : pods) LimitPod(use, pod, findings);
  }
  first_ = false;
  ClearUnwanted(findings.wanted);
  limited_.Set(static_cast<double>(std::count_if(
      written_.begin(), written_.end(), [](const auto& item) { return item.second.any(); })));
  missing_.Set(static_cast<double>(findings.problems.size()));
  const bool again = !findings.problems.empty() || !findings.missing.empty() ||
                     (findings.limited && groups_.grows());
  missing_since_ = std::move(findings.missing);
  Publish(std::move(findings.problems));
  return again;
}

void LimitKeeper::LimitPod(const VolumeUse& use, const std::string& pod, Findings& findings) {
  const IoLimits& limits = use.attributes.limits;
  const bool none_before = std::none_of(written_.begin(), written_.end(), [&](const auto& item) {
    return item.first.device == use.device;
  });
  if (!limits.any() && none_before && !first_) return;
  const auto problem = [&](absl::string_view text) {
    if (limits.any()) AddProblem(findings.problems, use.id, absl::StrCat("pod ", pod, ": ", text));
  };
  if (use.device == DeviceNumber{})
    return problem("its I/O goes through no device of the volume's own");
  const absl::StatusOr<std::vector<std::string>> groups = groups_.GroupsOf(pod);
  if (absl::IsNotFound(groups.status()) && limits.any()) {
    const auto known = missing_since_.find({use.id, pod});
    const absl::Time since = known == missing_since_.end() ? clock_.Now() : known->second;
    findings.missing[{use.id, pod}] = since;
    if (clock_.Now() - since < kStartTime) return;
  }
  if (!groups.ok()) return problem(groups.status().message());
  for (const std::string& group : *groups) {
    const Place place{group, use.device};
    findings.wanted.insert(place);
    if (const auto known = written_.find(place); known != written_.end() && known->second == limits)
      continue;
    const absl::Status set = groups_.Limit(group, use.device, limits);
    if (set.ok()) {
      written_[place] = limits;
      continue;
    }
    written_.erase(place);
    if (absl::IsNotFound(set)) continue;  // the container has ended
    errors_.Increment();
    problem(set.message());
  }
}

void LimitKeeper::ClearUnwanted(const std::set<Place>& wanted) {
  for (auto it = written_.begin(); it != written_.end();) {
    if (wanted.count(it->first) > 0) {
      ++it;
      continue;
    }
    // A group or device that is gone has taken its limits along.
    const absl::Status cleared =
        it->second.any() ? groups_.Limit(it->first.group, it->first.device, {}) : absl::OkStatus();
    if (!cleared.ok() && !absl::IsNotFound(cleared))
      LogDebug("limits of a volume that went are not cleared",
               {{"group", it->first.group}, {"error", cleared.ToString()}});
    it = written_.erase(it);
  }
}

void LimitKeeper::Publish(std::map<std::string, std::string> problems) {
  std::map<std::string, std::string> before;
  {
    MutexLock lock(mu_);
    before = std::exchange(problems_, problems);
  }
  if (before == problems) return;
  for (const auto& [volume, problem] : problems)
    if (const auto known = before.find(volume); known == before.end() || known->second != problem)
      LogWarning("limits are not in force; tried on and on",
                 {{"volume", volume}, {"problem", problem}});
  changed_();
}

}  // namespace ashlar::node_agent
