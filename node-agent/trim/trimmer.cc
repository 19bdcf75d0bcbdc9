#include "node-agent/trim/trimmer.h"

#include "absl/strings/str_cat.h"
#include "lib/base/log.h"
#include "node-agent/trim/trim_plan.h"

namespace ashlar::node_agent {
namespace {

// How often it is looked whether a volume is due: a change of a schedule counts from then on.
constexpr absl::Duration kLook = absl::Minutes(1);
// While a piece is trimmed its filesystem cannot be unmounted.
constexpr int64_t kPieceBytes = int64_t{4} << 30;
// Room for those who use the drive.
constexpr absl::Duration kPause = absl::Milliseconds(100);

}  // namespace

Trimmer::Trimmer(sys::FilesystemTrim& trim, std::function<std::vector<VolumeUse>()> uses,
                 Clock& clock, metrics::Registry& metrics)
    : trim_(trim),
      uses_(std::move(uses)),
      clock_(clock),
      bytes_(metrics.GetCounter("ashlar_agent_trimmed_bytes_total",
                                "Free bytes of mounted filesystems that were discarded.")),
      trims_(metrics.GetCounter("ashlar_agent_trims_total", "Filesystems that were trimmed.")),
      errors_(metrics.GetCounter("ashlar_agent_trim_errors_total",
                                 "Filesystems that could not be trimmed.")) {}

void Trimmer::Start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
}

void Trimmer::Stop() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
}

void Trimmer::Run(const std::stop_token& stop) {
  CallContext context;
  context.stop = stop;
  absl::Time since = clock_.Now();
  while (SleepFor(clock_, context, kLook).ok()) {
    const absl::Time now = clock_.Now();
    TrimDue(context, since, now);
    since = now;
  }
}

void Trimmer::TrimDue(const CallContext& context, absl::Time since, absl::Time now) {
  for (const VolumeUse& use : uses_()) {
    if (context.stop.stop_requested()) return;
    if (!use.returns_space || use.mount_point.empty()) continue;
    const std::optional<absl::Time> due = NextTrim(use.id, use.attributes.trim, since);
    if (due && *due <= now) TrimVolume(context, use);
  }
}

void Trimmer::TrimVolume(const CallContext& context, const VolumeUse& use) {
  int64_t trimmed = 0, start = 0;
  absl::Status status;
  while (status.ok()) {
    const absl::StatusOr<int64_t> piece =
        trim_.Trim(use.mount_point, use.device.major, use.device.minor, start, kPieceBytes);
    status = piece.status();
    if (!piece.ok()) break;
    start += kPieceBytes;
    trimmed += *piece;
    bytes_.Increment(static_cast<double>(*piece));
    status = SleepFor(clock_, context, kPause);
  }
  if (absl::IsNotFound(status) || absl::IsCancelled(status)) return;  // unmounted, or the end
  if (!absl::IsOutOfRange(status) || start == 0) {
    errors_.Increment();
    LogWarning("filesystem not trimmed", {{"volume", use.id}, {"error", status.ToString()}});
    return;
  }
  trims_.Increment();
  LogInfo("filesystem trimmed", {{"volume", use.id}, {"bytes", trimmed}});
}

}  // namespace ashlar::node_agent
