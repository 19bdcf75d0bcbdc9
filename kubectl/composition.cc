#include "kubectl/composition.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "ashlar/v1alpha1/composition.codec.h"
#include "lib/api/conditions.h"
#include "lib/api/kinds.h"
#include "lib/api/quantity.h"
#include "lib/base/status_macros.h"

namespace ashlar::kubectl {
namespace {

using v1alpha1::ComposedMember;
using v1alpha1::Composition;

const api::KindInfo& Kind() { return api::Kind<Composition>(); }

std::string Text(const api::ObjectKey& key) { return absl::StrCat(key.space, "/", key.name); }

Json MemberOf(const ComposeRequest& request) {
  Json member = {{"name", "member"}, {"replicas", request.replicas}};
  if (request.gpus > 0) {
    Json gpus = {{"name", "gpu"}, {"count", request.gpus}};
    if (!request.profile.empty()) gpus["profile"] = request.profile;
    member["gpus"] = Json::array({gpus});
  }
  if (!request.volume.empty()) {
    Json volume = {{"name", "scratch"}, {"size", request.volume}};
    if (!request.pool.empty()) volume["pool"] = request.pool;
    member["volumes"] = Json::array({volume});
  }
  if (!request.near.empty())
    member["constraints"] =
        Json::array({{{"requests", Json::array({"gpu", "scratch"})},
                      {"level", request.near},
                      {"enforcement", request.preferred ? "Preferred" : "Required"}}});
  return member;
}

std::string HasOf(const ComposedMember& member) {
  std::vector<std::string> has;
  for (const v1alpha1::ComposedGPU& gpu : member.gpus())
    has.push_back(gpu.profile().empty()
                      ? gpu.gpu()
                      : absl::StrCat(gpu.profile(), " at ", gpu.start(), " of ", gpu.gpu()));
  for (const v1alpha1::ComposedVolume& volume : member.volumes())
    has.push_back(absl::StrCat(volume.request(), " ",
                               api::Quantity::FromBytes(volume.bytes()).ToString(), " on ",
                               volume.drive().empty() ? volume.pool() : volume.drive()));
  for (const v1alpha1::ComposedNIC& nic : member.nics())
    has.push_back(absl::StrCat("NIC ",
                               nic.rdma_device().empty() ? nic.interface() : nic.rdma_device(),
                               " (", nic.pci_address(), ")"));
  if (!member.achieved_levels().empty())
    has.push_back(absl::StrCat("within ", absl::StrJoin(member.achieved_levels(), ", ")));
  return absl::StrJoin(has, "; ");
}

std::string Describe(const v1alpha1::CompositionMisfit& misfit) {
  std::string text = absl::StrCat("  node ", misfit.node());
  if (misfit.alike() > 0) absl::StrAppend(&text, " and ", misfit.alike(), " alike");
  if (misfit.fits() > 0)
    absl::StrAppend(&text, ", after ", misfit.fits(), " of ", misfit.member());
  else if (!misfit.member().empty())
    absl::StrAppend(&text, ", ", misfit.member());
  absl::StrAppend(&text, "\n    wanted: ", misfit.constraint(), "\n    but:    ", misfit.reason(),
                  "\n");
  if (!misfit.nearest().empty()) absl::StrAppend(&text, "    fits:   ", misfit.nearest(), "\n");
  return text;
}

std::string Text(int64_t bytes) {
  return bytes == 0 ? "none" : api::Quantity::FromBytes(bytes).ToString();
}

std::string Describe(const v1alpha1::CompositionMoves& moves) {
  const int movable = moves.movable();
  if (movable == 0) return "  nothing can be moved to make room: pods use all that is there\n";
  const std::string of = movable == 1 ? "the one thing that no pod uses"
                                      : absl::StrCat("the ", movable, " things that no pod uses");
  if (moves.moves().empty())
    return absl::StrCat("  nothing is gained by moving: no move of ", of, " makes room\n");
  std::string text = absl::StrCat("  it would fit after ", moves.moves_size(),
                                  moves.moves_size() == 1 ? " move" : " moves", " of ", of,
                                  " (a plan: nothing is moved)\n");
  int number = 0;
  for (const v1alpha1::CompositionMove& move : moves.moves())
    absl::StrAppend(&text, "    ", ++number, ". ", move.what(), "\n       from ", move.from(),
                    "\n       to   ", move.to(), "\n");
  const auto part = [](const std::string& name) { return name.empty() ? "none" : name; };
  absl::StrAppend(&text, "    largest part of a GPU: ", part(moves.largest_part_before()),
                  ", afterwards ", part(moves.largest_part_after()),
                  "\n    largest volume: ", Text(moves.largest_volume_before()), ", afterwards ",
                  Text(moves.largest_volume_after()), "\n");
  return text;
}

}  // namespace

absl::StatusOr<std::string> Compose(const CallContext& context, kube::Client& client,
                                    const ComposeRequest& request) {
  if (request.gpus <= 0 && request.volume.empty())
    return absl::InvalidArgumentError("a member needs --gpus or --volume");
  if (!request.near.empty() && (request.gpus <= 0 || request.volume.empty()))
    return absl::InvalidArgumentError("--near is for members with --gpus and --volume");
  if (!request.volume.empty())
    ASHLAR_RETURN_IF_ERROR(Annotate(api::Quantity::Parse(request.volume).status(), "--volume"));
  Json spec = {{"members", Json::array({MemberOf(request)})}};
  if (!request.class_name.empty()) spec["className"] = request.class_name;
  if (request.ttl_seconds > 0) spec["reservation"] = {{"ttlSeconds", request.ttl_seconds}};
  ASHLAR_RETURN_IF_ERROR(
      client
          .Create(context, Kind(),
                  {{"apiVersion", "ashlar.dev/v1alpha1"},
                   {"kind", "Composition"},
                   {"metadata", {{"name", request.key.name}, {"namespace", request.key.space}}},
                   {"spec", spec}})
          .status());
  return absl::StrCat(Text(request.key), " is asked for; how it is: kubectl ashlar explain ",
                      request.key.name, " -n ", request.key.space, "\n");
}

absl::StatusOr<std::string> Free(const CallContext& context, kube::Client& client,
                                 const std::string& space, const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) {
    const api::ObjectKey key{space, name};
    ASHLAR_RETURN_IF_ERROR(Annotate(client.Delete(context, Kind(), key, {}), Text(key)));
    absl::StrAppend(&text, Text(key), " is given back, as soon as no pod uses it\n");
  }
  return text;
}

std::string Describe(const Composition& composition) {
  const v1alpha1::CompositionStatus& status = composition.status();
  std::string text =
      absl::StrCat(composition.metadata().namespace_(), "/", composition.metadata().name(), ": ");
  const k8s::Condition* ready = api::FindCondition(status.conditions(), "Ready");
  if (ready == nullptr) return absl::StrCat(text, "the controller has not looked at it yet\n");
  if (api::IsConditionTrue(status.conditions(), "Released"))
    absl::StrAppend(&text, "given back");
  else
    absl::StrAppend(&text, ready->status() == api::kTrue ? "ready" : "not ready");
  absl::StrAppend(&text, " (", ready->reason(), ")");
  if (status.member_count() > 0)
    absl::StrAppend(&text, ", ", status.member_count(), " members on ", status.node_count(),
                    " nodes");
  if (status.has_reserved_until())
    absl::StrAppend(&text, ", unless pods use it until ",
                    absl::FormatTime(absl::RFC3339_sec,
                                     absl::FromUnixSeconds(status.reserved_until().seconds()),
                                     absl::UTCTimeZone()));
  absl::StrAppend(&text, "\n");
  const k8s::Condition* degraded = api::FindCondition(status.conditions(), "Degraded");
  if (degraded != nullptr && degraded->status() == api::kTrue)
    absl::StrAppend(&text, "  ! ", degraded->message(), "\n");
  const k8s::Condition* told = api::FindCondition(status.conditions(), "SchedulerTold");
  if (told != nullptr)
    absl::StrAppend(&text, told->status() == api::kTrue ? "  " : "  ! ",
                    status.gang_scheduler().name().empty() ? "" : status.gang_scheduler().name(),
                    status.gang_scheduler().name().empty() ? "" : ": ", told->message(), "\n");
  for (const ComposedMember& member : status.members())
    absl::StrAppend(&text, "  rank ", member.rank(), "  ", member.name(), "  ", member.node(), "  ",
                    HasOf(member), "\n");
  if (status.unsatisfied().empty() && !ready->message().empty())
    absl::StrAppend(&text, "  ", ready->message(), "\n");
  if (!status.unsatisfied().empty())
    absl::StrAppend(&text, "  ", ready->message().substr(0, ready->message().find('.') + 1), "\n");
  for (const v1alpha1::CompositionMisfit& misfit : status.unsatisfied())
    absl::StrAppend(&text, Describe(misfit));
  if (status.has_moves()) absl::StrAppend(&text, Describe(status.moves()));
  return text;
}

absl::StatusOr<std::string> Explain(const CallContext& context, kube::Client& client,
                                    const api::ObjectKey& key) {
  const auto object = client.Get(context, Kind(), key);
  ASHLAR_RETURN_IF_ERROR(Annotate(object.status(), Text(key)));
  ASHLAR_ASSIGN_OR_RETURN(const Composition composition, api::FromJson<Composition>(*object));
  return Describe(composition);
}

}  // namespace ashlar::kubectl
