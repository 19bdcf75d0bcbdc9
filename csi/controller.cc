#include "csi/controller.h"

#include <algorithm>

#include "absl/algorithm/container.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "csi/backend_rules.h"
#include "csi/carve_outcome.h"
#include "csi/mutable_parameters.h"
#include "csi/names.h"
#include "csi/publications.h"
#include "csi/volume_health.h"
#include "lib/api/kinds.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/kube/object.h"

namespace ashlar::csi_driver {
namespace {

using v1alpha1::Pool;
using v1alpha1::PoolNodeStatus;
using v1alpha1::Volume;

constexpr char kTokenPrefix[] = "after:";
// The finalizer that the agent's bytes are behind; set when the object is made, so that there is no
// moment at which deleting the object would leave a volume on the node.
constexpr char kFinalizer[] = "ashlar.dev/agent";
constexpr char kNameAnnotation[] = "ashlar.dev/csi-name";

// Where a volume may lie.
struct Placement {
  std::vector<std::string> allowed;    // empty: anywhere
  std::vector<std::string> preferred;  // best first
};

Volume WantedVolume(const CreateVolumePlan& plan, const Placement& nodes) {
  Volume volume;
  volume.mutable_metadata()->set_name(plan.volume_id);
  volume.mutable_metadata()->add_finalizers(kFinalizer);
  if (plan.volume_id != plan.name) {
    (*volume.mutable_metadata()->mutable_annotations())[kNameAnnotation] = plan.name;
  }
  v1alpha1::VolumeSpec& spec = *volume.mutable_spec();
  spec.set_pool(plan.parameters.pool);
  spec.set_size(plan.size.bytes);
  spec.set_mode(plan.access.block ? "Block" : "Filesystem");
  spec.set_fs_type(plan.fs_type);
  for (const std::string& node : nodes.allowed) spec.add_allowed_nodes(node);
  for (const std::string& node : nodes.preferred) spec.add_preferred_nodes(node);
  spec.set_gpu_direct(plan.parameters.gpu_direct);
  Apply(plan.attributes, spec);
  // Where there is no choice the controller need not write one down.
  if (nodes.allowed.size() == 1) spec.set_node_name(nodes.allowed.front());
  if (!plan.source.name().empty()) *spec.mutable_source() = plan.source;
  if (!plan.parameters.claim_name.empty() && !plan.parameters.claim_namespace.empty()) {
    spec.mutable_claim_ref()->set_namespace_(plan.parameters.claim_namespace);
    spec.mutable_claim_ref()->set_name(plan.parameters.claim_name);
  }
  return volume;
}

// AlreadyExists, naming the first difference, if `volume` is not what the plan asks for.
absl::Status CheckSame(const Volume& volume, const CreateVolumePlan& plan,
                       const Placement& placement) {
  const auto differs = [&](absl::string_view what, absl::string_view has, absl::string_view wants) {
    return absl::AlreadyExistsError(absl::StrCat("volume ", volume.metadata().name(),
                                                 " exists with ", what, " ", has, ", asked for is ",
                                                 wants));
  };
  const v1alpha1::VolumeSpec& spec = volume.spec();
  if (spec.pool() != plan.parameters.pool) {
    return differs("pool", spec.pool(), plan.parameters.pool);
  }
  if (spec.gpu_direct() != plan.parameters.gpu_direct)
    return differs("gpuDirect", spec.gpu_direct(), plan.parameters.gpu_direct);
  const bool block = spec.mode() == "Block";
  if (block != plan.access.block) {
    return differs("mode", spec.mode(), plan.access.block ? "Block" : "Filesystem");
  }
  // Where either leaves it open the volume has what the pool's backend makes.
  if (spec.fs_type() != plan.fs_type && !spec.fs_type().empty() && !plan.fs_type.empty()) {
    return differs("filesystem", spec.fs_type(), plan.fs_type);
  }
  if (spec.source().kind() != plan.source.kind() || spec.source().name() != plan.source.name()) {
    return differs("source", absl::StrCat(spec.source().kind(), " ", spec.source().name()),
                   absl::StrCat(plan.source.kind(), " ", plan.source.name()));
  }
  if (!plan.size.Holds(spec.size())) {
    return differs("size", absl::StrCat(spec.size()),
                   absl::StrCat(plan.size.required_bytes, " to ", plan.size.limit_bytes));
  }
  const std::vector<std::string>& nodes = placement.allowed;
  if (!spec.node_name().empty() && !nodes.empty() &&
      std::find(nodes.begin(), nodes.end(), spec.node_name()) == nodes.end()) {
    return differs("node", spec.node_name(), absl::StrJoin(nodes, ", "));
  }
  return absl::OkStatus();
}

// The nodes that the plan's topologies mean. ResourceExhausted: they mean none.
absl::StatusOr<Placement> Place(const CallContext& context, kube::Client& client,
                                const CreateVolumePlan& plan) {
  Placement nodes;
  ASHLAR_ASSIGN_OR_RETURN(nodes.allowed, NodesOf(context, client, plan.requisite));
  ASHLAR_ASSIGN_OR_RETURN(nodes.preferred, NodesOf(context, client, plan.preferred));
  if (nodes.allowed.empty() && !plan.requisite.empty()) {
    return absl::ResourceExhaustedError(
        absl::StrCat("accessibility_requirements.requisite: no node has the labels ",
                     plan.requisite.front().label_selector));
  }
  return nodes;
}

// Whether what was asked for will not come about: the other errors leave it under way.
bool IsRefusal(const absl::Status& status) {
  return absl::IsResourceExhausted(status) || absl::IsInvalidArgument(status) ||
         absl::IsFailedPrecondition(status);
}

void Fill(const Volume& volume, csi::v1::Volume& out) {
  out.set_volume_id(volume.metadata().name());
  out.set_capacity_bytes(CarvedBytes(volume));
  (*out.mutable_volume_context())["pool"] = volume.spec().pool();
  if (!volume.spec().gpu_direct().empty())
    (*out.mutable_volume_context())[kGpuDirectContext] = volume.spec().gpu_direct();
  if (volume.spec().source().kind() == "Snapshot") {
    out.mutable_content_source()->mutable_snapshot()->set_snapshot_id(
        volume.spec().source().name());
  } else if (volume.spec().has_source()) {
    out.mutable_content_source()->mutable_volume()->set_volume_id(volume.spec().source().name());
  }
  (*out.add_accessible_topology()->mutable_segments())[kTopologyKey] = volume.spec().node_name();
}

template <class Status>
void FillStatus(const Volume& volume, Status& out) {
  if (const std::string node = PublishedNode(volume); !node.empty()) {
    out.add_published_node_ids(node);
  }
  SetVolumeCondition(ConditionOf(volume), out);
}

}  // namespace

runtime::ObjectPtr Controller::FindPool(const std::string& name) const {
  return pools_.Get({"", name});
}

absl::Status Controller::CheckSynced() const {
  if (pools_.Synced() && volumes_.Synced()) return absl::OkStatus();
  return absl::UnavailableError("Volumes and Pools have not been read from Kubernetes yet; repeat");
}

absl::StatusOr<Json> Controller::ReadPool(const CallContext& context, const std::string& name) {
  if (const runtime::ObjectPtr pool = FindPool(name); pool != nullptr) return *pool;
  // The pool may be younger than what the cache has seen.
  absl::StatusOr<Json> found = client_.Get(context, api::Kind<Pool>(), {"", name});
  if (!absl::IsNotFound(found.status())) return found;
  std::vector<std::string> names;
  for (const runtime::ObjectPtr& pool : pools_.List()) names.push_back(kube::KeyOf(*pool).name);
  std::sort(names.begin(), names.end());
  return absl::InvalidArgumentError(
      absl::StrCat("parameters[pool]: there is no Pool '", name,
                   "'; there are: ", names.empty() ? "none" : absl::StrJoin(names, ", ")));
}

absl::StatusOr<csi::v1::CreateVolumeResponse> Controller::CreateVolume(
    const CallContext& context, const csi::v1::CreateVolumeRequest& request) {
  ASHLAR_RETURN_IF_ERROR(CheckSynced());
  ASHLAR_ASSIGN_OR_RETURN(CreateVolumePlan plan, ReadCreateVolume(request));
  ASHLAR_ASSIGN_OR_RETURN(const Json pool, ReadPool(context, plan.parameters.pool));
  ASHLAR_RETURN_IF_ERROR(FitBackend(pool, request, plan));
  ASHLAR_ASSIGN_OR_RETURN(const std::string source_node, FitSource(context, plan));
  ASHLAR_ASSIGN_OR_RETURN(Placement nodes, Place(context, client_, plan));
  if (!source_node.empty()) {
    if (!nodes.allowed.empty() && !absl::c_linear_search(nodes.allowed, source_node)) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "a copy lies on the node of its source: ", plan.source.kind(), " ", plan.source.name(),
          " lies on node ", source_node, ", allowed are ", absl::StrJoin(nodes.allowed, ", ")));
    }
    nodes.allowed = {source_node};
  }
  ASHLAR_ASSIGN_OR_RETURN(Volume volume, volumes_.FindOrCreate(context, WantedVolume(plan, nodes)));
  ASHLAR_RETURN_IF_ERROR(CheckSame(volume, plan, nodes));
  // A repeat may bring the attributes of another class.
  if (Apply(plan.attributes, *volume.mutable_spec())) {
    ASHLAR_ASSIGN_OR_RETURN(volume, volumes_.Modify(context, plan.volume_id, plan.attributes));
  }
  absl::StatusOr<Volume> carved = volumes_.AwaitCarved(context, volume);
  if (!carved.ok()) {
    // The caller is told that there is no volume, so none may come about later.
    if (IsRefusal(carved.status())) {
      ASHLAR_RETURN_IF_ERROR(volumes_.Remove(context, volume.metadata().name()));
    }
    return carved.status();
  }
  ASHLAR_RETURN_IF_ERROR(CheckSame(*carved, plan, nodes));  // now the node is known
  ASHLAR_RETURN_IF_ERROR(volumes_.AwaitModified(context, *carved).status());
  csi::v1::CreateVolumeResponse response;
  Fill(*carved, *response.mutable_volume());
  return response;
}

absl::StatusOr<std::string> Controller::FitSource(const CallContext& context,
                                                  CreateVolumePlan& plan) {
  if (plan.source.name().empty()) return std::string();
  struct {
    std::string pool, mode, fs_type, node;
    int64_t bytes = 0;
  } source;
  absl::Status found;
  if (plan.source.kind() == "Snapshot") {
    const absl::StatusOr<v1alpha1::Snapshot> snapshot =
        snapshots_.Find(context, plan.source.name());
    found = snapshot.status();
    if (found.ok())
      source = {snapshot->status().pool(), snapshot->status().mode(), snapshot->status().fs_type(),
                snapshot->spec().node_name(), snapshot->status().size()};
  } else {
    const absl::StatusOr<Volume> volume = volumes_.Find(context, plan.source.name());
    found = volume.status();
    if (found.ok())
      source = {volume->spec().pool(), volume->spec().mode(), volume->spec().fs_type(),
                volume->spec().node_name(), CarvedBytes(*volume)};
  }
  if (absl::IsNotFound(found)) {
    const absl::StatusOr<Volume> made = volumes_.Find(context, plan.volume_id);
    if (made.ok() && made->spec().source().name() == plan.source.name()) return std::string();
  }
  ASHLAR_RETURN_IF_ERROR(found);
  const std::string name = absl::StrCat(plan.source.kind(), " ", plan.source.name());
  if (source.bytes == 0 || source.node.empty())
    return absl::UnavailableError(absl::StrCat(name, " is not ready to be copied; repeat"));
  const auto refuse = [&](absl::string_view what, absl::string_view has, absl::string_view wants) {
    return absl::InvalidArgumentError(absl::StrCat("volume_content_source: ", name, " has ", what,
                                                   " ", has, ", asked for is ", wants));
  };
  if (source.pool != plan.parameters.pool) return refuse("pool", source.pool, plan.parameters.pool);
  const std::string mode = plan.access.block ? "Block" : "Filesystem";
  if (source.mode != mode) return refuse("mode", source.mode, mode);
  if (!plan.fs_type_given) plan.fs_type = source.fs_type;
  if (source.fs_type != plan.fs_type && !source.fs_type.empty())
    return refuse("filesystem", source.fs_type, plan.fs_type);
  const bool too_small = plan.size_given && plan.size.bytes < source.bytes;
  if (too_small || (plan.size.limit_bytes > 0 && plan.size.limit_bytes < source.bytes))
    return absl::OutOfRangeError(
        absl::StrCat("capacity_range: ", name, " has ", source.bytes, " bytes"));
  plan.size.bytes = std::max(plan.size.bytes, source.bytes);
  return source.node;
}

absl::StatusOr<csi::v1::DeleteVolumeResponse> Controller::DeleteVolume(
    const CallContext& context, const csi::v1::DeleteVolumeRequest& request) {
  ASHLAR_RETURN_IF_ERROR(CheckSynced());
  csi::v1::DeleteVolumeResponse done;
  const absl::Status id = CheckVolumeId(request.volume_id());
  if (absl::IsNotFound(id)) return done;  // absent is success
  ASHLAR_RETURN_IF_ERROR(id);
  const absl::StatusOr<Volume> volume = volumes_.Find(context, request.volume_id());
  if (volume.ok() && IsPublished(*volume)) {
    return absl::FailedPreconditionError(absl::StrCat(
        "volume ", request.volume_id(), " is published on node ", volume->spec().node_name()));
  }
  ASHLAR_RETURN_IF_ERROR(volumes_.Remove(context, request.volume_id()));
  return done;
}

absl::StatusOr<csi::v1::ValidateVolumeCapabilitiesResponse> Controller::ValidateVolumeCapabilities(
    const CallContext& context, const csi::v1::ValidateVolumeCapabilitiesRequest& request) {
  if (!request.volume_id().empty() && request.volume_capabilities().empty()) {
    return absl::InvalidArgumentError("volume_capabilities is required");
  }
  ASHLAR_RETURN_IF_ERROR(CheckVolumeId(request.volume_id()));
  ASHLAR_ASSIGN_OR_RETURN(const Volume volume, volumes_.Find(context, request.volume_id()));
  csi::v1::ValidateVolumeCapabilitiesResponse response;
  const absl::StatusOr<Access> access = ReadAccess(request.volume_capabilities());
  if (!access.ok()) {
    response.set_message(std::string(access.status().message()));
    return response;
  }
  if (access->block != (volume.spec().mode() == "Block")) {
    response.set_message(absl::StrCat("the volume has mode ", volume.spec().mode()));
    return response;
  }
  if (!access->fs_type.empty() && access->fs_type != volume.spec().fs_type()) {
    response.set_message(absl::StrCat("the volume has filesystem ", volume.spec().fs_type()));
    return response;
  }
  auto& confirmed = *response.mutable_confirmed();
  *confirmed.mutable_volume_capabilities() = request.volume_capabilities();
  *confirmed.mutable_volume_context() = request.volume_context();
  *confirmed.mutable_parameters() = request.parameters();
  return response;
}

absl::StatusOr<std::vector<Volume>> Controller::Page(int32_t max_entries,
                                                     const std::string& starting_token,
                                                     absl::FunctionRef<bool(const Volume&)> wanted,
                                                     std::string& next_token) const {
  ASHLAR_RETURN_IF_ERROR(CheckSynced());
  if (max_entries < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_entries is ", max_entries, "; it must not be negative"));
  }
  absl::string_view after = starting_token;
  if (!after.empty() && !absl::ConsumePrefix(&after, kTokenPrefix)) {
    return absl::AbortedError(absl::StrCat("starting_token '", absl::CHexEscape(starting_token),
                                           "' is not a next_token of this driver; start again"));
  }
  std::vector<Volume> page;
  for (Volume& volume : volumes_.List()) {
    if (volume.metadata().name() <= after || !wanted(volume)) continue;
    if (max_entries > 0 && page.size() == static_cast<size_t>(max_entries)) {
      next_token = absl::StrCat(kTokenPrefix, page.back().metadata().name());
      break;
    }
    page.push_back(std::move(volume));
  }
  return page;
}

absl::StatusOr<csi::v1::ListVolumesResponse> Controller::ListVolumes(
    const CallContext&, const csi::v1::ListVolumesRequest& request) {
  csi::v1::ListVolumesResponse response;
  ASHLAR_ASSIGN_OR_RETURN(
      const std::vector<Volume> page,
      Page(
          request.max_entries(), request.starting_token(),
          [](const Volume& volume) { return CarvedBytes(volume) > 0 && !volume.spec().has_pod(); },
          *response.mutable_next_token()));
  for (const Volume& volume : page) {
    csi::v1::ListVolumesResponse::Entry& entry = *response.add_entries();
    Fill(volume, *entry.mutable_volume());
    FillStatus(volume, *entry.mutable_status());
  }
  return response;
}

absl::StatusOr<csi::v1::ControllerGetVolumeResponse> Controller::GetVolume(
    const CallContext& context, const csi::v1::ControllerGetVolumeRequest& request) {
  ASHLAR_RETURN_IF_ERROR(CheckVolumeId(request.volume_id()));
  ASHLAR_ASSIGN_OR_RETURN(const Volume volume, volumes_.Find(context, request.volume_id()));
  csi::v1::ControllerGetVolumeResponse response;
  Fill(volume, *response.mutable_volume());
  FillStatus(volume, *response.mutable_status());
  return response;
}

absl::StatusOr<csi::v1::ControllerGetVolumeHealthResponse> Controller::GetVolumeHealth(
    const CallContext& context, const csi::v1::ControllerGetVolumeHealthRequest& request) {
  ASHLAR_RETURN_IF_ERROR(CheckVolumeId(request.volume_id()));
  ASHLAR_ASSIGN_OR_RETURN(const Volume volume, volumes_.Find(context, request.volume_id()));
  csi::v1::ControllerGetVolumeHealthResponse response;
  *response.mutable_volume_health() = HealthOf(volume);
  return response;
}

absl::StatusOr<csi::v1::ControllerListVolumeHealthResponse> Controller::ListVolumeHealth(
    const CallContext&, const csi::v1::ControllerListVolumeHealthRequest& request) {
  csi::v1::ControllerListVolumeHealthResponse response;
  ASHLAR_ASSIGN_OR_RETURN(
      const std::vector<Volume> page,
      Page(
          request.max_entries(), request.starting_token(),
          [](const Volume& volume) { return HealthOf(volume).health_statuses_size() > 0; },
          *response.mutable_next_token()));
  for (const Volume& volume : page) *response.add_entries() = HealthOf(volume);
  return response;
}

absl::StatusOr<csi::v1::GetCapacityResponse> Controller::GetCapacity(
    const CallContext& context, const csi::v1::GetCapacityRequest& request) {
  ASHLAR_RETURN_IF_ERROR(CheckSynced());
  ASHLAR_ASSIGN_OR_RETURN(const Parameters parameters,
                          ReadParameters(ParameterPlace::kStorageClass, request.parameters()));
  std::string fs_type = parameters.fs_type;
  if (!request.volume_capabilities().empty()) {
    ASHLAR_ASSIGN_OR_RETURN(const Access access, ReadAccess(request.volume_capabilities()));
    if (!access.fs_type.empty()) fs_type = access.fs_type;
  }
  std::vector<std::string> nodes;
  if (request.has_accessible_topology()) {
    ASHLAR_ASSIGN_OR_RETURN(const TopologyTerm term,
                            ReadTopology("accessible_topology", request.accessible_topology()));
    ASHLAR_ASSIGN_OR_RETURN(nodes, NodesOf(context, client_, {term}));
  }
  int64_t available = 0;
  int64_t largest = 0;
  for (const runtime::ObjectPtr& object : pools_.List()) {
    if (!parameters.pool.empty() && kube::KeyOf(*object).name != parameters.pool) continue;
    const absl::StatusOr<Pool> pool = api::FromJson<Pool>(*object);
    if (!pool.ok() || pool->metadata().has_deletion_timestamp()) continue;
    for (const PoolNodeStatus& status : pool->status().nodes()) {
      if (!status.ready()) continue;
      // A topology that means no node of ours holds no bytes of ours.
      if (request.has_accessible_topology() && !absl::c_linear_search(nodes, status.node())) {
        continue;
      }
      available += status.allocatable();
      largest = std::max<int64_t>(largest, status.largest_volume());
    }
  }
  csi::v1::GetCapacityResponse response;
  response.set_available_capacity(available);
  response.mutable_maximum_volume_size()->set_value(largest);
  response.mutable_minimum_volume_size()->set_value(MinimumBytes(fs_type));
  return response;
}

absl::Status Controller::CheckRoomToGrow(const Volume& volume, int64_t bytes) const {
  const runtime::ObjectPtr object = FindPool(volume.spec().pool());
  if (object == nullptr) return absl::OkStatus();  // the controller says what is wrong
  ASHLAR_ASSIGN_OR_RETURN(const Pool pool, api::FromJson<Pool>(*object));
  const int64_t more = bytes - std::max(CarvedBytes(volume), volume.spec().size());
  for (const PoolNodeStatus& status : pool.status().nodes()) {
    if (status.node() != volume.spec().node_name() || status.largest_volume() >= more) continue;
    return absl::ResourceExhaustedError(
        absl::StrCat("volume ", volume.metadata().name(), " can't grow by ", more, " bytes: pool ",
                     volume.spec().pool(), " has ", status.allocatable(), " bytes left on node ",
                     status.node(), ", of which one volume can have ", status.largest_volume()));
  }
  return absl::OkStatus();
}

absl::StatusOr<csi::v1::ControllerExpandVolumeResponse> Controller::ExpandVolume(
    const CallContext& context, const csi::v1::ControllerExpandVolumeRequest& request) {
  ASHLAR_RETURN_IF_ERROR(CheckSynced());
  ASHLAR_RETURN_IF_ERROR(CheckVolumeId(request.volume_id()));
  if (!request.has_capacity_range()) {
    return absl::InvalidArgumentError("capacity_range is required");
  }
  ASHLAR_ASSIGN_OR_RETURN(Volume volume, volumes_.Find(context, request.volume_id()));
  ASHLAR_ASSIGN_OR_RETURN(const SizeRange range,
                          ReadSize(request.capacity_range(), volume.spec().fs_type()));
  const bool block = volume.spec().mode() == "Block";
  if (request.has_volume_capability()) {
    ASHLAR_ASSIGN_OR_RETURN(const Access access, ReadAccess(request.volume_capability()));
    if (access.block != block) {
      return absl::InvalidArgumentError(
          absl::StrCat("volume_capability: the volume has mode ", volume.spec().mode()));
    }
  }
  if (range.limit_bytes > 0 && CarvedBytes(volume) > range.limit_bytes) {
    return absl::OutOfRangeError(absl::StrCat("the volume has ", CarvedBytes(volume),
                                              " bytes already, above limit_bytes ",
                                              range.limit_bytes, "; volumes never shrink"));
  }
  if (volume.spec().size() < range.bytes) {
    ASHLAR_RETURN_IF_ERROR(CheckRoomToGrow(volume, range.bytes));
  }
  ASHLAR_ASSIGN_OR_RETURN(volume, volumes_.Resize(context, request.volume_id(), range.bytes));
  const absl::StatusOr<Volume> grown = volumes_.AwaitCarved(context, volume);
  if (IsRefusal(grown.status())) {
    ASHLAR_RETURN_IF_ERROR(volumes_.TakeBackGrowth(context, volume));
  }
  ASHLAR_RETURN_IF_ERROR(grown.status());
  volume = *grown;
  csi::v1::ControllerExpandVolumeResponse response;
  response.set_capacity_bytes(CarvedBytes(volume));
  response.set_node_expansion_required(!block);
  return response;
}

absl::StatusOr<csi::v1::ControllerModifyVolumeResponse> Controller::ModifyVolume(
    const CallContext& context, const csi::v1::ControllerModifyVolumeRequest& request) {
  ASHLAR_RETURN_IF_ERROR(CheckSynced());
  ASHLAR_RETURN_IF_ERROR(CheckVolumeId(request.volume_id()));
  if (request.mutable_parameters().empty()) {
    return absl::InvalidArgumentError("mutable_parameters is required");
  }
  ASHLAR_ASSIGN_OR_RETURN(const MutableParameters attributes,
                          ReadMutableParameters(request.mutable_parameters()));
  ASHLAR_ASSIGN_OR_RETURN(Volume volume, volumes_.Find(context, request.volume_id()));
  if (const runtime::ObjectPtr pool = FindPool(volume.spec().pool()); pool != nullptr) {
    ASHLAR_RETURN_IF_ERROR(CheckLimits(*pool, attributes));
  }
  ASHLAR_ASSIGN_OR_RETURN(volume, volumes_.Modify(context, request.volume_id(), attributes));
  ASHLAR_RETURN_IF_ERROR(volumes_.AwaitModified(context, volume).status());
  return csi::v1::ControllerModifyVolumeResponse();
}

absl::StatusOr<csi::v1::ControllerGetCapabilitiesResponse> Controller::GetCapabilities(
    const CallContext&, const csi::v1::ControllerGetCapabilitiesRequest&) {
  using Capability = csi::v1::ControllerServiceCapability::RPC;
  csi::v1::ControllerGetCapabilitiesResponse response;
  for (const auto type :
       {Capability::CREATE_DELETE_VOLUME, Capability::PUBLISH_UNPUBLISH_VOLUME,
        Capability::PUBLISH_READONLY, Capability::LIST_VOLUMES,
        Capability::LIST_VOLUMES_PUBLISHED_NODES, Capability::GET_CAPACITY,
        Capability::EXPAND_VOLUME, Capability::GET_VOLUME, kControllerVolumeCondition,
        Capability::GET_VOLUME_HEALTH, Capability::LIST_VOLUME_HEALTH,
        Capability::SINGLE_NODE_MULTI_WRITER, Capability::MODIFY_VOLUME,
        Capability::CREATE_DELETE_SNAPSHOT, Capability::LIST_SNAPSHOTS, Capability::GET_SNAPSHOT,
        Capability::CLONE_VOLUME}) {
    response.add_capabilities()->mutable_rpc()->set_type(type);
  }
  return response;
}

}  // namespace ashlar::csi_driver
