#include "controller/claims/dra_controllers.h"

#include <thread>
#include <vector>

#include "absl/strings/str_split.h"
#include "controller/dra_names/drive_names.h"
#include "lib/kube/object.h"

namespace ashlar::controller {
namespace {

// Reports come in bursts; slices wait for the rest of the burst.
constexpr absl::Duration kGather = absl::Milliseconds(500);
constexpr int kSliceWorkers = 8;
constexpr int kClaimWorkers = 8;

std::string SpecMatters(const Json& object) {
  const Json* spec = FindJson(object, {"spec"});
  return spec == nullptr ? "" : DumpJson(*spec);
}

// Names of the nodes on which the claim has devices of ours.
std::vector<std::string> NodesOf(const Json& claim) {
  std::vector<std::string> nodes;
  const Json* results = FindJson(claim, {"status", "allocation", "devices", "results"});
  if (results == nullptr || !results->is_array()) return nodes;
  for (const Json& result : *results)
    if (IsOurDriver(JsonString(result, {"driver"}))) nodes.push_back(JsonString(result, {"pool"}));
  return nodes;
}

// The members of a Composition.
std::string PlacesMatter(const Json& composition) {
  const Json* members = FindJson(composition, {"status", "members"});
  return members == nullptr ? "" : DumpJson(*members);
}

std::string AllocationMatters(const Json& claim) {
  std::string text;
  for (const std::string& node : NodesOf(claim)) text += node + " ";
  return text;
}

}  // namespace

DraControllers::DraControllers(const DraParts& parts)
    : parts_(parts),
      offered_(parts.volumes),
      slices_reconciler_({parts.client, parts.dra.nvme_slices, parts.dra.gpu_slices,
                          parts.dra.nvidia_slices, parts.dra.claims, parts.volumes, offered_,
                          parts.nodes, parts.node_inventories, parts.compositions, parts.agents,
                          parts.clock, parts.metrics}),
      claims_reconciler_({}, {parts.client, parts.dra, parts.volumes, offered_, parts.volume_writer,
                              parts.agents, parts.offers, parts.events, parts.clock,
                              [this](const api::ObjectKey& key) { claims_.queue().Add(key); }}),
      slices_({.name = "slices", .workers = kSliceWorkers}, slices_reconciler_, parts.clock,
              parts.metrics),
      claims_({.name = "claims", .workers = kClaimWorkers}, claims_reconciler_, parts.clock,
              parts.metrics),
      node_inventory_filter_(SpecMatters),
      claim_filter_(AllocationMatters),
      composition_filter_(PlacesMatter) {}

void DraControllers::Run(std::stop_token stop) {
  std::jthread claims([&] { claims_.Run(stop); });
  slices_.Run(stop);
}

void DraControllers::WatchCaches() {
  parts_.volumes.AddHandler([this](const api::ObjectKey& key) { OnVolume(key); });
  claims_.Watch(parts_.dra.claims);
  // A claim that is given or loses a drive changes what of the drive is a claim's.
  parts_.dra.claims.AddHandler([this](const api::ObjectKey& key) {
    const runtime::ObjectPtr claim = parts_.dra.claims.Get(key);
    if (!claim_filter_.Changed(key, claim.get()) || claim == nullptr) return;
    for (const std::string& node : NodesOf(*claim)) slices_.queue().AddAfter({"", node}, kGather);
  });
  for (runtime::Informer* slices :
       {&parts_.dra.nvme_slices, &parts_.dra.gpu_slices, &parts_.dra.nvidia_slices}) {
    slices->AddHandler([this, slices](const api::ObjectKey& key) {
      const runtime::ObjectPtr slice = slices->Get(key);
      if (slice != nullptr)
        return slices_.queue().Add({"", JsonString(*slice, {"spec", "nodeName"})});
      for (const runtime::ObjectPtr& node : parts_.node_inventories.List())
        slices_.queue().AddAfter(kube::KeyOf(*node), kGather);
    });
  }
  parts_.compositions.AddHandler([this](const api::ObjectKey& key) { OnComposition(key); });
  parts_.node_inventories.AddHandler([this](const api::ObjectKey& key) {
    if (node_inventory_filter_.Changed(key, parts_.node_inventories.Get(key).get()))
      slices_.queue().Add(key);
  });
}

// Of one that gave its places back nobody knows any more where they were.
void DraControllers::OnComposition(const api::ObjectKey& key) {
  if (!composition_filter_.Changed(key, parts_.compositions.Get(key).get())) return;
  for (const runtime::ObjectPtr& node : parts_.node_inventories.List())
    slices_.queue().Add(kube::KeyOf(*node));
}

void DraControllers::OnVolume(const api::ObjectKey& key) {
  if (const std::string node = offered_.Note(key); !node.empty()) {
    slices_.queue().AddAfter({"", node}, kGather);
    QueueClaimsOf(node);
  }
  const runtime::ObjectPtr volume = parts_.volumes.Get(key);
  if (volume == nullptr || JsonString(*volume, {"metadata", "labels", kClaimUidLabel}).empty())
    return;
  const std::vector<std::string> claim =
      absl::StrSplit(JsonString(*volume, {"metadata", "annotations", kClaimAnnotation}), '/');
  const std::string node = JsonString(*volume, {"spec", "nodeName"});
  const bool known = claim.size() == 2 && parts_.dra.claims.Get({claim[0], claim[1]}) != nullptr;
  if (known) return claims_.queue().Add({claim[0], claim[1]});
  if (!kube::IsBeingDeleted(*volume)) claims_.queue().Add({"", node});
}

void DraControllers::OnReport(const ReportChange& change) {
  slices_.queue().AddAfter({"", change.node}, kGather);
  if (!change.first && !change.claims) return;
  QueueClaimsOf(change.node);
  claims_.queue().Add({"", change.node});
}

void DraControllers::OnNode(const std::string& node) { slices_.queue().Add({"", node}); }

std::string DraControllers::HolderOf(const std::string& volume) const {
  const std::string device = VolumeDeviceName(volume);
  for (const runtime::ObjectPtr& claim : parts_.dra.claims.List()) {
    const Json* results = FindJson(*claim, {"status", "allocation", "devices", "results"});
    if (results == nullptr || !results->is_array()) continue;
    for (const Json& result : *results)
      if (JsonString(result, {"driver"}) == kNvmeDriver && JsonString(result, {"device"}) == device)
        return absl::StrCat(JsonString(*claim, {"metadata", "namespace"}), "/",
                            JsonString(*claim, {"metadata", "name"}));
  }
  return "";
}

void DraControllers::QueueClaimsOf(const std::string& node) {
  for (const runtime::ObjectPtr& claim : parts_.dra.claims.List())
    for (const std::string& other : NodesOf(*claim))
      if (other == node) claims_.queue().Add(kube::KeyOf(*claim));
}

}  // namespace ashlar::controller
