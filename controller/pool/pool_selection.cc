#include "controller/pool/pool_selection.h"

#include <utility>

#include "lib/base/status_macros.h"

namespace ashlar::controller {

absl::StatusOr<PoolSelection> PoolSelection::Make(const v1alpha1::Pool& pool) {
  PoolSelection selection;
  auto selector = api::LabelSelector::Make(pool.spec().node_selector());
  if (!selector.ok()) return Annotate(selector.status(), "spec.nodeSelector");
  selection.selector_ = *std::move(selector);
  return selection;
}

bool PoolSelection::Selects(const Json* node, bool runs_agent) const {
  if (selector_.empty()) return runs_agent;
  static const Json kNoLabels;
  const Json* labels = node == nullptr ? nullptr : FindJson(*node, {"metadata", "labels"});
  return selector_.Matches(labels == nullptr ? kNoLabels : *labels);
}

bool IsCordoned(const Json* node) {
  if (node == nullptr) return false;
  const Json* unschedulable = FindJson(*node, {"spec", "unschedulable"});
  return unschedulable != nullptr && unschedulable->is_boolean() && unschedulable->get<bool>();
}

}  // namespace ashlar::controller
