#include "controller/slices/gpu_health.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace ashlar::controller {
namespace {

// Errors of the GPU, not of a program on it (NVIDIA's catalogue of XIDs): memory that cannot be
// corrected, the bus, firmware that does not answer.
constexpr int64_t kSevereXids[] = {48, 62, 64, 74, 79, 95, 119, 120, 140};
// How long such an error counts where the driver says that nothing is to be done.
constexpr absl::Duration kXidCounts = absl::Minutes(10);

}  // namespace

SevereXid SevereXidOf(const v1alpha1::GpuHealth& health, absl::Time now) {
  const std::string& action = health.recovery_action();
  if (!action.empty() && action != "None") return {};
  // The driver asks for nothing, or does not tell: what it told of lately counts.
  const v1alpha1::GpuXid* severe = nullptr;
  for (const v1alpha1::GpuXid& xid : health.xids())
    if (std::count(std::begin(kSevereXids), std::end(kSevereXids), xid.code()) > 0) severe = &xid;
  if (severe == nullptr) return {};
  if (action != "None") return {severe->code(), absl::InfiniteFuture()};
  const absl::Time end = absl::FromUnixSeconds(severe->at().seconds()) + kXidCounts;
  return now >= end ? SevereXid{} : SevereXid{severe->code(), end};
}

std::string GpuProblem(const v1alpha1::Gpu& gpu) {
  const v1alpha1::GpuHealth& health = gpu.health();
  if (!health.problem().empty()) return absl::StrCat("does not answer: ", health.problem());
  if (!health.recovery_action().empty() && health.recovery_action() != "None")
    return absl::StrCat("needs ", health.recovery_action());
  if (health.row_remap_failed()) return "has memory that cannot be repaired";
  if (health.row_remap_pending() || health.page_retirement_pending() ||
      health.channel_repair_pending())
    return "waits for a reset that repairs its memory";
  if (health.tpc_repair_pending()) return "waits for a reset that repairs its processors";
  return "";
}

}  // namespace ashlar::controller
