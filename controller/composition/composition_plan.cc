#include "controller/composition/composition_plan.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "controller/composition/composition_health.h"
#include "controller/composition/composition_objects.h"
#include "controller/composition/gang_choice.h"
#include "controller/composition/gang_scheduler.h"
#include "controller/volume/volume_plan.h"
#include "lib/api/conditions.h"

namespace ashlar::controller {
namespace {

using v1alpha1::ComposedMember;
using v1alpha1::ComposedVolume;
using v1alpha1::Composition;

constexpr int64_t kKeepSeconds = 600;  // as the API says
constexpr char kExpired[] = "Expired";
constexpr char kSchedulerTold[] = "SchedulerTold";

void Set(Composition& object, absl::string_view type, bool is, absl::string_view reason,
         absl::string_view message, absl::Time now) {
  const int64_t generation = object.metadata().generation();
  api::SetCondition(*object.mutable_status()->mutable_conditions(),
                    {type, is ? api::kTrue : api::kFalse, reason, message, generation}, now);
  object.mutable_status()->set_observed_generation(generation);
}

const k8s::Condition* Find(const Composition& object, absl::string_view type) {
  return api::FindCondition(object.status().conditions(), type);
}

// The first volume that cannot be carved; nullptr: there is none. An agent that is silent may be
// back at once.
const v1alpha1::Volume* FailedVolume(const ComposedObjects& made) {
  for (const auto& [name, volume] : made.volumes) {
    const k8s::Condition* carved = api::FindCondition(volume.status().conditions(), "Carved");
    if (carved != nullptr && carved->status() == api::kFalse &&
        carved->reason() != kAgentUnavailable && !volume.metadata().has_deletion_timestamp())
      return &volume;
  }
  return nullptr;
}

// A device that somebody else has before the member's claim got it; empty: there is none.
std::string TakenGpu(const CompositionFacts& facts) {
  for (const ComposedMember& member : facts.object.status().members()) {
    const auto claim = facts.made.claims.find(member.resource_claim_name());
    if (claim != facts.made.claims.end() && claim->second.status().has_allocation()) continue;
    for (const v1alpha1::ComposedGPU& gpu : member.gpus())
      if (!CouldHave(facts.stock.inventory, member, gpu))
        return absl::StrCat("device ", gpu.device(), " of node ", member.node());
  }
  return "";
}

bool AllCarved(const CompositionFacts& facts) {
  for (const ComposedMember& member : facts.object.status().members())
    for (const ComposedVolume& volume : member.volumes()) {
      const auto found = facts.made.volumes.find(volume.volume());
      if (found == facts.made.volumes.end() || !IsCarved(found->second)) return false;
    }
  return true;
}

bool AllProvisioned(const CompositionFacts& facts) {
  const ComposedObjects& made = facts.made;
  for (const ComposedMember& member : facts.object.status().members()) {
    if (!member.gpus().empty() && made.claims.count(member.resource_claim_name()) == 0)
      return false;
    for (const ComposedVolume& volume : member.volumes())
      if (made.persistent_volumes.count(volume.volume()) == 0 ||
          made.volume_claims.count(volume.claim_name()) == 0)
        return false;
  }
  return made.config_maps.count(facts.object.status().config_map_name()) > 0;
}

bool AsksForGpus(const v1alpha1::CompositionSpec& spec) {
  return std::any_of(spec.members().begin(), spec.members().end(),
                     [](const auto& member) { return !member.gpus().empty(); });
}

CompositionDecision Choose(const CompositionFacts& facts) {
  const Composition& object = facts.object;
  const auto refuse = [](std::string reason, std::string message) {
    return CompositionDecision{CompositionStep::kRefuse, std::move(reason), std::move(message)};
  };
  if (facts.class_missing)
    return refuse("NoClass",
                  absl::StrCat("there is no CompositionClass ", object.spec().class_name(),
                               ", which spec.className names"));
  if (const absl::Status valid =
          CheckComposition(object.metadata().name(), object.spec(), facts.its_class);
      !valid.ok())
    return refuse("InvalidSpec", std::string(valid.message()));
  if (!facts.serves_claims && AsksForGpus(object.spec()))
    return refuse("NoResourceClaims",
                  "no claim of GPUs can be made: the API server does not serve resource.k8s.io/v1, "
                  "or dra is off");
  GangChoice choice = ChooseGang(facts.stock, object);
  if (auto* none = std::get_if<NoGang>(&choice))
    return {CompositionStep::kRefuse, none->reason, none->message, std::move(none->unsatisfied)};
  if (!facts.has_finalizer) return {CompositionStep::kTakeFinalizer, "", ""};
  return {CompositionStep::kChoose,
          "",
          "",
          {},
          std::get<std::vector<ComposedMember>>(std::move(choice))};
}

}  // namespace

absl::Duration TimeToLive(const v1alpha1::CompositionSpec& spec) {
  return absl::Seconds(spec.reservation().has_ttl_seconds() ? spec.reservation().ttl_seconds()
                                                            : kKeepSeconds);
}

bool IsUsed(const ComposedObjects& made) {
  for (const auto& [name, claim] : made.claims)
    if (!claim.status().reserved_for().empty()) return true;
  return std::any_of(made.volumes.begin(), made.volumes.end(), [](const auto& volume) {
    return api::IsConditionTrue(volume.second.status().conditions(), "Published");
  });
}

CompositionDecision DecideComposition(const CompositionFacts& facts, absl::Time now) {
  const Composition& object = facts.object;
  if (object.metadata().has_deletion_timestamp()) {
    if (!facts.has_finalizer) return {};
    return {facts.made.Empty() ? CompositionStep::kDropFinalizer : CompositionStep::kRelease, "",
            ""};
  }
  if (const k8s::Condition* released = Find(object, "Released")) {
    if (released->status() == api::kTrue) return {};
    return {facts.made.Empty() ? CompositionStep::kEndRelease : CompositionStep::kRelease, "", ""};
  }
  if (object.status().members().empty()) return Choose(facts);
  const bool used = IsUsed(facts.made);
  if (const v1alpha1::Volume* failed = FailedVolume(facts.made); failed != nullptr && !used) {
    const k8s::Condition& carved = *api::FindCondition(failed->status().conditions(), "Carved");
    return {CompositionStep::kBeginRelease, "VolumeRefused",
            absl::StrCat("volume ", failed->metadata().name(), " on node ",
                         failed->spec().node_name(), ": ", carved.message())};
  }
  if (const std::string device = TakenGpu(facts); !device.empty() && !used)
    return {CompositionStep::kBeginRelease, "PlaceTaken",
            absl::StrCat(device, ", which was chosen, is somebody else's now")};
  if (object.status().has_reserved_until() && !used &&
      now >= absl::FromUnixSeconds(object.status().reserved_until().seconds()))
    return {
        CompositionStep::kBeginRelease, kExpired,
        absl::StrCat("no pod has used it for ", absl::FormatDuration(TimeToLive(object.spec())))};
  if (!AllCarved(facts)) return {CompositionStep::kCarve, "", ""};
  if (!AllProvisioned(facts)) return {CompositionStep::kProvision, "", ""};
  return {CompositionStep::kObserve, "", ""};
}

void SetRefused(CompositionFacts& facts, const CompositionDecision& decision, absl::Time now) {
  Composition& object = facts.object;
  v1alpha1::CompositionStatus& status = *object.mutable_status();
  status.mutable_unsatisfied()->Assign(decision.unsatisfied.begin(), decision.unsatisfied.end());
  Set(object, "Planned", false, decision.reason, decision.message, now);
  Set(object, "Reserved", false, "NotPlanned", "", now);
  Set(object, "Provisioned", false, "NotPlanned", "", now);
  Set(object, "Ready", false, decision.reason, decision.message, now);
}

void SetChosen(CompositionFacts& facts, const CompositionDecision& decision, absl::Time now) {
  Composition& object = facts.object;
  v1alpha1::CompositionStatus& status = *object.mutable_status();
  status.clear_unsatisfied();
  status.clear_moves();
  status.mutable_members()->Assign(decision.members.begin(), decision.members.end());
  std::set<std::string> nodes;
  for (const ComposedMember& member : decision.members) nodes.insert(member.node());
  status.set_member_count(static_cast<int32_t>(decision.members.size()));
  status.set_node_count(static_cast<int32_t>(nodes.size()));
  status.set_config_map_name(object.metadata().name() + "-gang");
  status.mutable_reserved_until()->set_seconds(
      absl::ToUnixSeconds(now + TimeToLive(object.spec())));
  Set(object, "Planned", true, "Planned",
      absl::StrCat(decision.members.size(), " members on ", nodes.size(), " nodes"), now);
  SetScheduler(facts);
  SetCarving(facts, now);
}

void SetCarving(CompositionFacts& facts, absl::Time now) {
  int carved = 0, all = 0;
  for (const ComposedMember& member : facts.object.status().members())
    for (const ComposedVolume& volume : member.volumes()) {
      const auto found = facts.made.volumes.find(volume.volume());
      if (found != facts.made.volumes.end() && IsCarved(found->second)) ++carved;
      ++all;
    }
  const std::string message = absl::StrCat(carved, " of ", all, " volumes are carved");
  Set(facts.object, "Reserved", false, "Carving", message, now);
  Set(facts.object, "Provisioned", false, "NotReserved", "", now);
  Set(facts.object, "Ready", false, "Carving", message, now);
}

void SetProvisioning(CompositionFacts& facts, const std::string& reason, const std::string& message,
                     absl::Time now) {
  Set(facts.object, "Reserved", true, "Reserved", "", now);
  Set(facts.object, "Provisioned", false, reason, message, now);
  Set(facts.object, "Ready", false, reason, message, now);
}

void SetObserved(CompositionFacts& facts, absl::Time now) {
  Composition& object = facts.object;
  v1alpha1::CompositionStatus& status = *object.mutable_status();
  const bool used = IsUsed(facts.made);
  if (used)
    status.clear_reserved_until();
  else if (!status.has_reserved_until())
    status.mutable_reserved_until()->set_seconds(
        absl::ToUnixSeconds(now + TimeToLive(object.spec())));
  Set(object, "Reserved", true, "Reserved", "", now);
  Set(object, "Provisioned", true, "Provisioned", "", now);
  if (const std::optional<std::string> trouble = TroubleOf(facts, now))
    Set(object, "Degraded", !trouble->empty(), trouble->empty() ? "Healthy" : "MemberProblem",
        *trouble, now);
  Set(object, "Ready", true, used ? "InUse" : "Ready", "", now);
}

bool SetScheduler(CompositionFacts& facts) {
  v1alpha1::CompositionStatus& status = *facts.object.mutable_status();
  if (status.has_gang_scheduler()) return false;
  const auto chosen = ChooseGangScheduler(facts.object, facts.installed_schedulers);
  if (chosen) *status.mutable_gang_scheduler() = *chosen;
  return chosen.has_value();
}

void SetSchedulerTold(CompositionFacts& facts, const absl::Status& made, absl::Time now) {
  Composition& object = facts.object;
  const v1alpha1::CompositionStatus& status = object.status();
  if (!status.has_gang_scheduler()) {
    const std::string missing = MissingScheduler(object.spec());
    if (missing.empty())
      api::RemoveCondition(*object.mutable_status()->mutable_conditions(), kSchedulerTold);
    else
      Set(object, kSchedulerTold, false, "NotInstalled", missing, now);
    return;
  }
  if (!made.ok())
    return Set(object, kSchedulerTold, false, absl::IsAlreadyExists(made) ? "NameTaken" : "Refused",
               made.message(), now);
  const v1alpha1::ComposedGangScheduler& scheduler = status.gang_scheduler();
  const std::string what = scheduler.object_name().empty()
                               ? absl::StrCat(scheduler.name(), " needs no object")
                               : absl::StrCat(scheduler.object_kind(), " ", scheduler.object_name(),
                                              " of ", scheduler.object_api_version());
  Set(object, kSchedulerTold, true, "Told",
      absl::StrCat(what, "; pods must bear: ", PodsMustBear(scheduler)), now);
}

void SetReleasing(CompositionFacts& facts, const CompositionDecision& decision, absl::Time now) {
  Composition& object = facts.object;
  Set(object, "Released", false, decision.reason, decision.message, now);
  Set(object, "Reserved", false, decision.reason, decision.message, now);
  Set(object, "Provisioned", false, decision.reason, "", now);
  Set(object, "Ready", false, decision.reason, decision.message, now);
}

void SetReleased(CompositionFacts& facts, absl::Time now) {
  Composition& object = facts.object;
  v1alpha1::CompositionStatus& status = *object.mutable_status();
  status.clear_members();
  status.clear_member_count();
  status.clear_node_count();
  status.clear_reserved_until();
  status.clear_config_map_name();
  status.clear_gang_scheduler();
  api::RemoveCondition(*status.mutable_conditions(), kSchedulerTold);
  api::RemoveCondition(*status.mutable_conditions(), "Degraded");
  const k8s::Condition* released = Find(object, "Released");
  if (released == nullptr || released->reason() != kExpired) {
    api::RemoveCondition(*status.mutable_conditions(), "Released");
    return;
  }
  const std::string message = released->message();
  Set(object, "Released", true, kExpired, message, now);
  Set(object, "Planned", false, kExpired, message, now);
}

}  // namespace ashlar::controller
