#include "node-agent/near/pod_questions.h"

#include <algorithm>
#include <stop_token>

#include "absl/strings/str_cat.h"

namespace ashlar::node_agent {

// The questions of an earlier agent were others.
PodQuestions::PodQuestions(Clock& clock, std::function<void()> changed)
    : clock_(clock),
      changed_(std::move(changed)),
      last_id_(static_cast<uint64_t>(absl::ToUnixMicros(clock.Now()))) {}

absl::StatusOr<std::vector<PodDevice>> PodQuestions::Find(const CallContext& context,
                                                          const PodId& pod) {
  if (pod.uid.empty()) return std::vector<PodDevice>();
  const absl::Time until = std::min(context.deadline, clock_.Now() + kControllerTime);
  uint64_t id;
  {
    MutexLock lock(mu_);
    id = ++last_id_;
    asked_[id].question = {id, pod.name_space, pod.uid};
  }
  changed_();
  const std::stop_callback wake(context.stop, [this] {
    MutexLock lock(mu_);
    told_.NotifyAll();
  });
  MutexLock lock(mu_);
  Asked& asked = asked_.at(id);
  while (!asked.answered && !context.stop.stop_requested() && clock_.Now() < until)
    clock_.WaitUntil(told_, mu_, until);
  Asked told = std::move(asked);
  asked_.erase(id);
  if (told.answered) return std::move(told.devices);
  return absl::UnavailableError(
      absl::StrCat("the controller does not tell which devices ResourceClaims gave to pod ",
                   pod.name_space, "/", pod.name));
}

std::vector<PodQuestion> PodQuestions::Open() const {
  std::vector<PodQuestion> open;
  MutexLock lock(mu_);
  for (const auto& [id, asked] : asked_)
    if (!asked.answered) open.push_back(asked.question);
  return open;
}

void PodQuestions::Answer(uint64_t id, std::vector<PodDevice> devices) {
  MutexLock lock(mu_);
  const auto asked = asked_.find(id);
  if (asked == asked_.end()) return;
  asked->second.answered = true;
  asked->second.devices = std::move(devices);
  told_.NotifyAll();
}

}  // namespace ashlar::node_agent
