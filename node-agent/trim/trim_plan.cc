#include "node-agent/trim/trim_plan.h"

namespace ashlar::node_agent {
namespace {

// FNV-1a: the same in every process, unlike absl::Hash.
uint64_t StableHash(absl::string_view text) {
  uint64_t hash = 14695981039346656037u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  return hash ^ (hash >> 32);
}

}  // namespace

std::optional<absl::Time> NextTrim(absl::string_view volume, TrimSchedule schedule,
                                   absl::Time after) {
  if (schedule == TrimSchedule::kNever) return std::nullopt;
  const int64_t period = schedule == TrimSchedule::kDaily ? 24 * 3600 : 7 * 24 * 3600;
  const int64_t phase = static_cast<int64_t>(StableHash(volume) % static_cast<uint64_t>(period));
  const int64_t now = absl::ToUnixSeconds(after);
  const int64_t behind = ((now - phase) % period + period) % period;  // since the last time
  return absl::FromUnixSeconds(now + period - behind);
}

}  // namespace ashlar::node_agent
