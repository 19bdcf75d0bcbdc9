#include "controller/slices/slices_reconciler.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "ashlar/k8s/resource.codec.h"
#include "ashlar/v1alpha1/composition.codec.h"
#include "controller/dra_names/device_names.h"
#include "controller/dra_names/drive_names.h"
#include "controller/slices/drive_devices.h"
#include "controller/slices/volume_devices.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/kube/object.h"

namespace ashlar::controller {

using runtime::Action;

namespace {

std::vector<k8s::Device> PublishedDevices(const std::vector<Json>& slices) {
  std::vector<k8s::Device> devices;
  for (const Json& slice : slices) {
    const auto read = api::FromJson<k8s::ResourceSlice>(slice);
    if (!read.ok()) continue;  // is written anew
    for (const k8s::Device& device : read->spec().devices()) devices.push_back(device);
  }
  return devices;
}

// Names of the node's devices that claims hold.
absl::flat_hash_set<std::string> HeldDevices(const runtime::Cache& claims, const char* driver,
                                             const std::string& node) {
  absl::flat_hash_set<std::string> held;
  for (const runtime::ObjectPtr& claim : claims.List()) {
    const Json* results = FindJson(*claim, {"status", "allocation", "devices", "results"});
    if (results == nullptr || !results->is_array()) continue;
    for (const Json& result : *results)
      if (JsonString(result, {"driver"}) == driver && JsonString(result, {"pool"}) == node)
        held.insert(JsonString(result, {"device"}));
  }
  return held;
}

// A slice with counter sets is of use only where the server keeps them: without, parts of one GPU
// could be given out twice.
bool LostCounters(const SliceWrite& write, const Json& answer) {
  return FindJson(write.object, {"spec", "sharedCounters"}) != nullptr &&
         FindJson(answer, {"spec", "sharedCounters"}) == nullptr;
}

}  // namespace

std::vector<Json> SlicesOf(const runtime::Cache& slices, const std::string& node) {
  std::vector<Json> found;
  for (const runtime::ObjectPtr& slice : slices.List())
    if (JsonString(*slice, {"spec", "pool", "name"}) == node) found.push_back(*slice);
  return found;
}

SlicesReconciler::SlicesReconciler(const SlicesReconcilerParts& parts)
    : parts_(parts),
      writes_(parts_.metrics.GetCounter("ashlar_controller_slice_writes_total",
                                        "ResourceSlices that were made, changed or deleted.")) {}

absl::StatusOr<Action> SlicesReconciler::Reconcile(const CallContext& context,
                                                   const api::ObjectKey& key) {
  Pass pass{.context = context, .node = key.name, .agent = parts_.agents.View(key.name)};
  if (const runtime::ObjectPtr node = parts_.nodes.Get({"", key.name}))
    pass.node_uid = JsonString(*node, {"metadata", "uid"});
  const bool known = parts_.node_inventories.Get({"", key.name}) != nullptr;
  const bool gone = !known || (pass.agent.state == AgentState::kNone && !pass.agent.settling);
  if (gone) {
    ASHLAR_RETURN_IF_ERROR(Publish(pass, kNvmeDriver, parts_.nvme_slices, {}));
    ASHLAR_RETURN_IF_ERROR(Publish(pass, kGpuDriver, parts_.gpu_slices, {}));
    return Action::AwaitChange();
  }
  // A leader that has not heard the node yet leaves it as it is published.
  if (pass.agent.report != nullptr) {
    ASHLAR_RETURN_IF_ERROR(PublishDrives(pass));
    ASHLAR_RETURN_IF_ERROR(PublishGpus(pass));
  }
  absl::Duration wait = pass.until - parts_.clock.Now();
  if (pass.agent.settling) wait = std::min(wait, parts_.agents.options().silent_after);
  if (wait == absl::InfiniteDuration()) return Action::AwaitChange();
  return Action::RequeueAfter(std::max(wait, absl::Seconds(1)));
}

absl::Status SlicesReconciler::PublishDrives(Pass& pass) {
  const auto of_claim = [this](const std::string& name) {
    const runtime::ObjectPtr volume = parts_.volumes.Get({"", name});
    return volume != nullptr &&
           !JsonString(*volume, {"metadata", "labels", kClaimUidLabel}).empty();
  };
  const absl::flat_hash_set<std::string> held = HeldDevices(parts_.claims, kNvmeDriver, pass.node);
  const auto in_use = [&held](const std::string& device) { return held.contains(device); };
  std::vector<k8s::Device> drives;
  std::vector<k8s::Device> volumes;
  for (k8s::Device& device : PublishedDevices(SlicesOf(parts_.nvme_slices, pass.node)))
    (IsVolumeDevice(device.name()) ? volumes : drives).push_back(std::move(device));
  const agent::v1::Inventory& inventory = pass.agent.report->inventory();
  const bool silent = pass.agent.state != AgentState::kHeard && !pass.agent.settling;
  std::vector<k8s::Device> devices =
      DriveDevices({inventory, silent, std::move(drives), of_claim, in_use});
  for (k8s::Device& device :
       VolumeDevices({inventory, silent, parts_.offered.On(pass.node), volumes, in_use}))
    devices.push_back(std::move(device));
  return Publish(pass, kNvmeDriver, parts_.nvme_slices, InSlices(std::move(devices)));
}

absl::Status SlicesReconciler::PublishGpus(Pass& pass) {
  if (!GpusAreOurs(pass.node)) return Publish(pass, kGpuDriver, parts_.gpu_slices, {});
  const GpuDevices devices =
      DevicesOfGpus({pass.agent.report->inventory(),
                     pass.agent.state != AgentState::kHeard && !pass.agent.settling,
                     parts_.clock.Now(), ReservedOn(pass.node)});
  pass.until = std::min(pass.until, devices.until);
  return Publish(pass, kGpuDriver, parts_.gpu_slices, devices.slices);
}

std::vector<ReservedPlace> SlicesReconciler::ReservedOn(const std::string& node) const {
  std::vector<ReservedPlace> reserved;
  for (const runtime::ObjectPtr& object : parts_.compositions.List()) {
    const auto composition = api::FromJson<v1alpha1::Composition>(*object);
    if (!composition.ok()) continue;  // it has chosen nothing
    for (const v1alpha1::ComposedMember& member : composition->status().members())
      for (const v1alpha1::ComposedGPU& gpu : member.gpus())
        if (member.node() == node)
          reserved.push_back({gpu.gpu(), gpu.start(), gpu.size(), composition->metadata().uid()});
  }
  return reserved;
}

bool SlicesReconciler::GpusAreOurs(const std::string& node) const {
  const runtime::ObjectPtr inventory = parts_.node_inventories.Get({"", node});
  if (inventory == nullptr || JsonString(*inventory, {"spec", "gpuOwnership"}) != "Manage")
    return false;
  const runtime::ObjectPtr object = parts_.nodes.Get({"", node});
  return OtherGpuOwner(object == nullptr ? Json() : *object,
                       !SlicesOf(parts_.nvidia_slices, node).empty())
      .empty();
}

absl::Status SlicesReconciler::Publish(const Pass& pass, const char* driver,
                                       runtime::Informer& slices,
                                       const std::vector<SliceContent>& contents) {
  const PoolOwner owner{driver, pass.node, pass.node_uid};
  for (const SliceWrite& write : PlanPool(owner, SlicesOf(slices, pass.node), contents, Dropped()))
    ASHLAR_RETURN_IF_ERROR(Write(pass, slices, write));
  return absl::OkStatus();
}

DroppedFields SlicesReconciler::Dropped() {
  MutexLock lock(mu_);
  return dropped_;
}

absl::Status SlicesReconciler::Write(const Pass& pass, runtime::Informer& slices,
                                     const SliceWrite& write) {
  const api::KindInfo& kind = api::Kind<k8s::ResourceSlice>();
  writes_.Increment();
  if (write.kind == SliceWrite::Kind::kDelete) {
    const absl::Status deleted =
        parts_.client.Delete(pass.context, kind, kube::KeyOf(write.object),
                             {.uid = JsonString(write.object, {"metadata", "uid"})});
    return absl::IsNotFound(deleted) ? absl::OkStatus() : deleted;
  }
  const auto answer =
      write.kind == SliceWrite::Kind::kCreate
          ? parts_.client.Create(pass.context, kind, write.object)
          : parts_.client.Update(pass.context, kind, write.object, kube::Subresource::kNone);
  ASHLAR_RETURN_IF_ERROR(
      Annotate(answer.status(), absl::StrCat("slice ", kube::KeyOf(write.object).name)));
  {
    MutexLock lock(mu_);
    LearnDropped(write.object, *answer, dropped_);
  }
  slices.Put(*answer);
  if (!LostCounters(write, *answer)) return absl::OkStatus();
  ASHLAR_RETURN_IF_ERROR(parts_.client.Delete(pass.context, kind, kube::KeyOf(*answer), {}));
  return absl::UnimplementedError(
      "GPUs are not published: the API server keeps no shared counters (feature gate "
      "DRAPartitionableDevices)");
}

}  // namespace ashlar::controller
