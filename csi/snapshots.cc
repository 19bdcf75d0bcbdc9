#include "csi/snapshots.h"

#include <algorithm>
#include <set>

#include "absl/algorithm/container.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "csi/names.h"
#include "csi/request_validation.h"
#include "csi/topology.h"
#include "lib/api/conditions.h"
#include "lib/api/kinds.h"
#include "lib/base/status_macros.h"
#include "lib/kube/request_id.h"

namespace ashlar::csi_driver {
namespace {

using runtime::ObjectPtr;
using v1alpha1::Snapshot;
using v1alpha1::SnapshotGroup;

constexpr char kTokenPrefix[] = "after:";
constexpr char kFinalizer[] = "ashlar.dev/agent";
constexpr char kOfKubernetes[] = "csi.storage.k8s.io/";
constexpr absl::Duration kMargin = absl::Milliseconds(300);
constexpr absl::Duration kLongest = absl::Minutes(5);

CallContext WithMargin(const Clock& clock, const CallContext& context) {
  const absl::Time latest = clock.Now() + kLongest;
  return context.Until(std::min(context.deadline, latest) - kMargin);
}

std::string UidOf(const Json& object) { return JsonString(object, {"metadata", "uid"}); }

absl::Status CheckId(absl::string_view field, const std::string& id) {
  if (id.empty()) return absl::InvalidArgumentError(absl::StrCat(field, " is required"));
  if (VolumeIdFor(id) != id)
    return absl::NotFoundError(absl::StrCat(field, ": there is none of that name"));
  return absl::OkStatus();
}

absl::Status CheckParameters(const StringMap& parameters) {
  for (const auto& [name, value] : parameters)
    if (!absl::StartsWith(name, kOfKubernetes))
      return absl::InvalidArgumentError(absl::StrCat("parameters[", absl::CHexEscape(name),
                                                     "] is not known: a VolumeSnapshotClass of "
                                                     "this driver has no parameters"));
  return absl::OkStatus();
}

// What the condition Ready says. OK: taken. Unavailable: not yet. Others: it will not come about.
absl::Status Outcome(const api::Conditions& conditions, bool deleting, const std::string& name) {
  if (deleting) return absl::AbortedError(absl::StrCat(name, " is being deleted; repeat later"));
  const k8s::Condition* ready = api::FindCondition(conditions, "Ready");
  if (ready == nullptr)
    return absl::UnavailableError("the controller has not looked at the snapshot yet");
  if (ready->status() == api::kTrue) return absl::OkStatus();
  const std::string text = absl::StrCat(ready->reason(), ": ", ready->message());
  if (ready->reason() == "NoCapacity") return absl::ResourceExhaustedError(text);
  if (ready->reason() == "VolumeNotFound") return absl::NotFoundError(text);
  if (ready->reason() == "NameTaken") return absl::AlreadyExistsError(text);
  if (ready->reason() == "CopiesNotSupported" || ready->reason() == "SourceNotCopyable" ||
      ready->reason() == "VolumesOnDifferentNodes")
    return absl::FailedPreconditionError(text);
  return absl::UnavailableError(text);  // what may pass by itself
}

bool IsRefusal(const absl::Status& status) {
  return absl::IsResourceExhausted(status) || absl::IsNotFound(status) ||
         absl::IsAlreadyExists(status) || absl::IsFailedPrecondition(status);
}

// Waits until the object is taken or refused.
template <class Object>
absl::StatusOr<Object> AwaitTaken(const CallContext& context, const Clock& clock,
                                  runtime::ObjectWaiter& waiter, const Object& object) {
  const std::string& name = object.metadata().name();
  absl::Status outcome = absl::UnavailableError("nothing is known yet");
  Object seen = object;
  const auto decided = [&](const ObjectPtr& now) {
    if (now == nullptr || UidOf(*now) != object.metadata().uid()) {
      outcome = absl::AbortedError(absl::StrCat(name, " was deleted; repeat"));
      return true;
    }
    absl::StatusOr<Object> parsed = api::FromJson<Object>(*now);
    if (!parsed.ok()) {
      outcome = parsed.status();
      return true;
    }
    seen = *std::move(parsed);
    outcome = Outcome(seen.status().conditions(), seen.metadata().has_deletion_timestamp(), name);
    return !absl::IsUnavailable(outcome);
  };
  const absl::Status waited = waiter.Await(WithMargin(clock, context), {"", name}, decided);
  if (absl::IsDeadlineExceeded(waited))
    return absl::DeadlineExceededError(
        absl::StrCat(name, " is not taken yet: ", std::string(outcome.message())));
  ASHLAR_RETURN_IF_ERROR(waited);
  ASHLAR_RETURN_IF_ERROR(outcome);
  return seen;
}

template <class Object>
absl::StatusOr<Object> FindOrCreate(const CallContext& context, kube::Client& client,
                                    runtime::Informer& informer, const Object& wanted) {
  const api::KindInfo& kind = api::Kind<Object>();
  Json object = api::ToJson(wanted);
  kube::SetRequestId(context, object);
  absl::StatusOr<Json> made = client.Create(context, kind, object);
  if (absl::IsAlreadyExists(made.status()))
    made = client.Get(context, kind, {"", wanted.metadata().name()});
  if (!made.ok()) return Annotate(made.status(), wanted.metadata().name());
  informer.Put(*made);
  return api::FromJson<Object>(*made);
}

void Fill(const Snapshot& snapshot, csi::v1::Snapshot& out) {
  out.set_snapshot_id(snapshot.metadata().name());
  out.set_source_volume_id(snapshot.spec().volume());
  out.set_size_bytes(snapshot.status().size());
  *out.mutable_creation_time() = snapshot.status().creation_time();
  out.set_ready_to_use(api::IsConditionTrue(snapshot.status().conditions(), "Ready"));
  out.set_group_snapshot_id(snapshot.spec().group());
  if (!snapshot.spec().node_name().empty())
    (*out.add_accessible_topology()->mutable_segments())[kTopologyKey] =
        snapshot.spec().node_name();
}

// InvalidArgument, as the specification has it: one of the ids is no member. Members that were
// deleted by themselves need not be named.
absl::Status CheckMembers(const SnapshotGroup& group,
                          const google::protobuf::RepeatedPtrField<std::string>& ids) {
  for (const std::string& id : ids) {
    const auto& members = group.spec().snapshots();
    if (std::any_of(members.begin(), members.end(),
                    [&](const v1alpha1::SnapshotGroupMember& m) { return m.name() == id; }))
      continue;
    return absl::InvalidArgumentError(absl::StrCat("snapshot_ids: '", absl::CHexEscape(id),
                                                   "' is no snapshot of group ",
                                                   group.metadata().name()));
  }
  return absl::OkStatus();
}

// The name of the snapshot of a volume that is taken with a group.
std::string MemberName(const std::string& group, const std::string& volume) {
  return absl::StrCat("s", VolumeIdFor(absl::StrCat(group, "/", volume)).substr(1));
}

}  // namespace

absl::Status Snapshots::CheckSynced() const {
  if (Synced() && volumes_.Synced()) return absl::OkStatus();
  return absl::UnavailableError("Snapshots have not been read from Kubernetes yet; repeat");
}

absl::StatusOr<Snapshot> Snapshots::Find(const CallContext& context, const std::string& id) {
  absl::StatusOr<Json> object = client_.Get(context, api::Kind<Snapshot>(), {"", id});
  if (absl::IsNotFound(object.status()))
    return absl::NotFoundError(absl::StrCat("there is no snapshot ", id));
  if (!object.ok()) return Annotate(object.status(), absl::StrCat("snapshot ", id));
  return api::FromJson<Snapshot>(*object);
}

absl::Status Snapshots::CheckTopology(const CallContext& context,
                                      const csi::v1::TopologyRequirement& required,
                                      const std::string& node) {
  ASHLAR_ASSIGN_OR_RETURN(
      const std::vector<TopologyTerm> terms,
      ReadTopologies("accessibility_requirements.requisite", required.requisite()));
  if (terms.empty()) return absl::OkStatus();
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<std::string> nodes, NodesOf(context, client_, terms));
  if (absl::c_linear_search(nodes, node)) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(
      "accessibility_requirements.requisite: a snapshot lies on the node of its "
      "volume, ",
      node, ", asked for is ", nodes.empty() ? "what no node is" : absl::StrJoin(nodes, ", ")));
}

absl::StatusOr<csi::v1::CreateSnapshotResponse> Snapshots::CreateSnapshot(
    const CallContext& context, const csi::v1::CreateSnapshotRequest& request) {
  ASHLAR_RETURN_IF_ERROR(CheckSynced());
  if (request.name().empty()) return absl::InvalidArgumentError("name is required");
  ASHLAR_RETURN_IF_ERROR(CheckId("source_volume_id", request.source_volume_id()));
  ASHLAR_RETURN_IF_ERROR(CheckParameters(request.parameters()));
  Snapshot wanted;
  wanted.mutable_metadata()->set_name(VolumeIdFor(request.name()));
  wanted.mutable_metadata()->add_finalizers(kFinalizer);
  wanted.mutable_spec()->set_volume(request.source_volume_id());
  absl::StatusOr<Snapshot> snapshot = Find(context, wanted.metadata().name());
  if (absl::IsNotFound(snapshot.status())) {
    ASHLAR_ASSIGN_OR_RETURN(const v1alpha1::Volume volume,
                            volumes_.Find(context, request.source_volume_id()));
    ASHLAR_RETURN_IF_ERROR(
        CheckTopology(context, request.accessibility_requirements(), volume.spec().node_name()));
    snapshot = FindOrCreate(context, client_, snapshots_, wanted);
  }
  ASHLAR_RETURN_IF_ERROR(snapshot.status());
  if (snapshot->spec().volume() != request.source_volume_id() || !snapshot->spec().group().empty())
    return absl::AlreadyExistsError(absl::StrCat("snapshot ", wanted.metadata().name(),
                                                 " exists, of volume ", snapshot->spec().volume(),
                                                 ", asked for is ", request.source_volume_id()));
  absl::StatusOr<Snapshot> taken = AwaitTaken(context, clock_, snapshot_waiter_, *snapshot);
  if (!taken.ok()) {
    if (IsRefusal(taken.status()))
      ASHLAR_RETURN_IF_ERROR(Remove(context, api::Kind<Snapshot>(), snapshots_, snapshot_waiter_,
                                    wanted.metadata().name()));
    return taken.status();
  }
  csi::v1::CreateSnapshotResponse response;
  Fill(*taken, *response.mutable_snapshot());
  return response;
}

absl::Status Snapshots::Remove(const CallContext& context, const api::KindInfo& kind,
                               runtime::Informer& informer, runtime::ObjectWaiter& waiter,
                               const std::string& id) {
  const absl::StatusOr<Json> object = client_.Get(context, kind, {"", id});
  if (absl::IsNotFound(object.status())) return absl::OkStatus();
  ASHLAR_RETURN_IF_ERROR(object.status());
  informer.Put(*object);
  const std::string uid = UidOf(*object);
  const absl::Status deleted = client_.Delete(context, kind, {"", id}, {.uid = uid});
  if (!deleted.ok() && !absl::IsNotFound(deleted)) return Annotate(deleted, id);
  std::string why = "nothing is known yet";
  const auto gone = [&](const ObjectPtr& now) {
    if (now == nullptr || UidOf(*now) != uid) return true;
    if (const Json* conditions = FindJson(*now, {"status", "conditions"});
        conditions != nullptr && conditions->is_array())
      for (const Json& condition : *conditions)
        if (JsonString(condition, {"type"}) == "Deleted") why = JsonString(condition, {"message"});
    return false;
  };
  const absl::Status waited = waiter.Await(WithMargin(clock_, context), {"", id}, gone);
  if (!absl::IsDeadlineExceeded(waited)) return waited;
  return absl::DeadlineExceededError(absl::StrCat(id, " is not gone yet: ", why));
}

absl::StatusOr<csi::v1::DeleteSnapshotResponse> Snapshots::DeleteSnapshot(
    const CallContext& context, const csi::v1::DeleteSnapshotRequest& request) {
  ASHLAR_RETURN_IF_ERROR(CheckSynced());
  csi::v1::DeleteSnapshotResponse done;
  const absl::Status id = CheckId("snapshot_id", request.snapshot_id());
  if (absl::IsNotFound(id)) return done;  // absent is success
  ASHLAR_RETURN_IF_ERROR(id);
  ASHLAR_RETURN_IF_ERROR(
      Remove(context, api::Kind<Snapshot>(), snapshots_, snapshot_waiter_, request.snapshot_id()));
  return done;
}

absl::StatusOr<csi::v1::ListSnapshotsResponse> Snapshots::ListSnapshots(
    const CallContext&, const csi::v1::ListSnapshotsRequest& request) {
  ASHLAR_RETURN_IF_ERROR(CheckSynced());
  if (request.max_entries() < 0)
    return absl::InvalidArgumentError(
        absl::StrCat("max_entries is ", request.max_entries(), "; it must not be negative"));
  absl::string_view after = request.starting_token();
  if (!after.empty() && !absl::ConsumePrefix(&after, kTokenPrefix))
    return absl::AbortedError(absl::StrCat("starting_token '",
                                           absl::CHexEscape(request.starting_token()),
                                           "' is not a next_token of this driver; start again"));
  std::vector<Snapshot> all;
  for (const ObjectPtr& object : snapshots_.List()) {
    absl::StatusOr<Snapshot> snapshot = api::FromJson<Snapshot>(*object);
    if (!snapshot.ok() || !snapshot->status().has_size()) continue;
    const std::string& name = snapshot->metadata().name();
    if (name <= after) continue;
    if (!request.snapshot_id().empty() && name != request.snapshot_id()) continue;
    if (!request.source_volume_id().empty() &&
        snapshot->spec().volume() != request.source_volume_id())
      continue;
    all.push_back(*std::move(snapshot));
  }
  std::sort(all.begin(), all.end(), [](const Snapshot& a, const Snapshot& b) {
    return a.metadata().name() < b.metadata().name();
  });
  csi::v1::ListSnapshotsResponse response;
  for (const Snapshot& snapshot : all) {
    if (request.max_entries() > 0 && response.entries_size() == request.max_entries()) {
      const csi::v1::Snapshot& last = response.entries(response.entries_size() - 1).snapshot();
      response.set_next_token(absl::StrCat(kTokenPrefix, last.snapshot_id()));
      break;
    }
    Fill(snapshot, *response.add_entries()->mutable_snapshot());
  }
  return response;
}

absl::StatusOr<csi::v1::GetSnapshotResponse> Snapshots::GetSnapshot(
    const CallContext& context, const csi::v1::GetSnapshotRequest& request) {
  ASHLAR_RETURN_IF_ERROR(CheckId("snapshot_id", request.snapshot_id()));
  ASHLAR_ASSIGN_OR_RETURN(const Snapshot snapshot, Find(context, request.snapshot_id()));
  csi::v1::GetSnapshotResponse response;
  Fill(snapshot, *response.mutable_snapshot());
  return response;
}

absl::StatusOr<csi::v1::VolumeGroupSnapshot> Snapshots::Describe(const CallContext& context,
                                                                 const SnapshotGroup& group) {
  csi::v1::VolumeGroupSnapshot out;
  out.set_group_snapshot_id(group.metadata().name());
  *out.mutable_creation_time() = group.status().creation_time();
  bool ready = api::IsConditionTrue(group.status().conditions(), "Ready");
  for (const v1alpha1::SnapshotGroupMember& member : group.spec().snapshots()) {
    const absl::StatusOr<Snapshot> snapshot = Find(context, member.name());
    if (absl::IsNotFound(snapshot.status())) continue;  // was deleted by itself
    ASHLAR_RETURN_IF_ERROR(snapshot.status());
    Fill(*snapshot, *out.add_snapshots());
    ready = ready && out.snapshots(out.snapshots_size() - 1).ready_to_use();
  }
  out.set_ready_to_use(ready);
  return out;
}

absl::StatusOr<csi::v1::CreateVolumeGroupSnapshotResponse> Snapshots::CreateGroup(
    const CallContext& context, const csi::v1::CreateVolumeGroupSnapshotRequest& request) {
  ASHLAR_RETURN_IF_ERROR(CheckSynced());
  if (request.name().empty()) return absl::InvalidArgumentError("name is required");
  if (request.source_volume_ids().empty())
    return absl::InvalidArgumentError("source_volume_ids is required");
  ASHLAR_RETURN_IF_ERROR(CheckParameters(request.parameters()));
  // Sorted, so that the same volumes in another order are the same group.
  const std::set<std::string> ids(request.source_volume_ids().begin(),
                                  request.source_volume_ids().end());
  SnapshotGroup wanted;
  const std::string id = VolumeIdFor(request.name());
  wanted.mutable_metadata()->set_name(id);
  wanted.mutable_metadata()->add_finalizers(kFinalizer);
  for (const std::string& volume : ids) {
    ASHLAR_RETURN_IF_ERROR(CheckId("source_volume_ids", volume));
    v1alpha1::SnapshotGroupMember& member = *wanted.mutable_spec()->add_snapshots();
    member.set_name(MemberName(id, volume));
    member.set_volume(volume);
  }
  const absl::Status there = client_.Get(context, api::Kind<SnapshotGroup>(), {"", id}).status();
  if (absl::IsNotFound(there))
    for (const std::string& volume : ids)
      ASHLAR_RETURN_IF_ERROR(volumes_.Find(context, volume).status());
  ASHLAR_ASSIGN_OR_RETURN(const SnapshotGroup group,
                          FindOrCreate(context, client_, groups_, wanted));
  std::set<std::string> has;
  for (const v1alpha1::SnapshotGroupMember& member : group.spec().snapshots())
    has.insert(member.volume());
  if (has != ids)
    return absl::AlreadyExistsError(absl::StrCat("group snapshot ", id, " exists, of ",
                                                 absl::StrJoin(has, ", "), ", asked for is ",
                                                 absl::StrJoin(ids, ", ")));
  absl::StatusOr<SnapshotGroup> taken = AwaitTaken(context, clock_, group_waiter_, group);
  if (!taken.ok()) {
    if (IsRefusal(taken.status()))
      ASHLAR_RETURN_IF_ERROR(
          Remove(context, api::Kind<SnapshotGroup>(), groups_, group_waiter_, id));
    return taken.status();
  }
  csi::v1::CreateVolumeGroupSnapshotResponse response;
  ASHLAR_ASSIGN_OR_RETURN(*response.mutable_group_snapshot(), Describe(context, *taken));
  return response;
}

absl::StatusOr<SnapshotGroup> Snapshots::FindGroup(const CallContext& context,
                                                   const std::string& id) {
  absl::StatusOr<Json> object = client_.Get(context, api::Kind<SnapshotGroup>(), {"", id});
  if (absl::IsNotFound(object.status()))
    return absl::NotFoundError(absl::StrCat("there is no group snapshot ", id));
  if (!object.ok()) return Annotate(object.status(), absl::StrCat("group snapshot ", id));
  return api::FromJson<SnapshotGroup>(*object);
}

absl::StatusOr<csi::v1::DeleteVolumeGroupSnapshotResponse> Snapshots::DeleteGroup(
    const CallContext& context, const csi::v1::DeleteVolumeGroupSnapshotRequest& request) {
  ASHLAR_RETURN_IF_ERROR(CheckSynced());
  csi::v1::DeleteVolumeGroupSnapshotResponse done;
  const absl::Status id = CheckId("group_snapshot_id", request.group_snapshot_id());
  if (absl::IsNotFound(id)) return done;
  ASHLAR_RETURN_IF_ERROR(id);
  const absl::StatusOr<SnapshotGroup> group = FindGroup(context, request.group_snapshot_id());
  if (absl::IsNotFound(group.status())) return done;
  ASHLAR_RETURN_IF_ERROR(group.status());
  ASHLAR_RETURN_IF_ERROR(CheckMembers(*group, request.snapshot_ids()));
  ASHLAR_RETURN_IF_ERROR(Remove(context, api::Kind<SnapshotGroup>(), groups_, group_waiter_,
                                request.group_snapshot_id()));
  return done;
}

absl::StatusOr<csi::v1::GetVolumeGroupSnapshotResponse> Snapshots::GetGroup(
    const CallContext& context, const csi::v1::GetVolumeGroupSnapshotRequest& request) {
  ASHLAR_RETURN_IF_ERROR(CheckId("group_snapshot_id", request.group_snapshot_id()));
  ASHLAR_ASSIGN_OR_RETURN(const SnapshotGroup group,
                          FindGroup(context, request.group_snapshot_id()));
  ASHLAR_RETURN_IF_ERROR(CheckMembers(group, request.snapshot_ids()));
  csi::v1::GetVolumeGroupSnapshotResponse response;
  ASHLAR_ASSIGN_OR_RETURN(*response.mutable_group_snapshot(), Describe(context, group));
  return response;
}

absl::StatusOr<csi::v1::GroupControllerGetCapabilitiesResponse> Snapshots::GroupCapabilities(
    const CallContext&, const csi::v1::GroupControllerGetCapabilitiesRequest&) {
  csi::v1::GroupControllerGetCapabilitiesResponse response;
  response.add_capabilities()->mutable_rpc()->set_type(
      csi::v1::GroupControllerServiceCapability::RPC::CREATE_DELETE_GET_VOLUME_GROUP_SNAPSHOT);
  return response;
}

}  // namespace ashlar::csi_driver
