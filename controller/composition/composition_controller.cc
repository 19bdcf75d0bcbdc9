#include "controller/composition/composition_controller.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_split.h"
#include "ashlar/v1alpha1/composition.codec.h"
#include "controller/composition/composition_objects.h"
#include "lib/api/kinds.h"
#include "lib/kube/object.h"

namespace ashlar::controller {
namespace {

// What frees devices comes in bursts.
constexpr absl::Duration kGather = absl::Milliseconds(500);

std::string SpecMatters(const Json& object) {
  const Json* spec = FindJson(object, {"spec"});
  return spec == nullptr ? "" : DumpJson(*spec);
}

}  // namespace

CompositionController::CompositionController(const CompositionReconcilerOptions& options,
                                             const CompositionParts& parts)
    : parts_(parts),
      writer_(parts.client, api::Kind<v1alpha1::Composition>(),
              [this](const Json& object) { parts_.compositions.Put(object); }),
      reconciler_(options, {{parts.client, parts.compositions, parts.classes, parts.volumes,
                             parts.gpu_partitions, parts.claims, parts.nvidia_slices,
                             parts.node_inventories, parts.nodes, parts.agents, parts.clock},
                            writer_,
                            parts.volume_writer,
                            parts.events,
                            parts.clock}),
      // One worker: a choice must be seen by the next one.
      controller_({.name = "composition", .workers = 1}, reconciler_, parts.clock, parts.metrics),
      node_inventory_filter_(SpecMatters) {}

void CompositionController::Run(std::stop_token stop) { controller_.Run(stop); }

void CompositionController::QueueWaiting() {
  for (const runtime::ObjectPtr& object : parts_.compositions.List()) {
    const Json* members = FindJson(*object, {"status", "members"});
    if (members == nullptr || members->empty())
      controller_.queue().AddAfter(kube::KeyOf(*object), kGather);
  }
}

void CompositionController::QueueMembersOf(const std::string& node) {
  for (const runtime::ObjectPtr& object : parts_.compositions.List()) {
    const Json* members = FindJson(*object, {"status", "members"});
    if (members == nullptr || !members->is_array()) continue;
    if (std::any_of(members->begin(), members->end(),
                    [&](const Json& member) { return JsonString(member, {"node"}) == node; }))
      controller_.queue().AddAfter(kube::KeyOf(*object), kGather);
  }
}

void CompositionController::QueueOwnerOf(const runtime::Cache& cache, const api::ObjectKey& key) {
  const runtime::ObjectPtr object = cache.Get(key);
  if (object == nullptr) return QueueWaiting();  // what it had is free
  const std::vector<std::string> owner =
      absl::StrSplit(JsonString(*object, {"metadata", "annotations", kCompositionAnnotation}), '/');
  if (owner.size() == 2) controller_.queue().Add({owner[0], owner[1]});
}

void CompositionController::WatchCaches() {
  controller_.Watch(parts_.compositions);
  parts_.compositions.AddHandler([this](const api::ObjectKey& key) {
    if (parts_.compositions.Get(key) == nullptr) QueueWaiting();
  });
  parts_.classes.AddHandler([this](const api::ObjectKey&) { QueueWaiting(); });
  parts_.gpu_partitions.AddHandler([this](const api::ObjectKey& key) {
    if (parts_.gpu_partitions.Get(key) == nullptr) QueueWaiting();
  });
  parts_.node_inventories.AddHandler([this](const api::ObjectKey& key) {
    if (!node_inventory_filter_.Changed(key, parts_.node_inventories.Get(key).get())) return;
    QueueWaiting();
    QueueMembersOf(key.name);
  });
  parts_.volumes.AddHandler(
      [this](const api::ObjectKey& key) { QueueOwnerOf(parts_.volumes, key); });
  if (parts_.claims != nullptr)
    parts_.claims->AddHandler(
        [this](const api::ObjectKey& key) { QueueOwnerOf(*parts_.claims, key); });
}

}  // namespace ashlar::controller
