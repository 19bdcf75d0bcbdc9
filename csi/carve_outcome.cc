#include "csi/carve_outcome.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace ashlar::csi_driver {
namespace {

using Kind = CarveOutcome::Kind;

CarveOutcome Pending(const std::string& why) {
  return {Kind::kPending, absl::DeadlineExceededError(why)};
}

}  // namespace

const k8s::Condition* FindCondition(const v1alpha1::Volume& volume, absl::string_view type) {
  for (const k8s::Condition& condition : volume.status().conditions()) {
    if (condition.type() == type) return &condition;
  }
  return nullptr;
}

int64_t CarvedBytes(const v1alpha1::Volume& volume) {
  // status.size is written when the volume exists. Carved may be False after that: a volume that
  // could not grow is still there.
  return volume.spec().node_name().empty() ? 0 : volume.status().size();
}

std::string DescribeConditions(const v1alpha1::Volume& volume) {
  std::vector<std::string> texts;
  for (const k8s::Condition& condition : volume.status().conditions()) {
    texts.push_back(absl::StrCat(condition.type(), "=", condition.status(), " (",
                                 condition.reason(), ": ", condition.message(), ")"));
  }
  return texts.empty() ? "it has no conditions" : absl::StrJoin(texts, ", ");
}

CarveOutcome DecideCarve(const v1alpha1::Volume& volume) {
  const std::string& name = volume.metadata().name();
  if (volume.metadata().has_deletion_timestamp()) {
    return {Kind::kRefused,
            absl::AbortedError(absl::StrCat("volume ", name, " is being deleted; repeat later"))};
  }
  const k8s::Condition* carved = FindCondition(volume, "Carved");
  if (carved == nullptr) return Pending("the controller has not looked at the volume yet");
  if (carved->status() == "True" && !volume.spec().node_name().empty() &&
      volume.status().size() >= volume.spec().size()) {
    return {Kind::kCarved, absl::OkStatus()};
  }
  const std::string text = absl::StrCat(carved->reason(), ": ", carved->message());
  if (carved->observed_generation() < volume.metadata().generation() ||
      carved->status() != "False") {
    return Pending(text);
  }
  if (carved->reason() == "NoCapacity") {
    return {Kind::kRefused, absl::ResourceExhaustedError(text)};
  }
  if (carved->reason() == "InvalidVolume") {
    return {Kind::kRefused, absl::InvalidArgumentError(text)};
  }
  if (carved->reason() == "PoolNotFound") {
    return {Kind::kRefused, absl::FailedPreconditionError(text)};
  }
  return Pending(text);  // what may pass by itself: PoolNotReady, AgentUnavailable, CarveFailed
}

}  // namespace ashlar::csi_driver
