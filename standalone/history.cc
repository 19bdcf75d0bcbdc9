#include "standalone/history.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "standalone/api_error.h"

namespace ashlar::standalone {

History::History(Clock& clock, int64_t version, size_t capacity)
    : clock_(clock), capacity_(capacity), dropped_(version), version_(version) {}

void History::Add(Event event) {
  MutexLock lock(mu_);
  version_ = event.version;
  events_.push_back(std::make_shared<const Event>(std::move(event)));
  if (events_.size() > capacity_) {
    dropped_ = events_.front()->version;
    events_.pop_front();
  }
  added_.NotifyAll();
}

int64_t History::Version() const {
  MutexLock lock(mu_);
  return version_;
}

absl::StatusOr<std::vector<std::shared_ptr<const Event>>> History::After(
    int64_t version, size_t limit, absl::Time deadline, const std::stop_token& stop) {
  std::stop_callback wake(stop, [this] {
    MutexLock lock(mu_);
    added_.NotifyAll();
  });
  MutexLock lock(mu_);
  while (version_ <= version && !stop.stop_requested() && clock_.Now() < deadline) {
    clock_.WaitUntil(added_, mu_, deadline);
  }
  if (version < dropped_) {
    return Expired(absl::StrCat("too old resource version: ", version, " (", dropped_, ")"));
  }
  auto from = std::upper_bound(events_.begin(), events_.end(), version,
                               [](int64_t v, const auto& event) { return v < event->version; });
  auto to = from + static_cast<int64_t>(std::min(limit, static_cast<size_t>(events_.end() - from)));
  return std::vector<std::shared_ptr<const Event>>(from, to);
}

}  // namespace ashlar::standalone
