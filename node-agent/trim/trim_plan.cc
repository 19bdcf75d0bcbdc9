#include "node-agent/trim/trim_plan.h"

#include "lib/base/fnv.h"

namespace ashlar::node_agent {
namespace {

// Its low bits depend on every byte.
uint64_t Spread(absl::string_view text) {
  const uint64_t hash = Fnv1a(text);
  return hash ^ (hash >> 32);
}

}  // namespace

std::optional<absl::Time> NextTrim(absl::string_view volume, TrimSchedule schedule,
                                   absl::Time after) {
  if (schedule == TrimSchedule::kNever) return std::nullopt;
  const int64_t period = schedule == TrimSchedule::kDaily ? 24 * 3600 : 7 * 24 * 3600;
  const int64_t phase = static_cast<int64_t>(Spread(volume) % static_cast<uint64_t>(period));
  const int64_t now = absl::ToUnixSeconds(after);
  const int64_t behind = ((now - phase) % period + period) % period;  // since the last time
  return absl::FromUnixSeconds(now + period - behind);
}

}  // namespace ashlar::node_agent
