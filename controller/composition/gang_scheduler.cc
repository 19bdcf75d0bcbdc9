#include "controller/composition/gang_scheduler.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "controller/composition/composition_objects.h"

namespace ashlar::controller {
namespace {

using v1alpha1::ComposedGangScheduler;
using v1alpha1::Composition;

constexpr char kAuto[] = "Auto";
constexpr char kKubernetes[] = "Kubernetes";
constexpr char kCoscheduling[] = "Coscheduling";
constexpr char kVolcano[] = "Volcano";
constexpr char kKai[] = "KAI";
constexpr char kKueue[] = "Kueue";

// Where nobody says otherwise.
constexpr char kKaiQueue[] = "default-queue";
constexpr char kKueueQueue[] = "default";

api::KindInfo PodGroupOf(const char* group, const char* version) {
  return {group, version, "PodGroup", "podgroups", true};
}

const GangScheduler* Find(const std::string& name) {
  for (const GangScheduler& scheduler : GangSchedulers())
    if (scheduler.name == name) return &scheduler;
  return nullptr;
}

std::string WantedOf(const v1alpha1::CompositionSpec& spec) {
  return spec.gang_scheduler().empty() ? kAuto : spec.gang_scheduler();
}

std::string QueueOf(const v1alpha1::CompositionSpec& spec, const char* otherwise) {
  return spec.queue().empty() ? otherwise : spec.queue();
}

ComposedGangScheduler Told(const Composition& object, const GangScheduler& scheduler) {
  const std::string& name = object.metadata().name();
  ComposedGangScheduler told;
  told.set_name(scheduler.name);
  if (scheduler.gets_object) {
    told.set_object_api_version(scheduler.kinds[0].ApiVersion());
    told.set_object_kind(scheduler.kinds[0].kind);
    told.set_object_name(name);
  }
  auto& labels = *told.mutable_pod_labels();
  auto& annotations = *told.mutable_pod_annotations();
  if (scheduler.name == kKubernetes) told.set_pod_group_name(name);
  if (scheduler.name == kCoscheduling) {
    told.set_scheduler_name("scheduler-plugins-scheduler");
    labels["scheduling.x-k8s.io/pod-group"] = name;
  }
  if (scheduler.name == kVolcano) {
    told.set_scheduler_name("volcano");
    annotations["scheduling.k8s.io/group-name"] = name;
  }
  if (scheduler.name == kKai) {
    told.set_scheduler_name("kai-scheduler");
    labels["kai.scheduler/queue"] = QueueOf(object.spec(), kKaiQueue);
    annotations["pod-group-name"] = name;
  }
  if (scheduler.name == kKueue) {
    labels["kueue.x-k8s.io/queue-name"] = QueueOf(object.spec(), kKueueQueue);
    labels["kueue.x-k8s.io/pod-group-name"] = name;
    annotations["kueue.x-k8s.io/pod-group-total-count"] =
        absl::StrCat(object.status().members_size());
  }
  return told;
}

}  // namespace

const std::vector<GangScheduler>& GangSchedulers() {
  static const auto& all = *new std::vector<GangScheduler>{
      {kKai, {PodGroupOf("scheduling.run.ai", "v2alpha2")}},
      {kVolcano, {PodGroupOf("scheduling.volcano.sh", "v1beta1")}},
      {kCoscheduling, {PodGroupOf("scheduling.x-k8s.io", "v1alpha1")}},
      {kKubernetes, {PodGroupOf("scheduling.k8s.io", "v1alpha2")}},
      {kKueue,
       {{"kueue.x-k8s.io", "v1beta2", "LocalQueue", "localqueues", true},
        {"kueue.x-k8s.io", "v1beta1", "LocalQueue", "localqueues", true}},
       false}};
  return all;
}

const api::KindInfo* GangKindOf(const std::string& name) {
  const GangScheduler* scheduler = Find(name);
  return scheduler == nullptr || !scheduler->gets_object ? nullptr : &scheduler->kinds[0];
}

std::optional<ComposedGangScheduler> ChooseGangScheduler(const Composition& object,
                                                         const std::set<std::string>& installed) {
  const std::string wanted = WantedOf(object.spec());
  for (const GangScheduler& scheduler : GangSchedulers()) {
    if (!installed.contains(scheduler.name)) continue;
    // Without a queue pods are none of Kueue's business.
    const bool takes = wanted == kAuto ? scheduler.name != kKueue || !object.spec().queue().empty()
                                       : wanted == scheduler.name;
    if (takes) return Told(object, scheduler);
  }
  return std::nullopt;
}

std::string MissingScheduler(const v1alpha1::CompositionSpec& spec) {
  const GangScheduler* scheduler = Find(WantedOf(spec));
  if (scheduler == nullptr) return "";
  const api::KindInfo& kind = scheduler->kinds[0];
  return absl::StrCat("gangScheduler is ", scheduler->name, ", which is not installed: the API ",
                      "server has no ", kind.plural, " of ", kind.ApiVersion());
}

Json GangObjectOf(const Composition& object) {
  const ComposedGangScheduler& scheduler = object.status().gang_scheduler();
  const int members = object.status().members_size();
  Json spec = {{"minMember", members}};
  if (scheduler.name() == kKubernetes)
    spec = {{"schedulingPolicy", {{"gang", {{"minCount", members}}}}}};
  if (scheduler.name() == kVolcano && !object.spec().queue().empty())
    spec["queue"] = object.spec().queue();
  if (scheduler.name() == kKai) spec["queue"] = QueueOf(object.spec(), kKaiQueue);
  return {{"apiVersion", scheduler.object_api_version()},
          {"kind", scheduler.object_kind()},
          {"metadata", MetadataOfOwned(object, scheduler.object_name())},
          {"spec", spec}};
}

std::string PodsMustBear(const ComposedGangScheduler& scheduler) {
  std::vector<std::string> all;
  if (!scheduler.scheduler_name().empty())
    all.push_back(absl::StrCat("schedulerName ", scheduler.scheduler_name()));
  if (!scheduler.pod_group_name().empty())
    all.push_back(absl::StrCat("schedulingGroup.podGroupName ", scheduler.pod_group_name()));
  const auto add = [&](const char* what, const auto& map) {
    std::vector<std::string> entries;
    for (const auto& [key, value] : map)
      entries.push_back(absl::StrCat(what, " ", key, "=", value));
    std::sort(entries.begin(), entries.end());
    all.insert(all.end(), entries.begin(), entries.end());
  };
  add("label", scheduler.pod_labels());
  add("annotation", scheduler.pod_annotations());
  return absl::StrJoin(all, ", ");
}

}  // namespace ashlar::controller
