#include "controller/composition/composition_gatherer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ashlar/k8s/resource.codec.h"
#include "ashlar/v1alpha1/composition.codec.h"
#include "ashlar/v1alpha1/gpu_partition.codec.h"
#include "controller/composition/composition_objects.h"
#include "controller/composition/gang_choice.h"
#include "controller/composition/gang_scheduler.h"
#include "controller/dra_names/device_names.h"
#include "controller/objects/object_writer.h"
#include "controller/pool/pool_selection.h"
#include "controller/slices/gpu_devices.h"
#include "controller/slices/slices_reconciler.h"
#include "lib/api/kinds.h"
#include "lib/api/selectors.h"
#include "lib/base/status_macros.h"
#include "lib/kube/core_kinds.h"
#include "lib/kube/object.h"

namespace ashlar::controller {

using v1alpha1::ComposedMember;
using v1alpha1::ComposedVolume;
using v1alpha1::Composition;
using v1alpha1::GPUPartitionAllocation;

namespace {

// Definitions come and go seldom.
constexpr absl::Duration kAskForKinds = absl::Seconds(5);

std::map<std::string, std::string> LabelsOf(const Json* labels) {
  std::map<std::string, std::string> out;
  if (labels == nullptr || !labels->is_object()) return out;
  for (const auto& [key, value] : labels->items())
    if (value.is_string()) out[key] = value.get<std::string>();
  return out;
}

// Devices of gpu.ashlar.dev that the claim has, with their nodes.
std::vector<std::pair<std::string, std::string>> GpusOf(const Json& claim) {
  std::vector<std::pair<std::string, std::string>> devices;
  const Json* results = FindJson(claim, {"status", "allocation", "devices", "results"});
  if (results == nullptr || !results->is_array()) return devices;
  for (const Json& result : *results)
    if (JsonString(result, {"driver"}) == kGpuDriver)
      devices.emplace_back(JsonString(result, {"pool"}), JsonString(result, {"device"}));
  return devices;
}

// A node that does not tell is not said to be ill.
bool IsNodeReady(const Json& node) {
  const Json* conditions = FindJson(node, {"status", "conditions"});
  if (conditions == nullptr || !conditions->is_array()) return true;
  return std::all_of(conditions->begin(), conditions->end(), [](const Json& condition) {
    return JsonString(condition, {"type"}) != "Ready" ||
           JsonString(condition, {"status"}) == "True";
  });
}

}  // namespace

struct CompositionGatherer::Pass {
  const CallContext& context;
  const Json& object;
  CompositionFacts facts;
  std::vector<std::shared_ptr<const AgentReport>> reports;
  std::vector<ComposableNode> nodes;
};

std::string CompositionUidOf(const Json& object) {
  return JsonString(object, {"metadata", "labels", kCompositionUidLabel});
}

std::vector<GPUPartitionAllocation> PartsOfCompositions(const runtime::Cache& compositions,
                                                        const api::ObjectKey& own) {
  std::vector<GPUPartitionAllocation> parts;
  for (const runtime::ObjectPtr& object : compositions.List()) {
    if (kube::KeyOf(*object) == own) continue;
    const auto composition = api::FromJson<Composition>(*object);
    if (!composition.ok()) continue;  // it has chosen nothing
    for (const ComposedMember& member : composition->status().members())
      for (const v1alpha1::ComposedGPU& gpu : member.gpus()) {
        GPUPartitionAllocation& part = parts.emplace_back();
        part.set_node(member.node());
        part.set_gpu(gpu.gpu());
        part.set_profile(gpu.profile());
        part.set_start(gpu.start());
        part.set_size(gpu.size());
      }
  }
  return parts;
}

absl::StatusOr<GatheredComposition> CompositionGatherer::Gather(const CallContext& context,
                                                                const Json& object) const {
  Pass pass{.context = context, .object = object, .facts = {}, .reports = {}, .nodes = {}};
  CompositionFacts& facts = pass.facts;
  ASHLAR_ASSIGN_OR_RETURN(facts.object, api::FromJson<Composition>(object));
  facts.has_finalizer = HasAgentFinalizer(object);
  facts.serves_claims = sources_.claims != nullptr;
  const std::string& its_class = facts.object.spec().class_name();
  if (!its_class.empty()) {
    const runtime::ObjectPtr found = sources_.classes.Get({"", its_class});
    facts.class_missing = found == nullptr;
    if (found != nullptr) {
      ASHLAR_ASSIGN_OR_RETURN(const auto read, api::FromJson<v1alpha1::CompositionClass>(*found));
      facts.its_class = read.spec();
    }
  }
  *facts.object.mutable_spec() = WithClass(facts.object.spec(), facts.its_class);
  ASHLAR_RETURN_IF_ERROR(GatherMade(pass));
  ASHLAR_RETURN_IF_ERROR(GatherSchedulers(pass));
  ASHLAR_RETURN_IF_ERROR(GatherStock(pass));
  GatherMemberNodes(pass);
  return GatheredComposition{std::move(pass.facts), std::move(pass.nodes), std::move(pass.reports)};
}

absl::StatusOr<GatheredStock> CompositionGatherer::GatherWholeStock(
    const CallContext& context) const {
  const Json nobody = Json::object();
  Pass pass{.context = context, .object = nobody, .facts = {}, .reports = {}, .nodes = {}};
  ASHLAR_RETURN_IF_ERROR(GatherStock(pass));
  return GatheredStock{std::move(pass.facts.stock), std::move(pass.reports)};
}

absl::Status CompositionGatherer::GatherMade(Pass& pass) const {
  ComposedObjects& made = pass.facts.made;
  // Nothing is made before the finalizer is there.
  if (!pass.facts.has_finalizer) return absl::OkStatus();
  const std::string& uid = pass.facts.object.metadata().uid();
  for (const runtime::ObjectPtr& object : sources_.volumes.List()) {
    if (CompositionUidOf(*object) != uid) continue;
    ASHLAR_ASSIGN_OR_RETURN(made.volumes[kube::KeyOf(*object).name],
                            api::FromJson<v1alpha1::Volume>(*object));
  }
  if (sources_.claims != nullptr)
    for (const runtime::ObjectPtr& object : sources_.claims->List()) {
      if (CompositionUidOf(*object) != uid) continue;
      ASHLAR_ASSIGN_OR_RETURN(made.claims[kube::KeyOf(*object).name],
                              api::FromJson<k8s::ResourceClaim>(*object));
    }
  ASHLAR_RETURN_IF_ERROR(GatherNamed(pass, kube::kPersistentVolume, made.persistent_volumes));
  ASHLAR_RETURN_IF_ERROR(GatherNamed(pass, kube::kPersistentVolumeClaim, made.volume_claims));
  if (const api::KindInfo* kind = GangKindOf(pass.facts.object.status().gang_scheduler().name()))
    ASHLAR_RETURN_IF_ERROR(GatherNamed(pass, *kind, made.gang_objects));
  return GatherNamed(pass, kube::kConfigMap, made.config_maps);
}

absl::Status CompositionGatherer::GatherSchedulers(Pass& pass) const {
  const Composition& object = pass.facts.object;
  if (object.status().has_gang_scheduler() || object.spec().gang_scheduler() == "None" ||
      object.metadata().has_deletion_timestamp())
    return absl::OkStatus();
  const absl::Time now = sources_.clock.Now();
  {
    MutexLock lock(mu_);
    pass.facts.installed_schedulers = installed_;
    if (now < asked_ + kAskForKinds) return absl::OkStatus();
  }
  std::set<std::string> installed;
  for (const GangScheduler& scheduler : GangSchedulers())
    for (const api::KindInfo& kind : scheduler.kinds) {
      ASHLAR_ASSIGN_OR_RETURN(const bool served, sources_.client.Serves(pass.context, kind));
      if (served) installed.insert(scheduler.name);
    }
  pass.facts.installed_schedulers = installed;
  MutexLock lock(mu_);
  installed_ = std::move(installed);
  asked_ = now;
  return absl::OkStatus();
}

absl::Status CompositionGatherer::GatherNamed(Pass& pass, const api::KindInfo& kind,
                                              std::set<std::string>& names) const {
  const k8s::ObjectMeta& meta = pass.facts.object.metadata();
  const auto list =
      sources_.client.List(pass.context, kind,
                           {.space = kind.namespaced ? meta.namespace_() : "",
                            .label_selector = absl::StrCat(kCompositionUidLabel, "=", meta.uid())});
  if (absl::IsNotFound(list.status())) return absl::OkStatus();  // the kind is not served
  ASHLAR_RETURN_IF_ERROR(list.status());
  for (const Json& item : list->items) names.insert(kube::KeyOf(item).name);
  return absl::OkStatus();
}

absl::Status CompositionGatherer::GatherStock(Pass& pass) const {
  CompositionFacts& facts = pass.facts;
  const api::ObjectKey own = kube::KeyOf(pass.object);
  ASHLAR_ASSIGN_OR_RETURN(pass.nodes, GatherNodes(pass));
  const std::vector<ComposableNode>& nodes = pass.nodes;
  std::set<std::string> own_claims;
  for (const auto& [name, claim] : facts.made.claims) own_claims.insert(claim.metadata().uid());
  if (facts.object.status().members().empty())
    facts.stock = StockOf(nodes, PromisedParts(own), PromisedToOthers(own), own_claims);
  else
    facts.stock = StockOf(nodes, {}, {}, own_claims);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<ComposableNode>> CompositionGatherer::GatherNodes(Pass& pass) const {
  const CompositionFacts& facts = pass.facts;
  ASHLAR_ASSIGN_OR_RETURN(const api::LabelSelector wanted,
                          api::LabelSelector::Make(facts.object.spec().node_selector()));
  ASHLAR_ASSIGN_OR_RETURN(const api::LabelSelector allowed,
                          api::LabelSelector::Make(facts.its_class.node_selector()));
  std::map<std::string, std::vector<std::string>> held;  // by node
  if (sources_.claims != nullptr)
    for (const runtime::ObjectPtr& claim : sources_.claims->List()) {
      const std::string& uid = facts.object.metadata().uid();
      if (!uid.empty() && CompositionUidOf(*claim) == uid) continue;
      for (auto& [node, device] : GpusOf(*claim)) held[node].push_back(std::move(device));
    }
  std::vector<ComposableNode> nodes;
  for (const runtime::ObjectPtr& inventory : sources_.node_inventories.List()) {
    ComposableNode& node = nodes.emplace_back();
    node.facts.name = kube::KeyOf(*inventory).name;
    const runtime::ObjectPtr object = sources_.nodes.Get({"", node.facts.name});
    const Json* labels = object == nullptr ? nullptr : FindJson(*object, {"metadata", "labels"});
    const Json selected = labels == nullptr ? Json() : *labels;
    if (!wanted.Matches(selected) || !allowed.Matches(selected)) {
      nodes.pop_back();
      continue;
    }
    node.labels = LabelsOf(labels);
    node.facts.held = held[node.facts.name];
    node.facts.power_budget_watts = PowerBudgetOf(*inventory);
    const AgentView agent = sources_.agents.View(node.facts.name);
    if (agent.report != nullptr) {
      node.facts.inventory = &agent.report->inventory();
      pass.reports.push_back(agent.report);
    }
    node.facts.gpus_problem = GpusProblemOf(*inventory);
    if (agent.state != AgentState::kHeard)
      node.facts.problem = "its agent says nothing";
    else if (IsCordoned(object.get()))
      node.facts.problem = "it is cordoned";
  }
  return nodes;
}

std::string CompositionGatherer::GpusProblemOf(const Json& inventory) const {
  const std::string node = kube::KeyOf(inventory).name;
  const runtime::ObjectPtr object = sources_.nodes.Get({"", node});
  const bool nvidia =
      sources_.nvidia_slices != nullptr && !SlicesOf(*sources_.nvidia_slices, node).empty();
  return GpuOwnershipProblem(inventory,
                             OtherGpuOwner(object == nullptr ? Json() : *object, nvidia));
}

// Whatever is selected now: the members are there.
void CompositionGatherer::GatherMemberNodes(Pass& pass) const {
  for (const ComposedMember& member : pass.facts.object.status().members()) {
    const auto [entry, is_new] = pass.facts.member_nodes.try_emplace(member.node());
    if (!is_new) continue;
    MemberNode& node = entry->second;
    const runtime::ObjectPtr object = sources_.nodes.Get({"", member.node()});
    const runtime::ObjectPtr inventory = sources_.node_inventories.Get({"", member.node()});
    const AgentView agent = sources_.agents.View(member.node());
    node.settling = agent.settling && agent.state != AgentState::kHeard;
    if (object == nullptr)
      node.problem = "is gone";
    else if (!IsNodeReady(*object))
      node.problem = "is not ready";
    else if (agent.state != AgentState::kHeard)
      node.problem = "has an agent that says nothing";
    if (inventory != nullptr) node.gpus_problem = GpusProblemOf(*inventory);
    if (agent.report == nullptr) continue;
    node.inventory = &agent.report->inventory();
    pass.reports.push_back(agent.report);
  }
}

std::vector<GPUPartitionAllocation> CompositionGatherer::PromisedParts(
    const api::ObjectKey& own) const {
  std::vector<GPUPartitionAllocation> parts = PartsOfCompositions(sources_.compositions, own);
  for (const runtime::ObjectPtr& object : sources_.gpu_partitions.List()) {
    const auto partition = api::FromJson<v1alpha1::GPUPartition>(*object);
    if (!partition.ok()) continue;
    const auto& chosen = partition->status().allocations();
    parts.insert(parts.end(), chosen.begin(), chosen.end());
  }
  return parts;
}

std::vector<PromisedBytes> CompositionGatherer::PromisedToOthers(const api::ObjectKey& own) const {
  std::vector<PromisedBytes> promised;
  for (const runtime::ObjectPtr& object : sources_.volumes.List()) {
    const auto volume = api::FromJson<v1alpha1::Volume>(*object);
    if (!volume.ok() || volume->spec().node_name().empty()) continue;
    const v1alpha1::VolumeSpec& spec = volume->spec();
    promised.push_back({volume->metadata().name(), spec.node_name(), spec.pool(), spec.drive(),
                        RoundedVolumeBytes(spec.size())});
  }
  for (const runtime::ObjectPtr& object : sources_.compositions.List()) {
    const auto composition = api::FromJson<Composition>(*object);
    if (!composition.ok() || kube::KeyOf(*object) == own) continue;
    for (const ComposedMember& member : composition->status().members())
      for (const ComposedVolume& volume : member.volumes())
        if (sources_.volumes.Get({"", volume.volume()}) == nullptr)
          promised.push_back(
              {volume.volume(), member.node(), volume.pool(), volume.drive(), volume.bytes()});
  }
  return promised;
}

}  // namespace ashlar::controller
