#include "controller/near/inline_volumes_reconciler.h"

#include "controller/volume/volume_locality.h"
#include "controller/volume/volume_plan.h"
#include "lib/api/kinds.h"
#include "lib/base/status_macros.h"
#include "lib/kube/object.h"

namespace ashlar::controller {

using runtime::Action;
using v1alpha1::Volume;

namespace {

Volume ObjectOf(const std::string& node, const agent::v1::VolumeState& state) {
  Volume volume;
  volume.mutable_metadata()->set_name(state.volume_id());
  v1alpha1::VolumeSpec& spec = *volume.mutable_spec();
  spec.set_pool(state.pool());
  spec.set_size(state.size_bytes());
  spec.set_mode("Filesystem");
  spec.set_fs_type(state.fs_type());
  spec.set_node_name(node);
  spec.set_drive(state.drive());
  *spec.mutable_near()->mutable_gpus() = state.locality().gpus();
  spec.mutable_pod()->set_namespace_(state.locality().pod_namespace());
  spec.mutable_pod()->set_name(state.locality().pod_name());
  return volume;
}

}  // namespace

absl::Status InlineVolumesReconciler::Tell(const CallContext& context, const AgentView& agent,
                                           const agent::v1::VolumeState& state) {
  const agent::v1::Inventory& inventory = agent.report->inventory();
  runtime::ObjectPtr object = parts_.volumes.Get({"", state.volume_id()});
  if (object == nullptr) {
    auto made =
        parts_.volume_writer.Create(context, api::ToJson(ObjectOf(inventory.node(), state)));
    // The cache is behind: its news queue the node.
    if (absl::IsAlreadyExists(made.status())) return absl::OkStatus();
    ASHLAR_RETURN_IF_ERROR(made.status());
    object = std::make_shared<const Json>(*std::move(made));
  }
  if (!IsInlineVolume(*object) || kube::IsBeingDeleted(*object)) return absl::OkStatus();
  VolumeFacts facts;
  ASHLAR_ASSIGN_OR_RETURN(facts.volume, api::FromJson<Volume>(*object));
  const std::string before = facts.volume.status().SerializeAsString();
  facts.agent = agent.state;
  facts.settling = agent.settling;
  facts.agent_detail = agent.detail;
  facts.reported = &state;
  SetObserved(facts, parts_.clock.Now());
  ObserveLocality(inventory, parts_.clock.Now(), facts.volume);
  if (facts.volume.status().SerializeAsString() == before) return absl::OkStatus();
  const absl::Status written =
      parts_.volume_writer.UpdateStatus(context, *object, facts.volume.status()).status();
  return absl::IsNotFound(written) ? absl::OkStatus() : written;
}

absl::StatusOr<Action> InlineVolumesReconciler::Reconcile(const CallContext& context,
                                                          const api::ObjectKey& key) {
  const AgentView agent = parts_.agents.View(key.name);
  const bool gone =
      agent.state == AgentState::kNone && !agent.settling && !parts_.nodes.Exists(key.name);
  std::map<std::string, const agent::v1::VolumeState*> reported;
  if (agent.report != nullptr && !gone)
    for (const agent::v1::VolumeState& volume : agent.report->inventory().volumes())
      if (volume.inline_volume() && volume.has_locality()) reported[volume.volume_id()] = &volume;
  if (agent.report != nullptr || gone) {
    for (const runtime::ObjectPtr& object : parts_.volumes.List()) {
      if (!IsInlineVolume(*object) || JsonString(*object, {"spec", "nodeName"}) != key.name ||
          reported.count(kube::KeyOf(*object).name) > 0 || kube::IsBeingDeleted(*object))
        continue;
      const absl::Status deleted =
          parts_.client.Delete(context, api::Kind<Volume>(), kube::KeyOf(*object),
                               {.uid = JsonString(*object, {"metadata", "uid"})});
      if (!deleted.ok() && !absl::IsNotFound(deleted)) return deleted;
    }
  }
  for (const auto& [id, state] : reported) ASHLAR_RETURN_IF_ERROR(Tell(context, agent, *state));
  return agent.settling ? Action::RequeueAfter(parts_.agents.options().silent_after)
                        : Action::AwaitChange();
}

}  // namespace ashlar::controller
