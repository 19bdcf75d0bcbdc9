#include "csi/testing/bulk_test.h"

#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "csi/names.h"
#include "lib/api/kinds.h"
#include "lib/rpc/channel.h"

namespace ashlar::csi_driver {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using grpc::StatusCode;

constexpr int64_t kMiB = 1 << 20;
constexpr IdCodes kAbsentIsFine{StatusCode::OK, StatusCode::OK};
constexpr IdCodes kNotAMember{StatusCode::INVALID_ARGUMENT, StatusCode::INVALID_ARGUMENT};

void AddFields(const Descriptor& message, FieldPath& way, std::vector<FieldPath>& paths) {
  for (int i = 0; i < message.field_count(); ++i) {
    const FieldDescriptor& field = *message.field(i);
    way.push_back(&field);
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE && !field.is_map())
      AddFields(*field.message_type(), way, paths);
    else
      paths.push_back(way);
    way.pop_back();
  }
}

}  // namespace

std::vector<FieldPath> FieldsOf(const Descriptor& message) {
  FieldPath way;
  std::vector<FieldPath> paths;
  AddFields(message, way, paths);
  return paths;
}

std::string NameOf(const FieldPath& path) {
  return absl::StrJoin(path, ".", [](std::string* out, const FieldDescriptor* field) {
    out->append(field->name());
  });
}

Message& HolderOf(Message& request, const FieldPath& path) {
  Message* holder = &request;
  for (size_t i = 0; i + 1 < path.size(); ++i) {
    const auto& reflection = *holder->GetReflection();
    if (!path[i]->is_repeated())
      holder = reflection.MutableMessage(holder, path[i]);
    else if (reflection.FieldSize(*holder, path[i]) == 0)
      holder = reflection.AddMessage(holder, path[i]);
    else
      holder = reflection.MutableRepeatedMessage(holder, path[i], 0);
  }
  return *holder;
}

csi::v1::VolumeCapability BulkTest::Mount() {
  csi::v1::VolumeCapability capability;
  capability.mutable_mount();
  capability.mutable_access_mode()->set_mode(
      csi::v1::VolumeCapability::AccessMode::SINGLE_NODE_WRITER);
  return capability;
}

csi::v1::CreateVolumeRequest BulkTest::CreateRequest() {
  csi::v1::CreateVolumeRequest create;
  create.set_name("new");
  *create.add_volume_capabilities() = Mount();
  (*create.mutable_parameters())["pool"] = "fast";
  create.mutable_capacity_range()->set_required_bytes(100 * kMiB);
  return create;
}

std::unique_ptr<Message> BulkTest::Copy(const Rpc& rpc) {
  std::unique_ptr<Message> copy(rpc.request->New());
  copy->CopyFrom(*rpc.request);
  return copy;
}

void BulkTest::SetUp() {
  v1alpha1::Pool pool;
  pool.mutable_metadata()->set_name("fast");
  for (const char* name : {"n1", "n2"}) {
    v1alpha1::PoolNodeStatus& node = *pool.mutable_status()->add_nodes();
    node.set_node(name);
    node.set_ready(true);
    node.set_allocatable(int64_t{1} << 40);
    node.set_largest_volume(int64_t{1} << 40);
  }
  kube_.Put(api::Kind<v1alpha1::Pool>(), api::ToJson(pool));
  tls_.Write(rpc::MakeTestCa(), "ashlar-controller");
  const std::string endpoint = "unix://" + directory_.path() + "/csi.sock";
  auto app = CsiApp::Start({.mode = Mode::kAll,
                            .endpoint = endpoint,
                            .agent_socket = directory_.path() + "/agent.sock",
                            .agent_tls_directory = tls_.path(),
                            .agent_space = "ashlar-system"},
                           clock_, registry_, &kube_);
  ASSERT_TRUE(app.ok()) << app.status();
  app_ = *std::move(app);
  const auto channel = rpc::MakeUnixChannel(endpoint);
  controller_ = csi::v1::Controller::NewStub(channel);
  groups_ = csi::v1::GroupController::NewStub(channel);
  metadata_ = csi::v1::SnapshotMetadata::NewStub(channel);
  node_ = csi::v1::Node::NewStub(channel);
  while (!app_->Ready().ok()) std::this_thread::yield();
  AddVolumes();
  AddQuestions();
  AddSnapshots();
  AddGroups();
  AddMetadata();
  AddNode();
  MakeObjects();
}

void BulkTest::MakeObjects() {
  for (const std::string name : {"here", "block"}) {
    csi::v1::CreateVolumeRequest create = CreateRequest();
    create.set_name(name);
    if (name == "block") create.mutable_volume_capabilities(0)->mutable_block();
    ASSERT_EQ(Find("CreateVolume").send(create), StatusCode::OK);
    csi::v1::CreateSnapshotRequest take;
    take.set_name(name == "block" ? "snap-of-block" : "snap");
    take.set_source_volume_id(name);
    ASSERT_EQ(Find("CreateSnapshot").send(take), StatusCode::OK);
  }
  csi::v1::CreateVolumeGroupSnapshotRequest group;
  group.set_name("group");
  group.add_source_volume_ids("here");
  ASSERT_EQ(Find("CreateVolumeGroupSnapshot").send(group), StatusCode::OK);
  // The members of the group are taken by and by.
  for (bool taken = false; !taken;) {
    taken = true;
    const auto snapshots = kube_.List({}, api::Kind<v1alpha1::Snapshot>(), {});
    for (const Json& snapshot : snapshots->items)
      taken = taken && FindJson(snapshot, {"status", "conditions"}) != nullptr;
  }
}

template <class Stub, class Request, class Response>
Rpc& BulkTest::Add(Stub& stub, const std::string& name,
                   grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                   const Request& request, std::vector<std::string> required) {
  Rpc rpc;
  rpc.name = name;
  rpc.request = std::make_shared<Request>(request);
  rpc.send = [&stub, method](const Message& message) {
    grpc::ClientContext context;
    Response response;
    return (stub.*method)(&context, dynamic_cast<const Request&>(message), &response).error_code();
  };
  rpc.required = std::move(required);
  return rpcs_.emplace_back(std::move(rpc));
}

template <class Request, class Item>
Rpc& BulkTest::AddStream(const std::string& name,
                         std::unique_ptr<grpc::ClientReader<Item>> (
                             csi::v1::SnapshotMetadata::Stub::*method)(grpc::ClientContext*,
                                                                       const Request&),
                         const Request& request, std::vector<std::string> required) {
  Rpc rpc;
  rpc.name = name;
  rpc.request = std::make_shared<Request>(request);
  rpc.send = [this, method](const Message& message) {
    grpc::ClientContext context;
    const auto reader = ((*metadata_).*method)(&context, dynamic_cast<const Request&>(message));
    Item item;
    while (reader->Read(&item)) {
    }
    return reader->Finish().error_code();
  };
  rpc.required = std::move(required);
  return rpcs_.emplace_back(std::move(rpc));
}

void BulkTest::AddVolumes() {
  using C = csi::v1::Controller::Stub;
  Add(*controller_, "CreateVolume", &C::CreateVolume, CreateRequest(),
      {"name", "volume_capabilities", "parameters"});
  csi::v1::DeleteVolumeRequest remove;
  remove.set_volume_id("here");
  Add(*controller_, "DeleteVolume", &C::DeleteVolume, remove, {"volume_id"}).ids = {
      {"volume_id", kAbsentIsFine}};
  csi::v1::ControllerPublishVolumeRequest publish;
  publish.set_volume_id("here");
  publish.set_node_id("n1");
  *publish.mutable_volume_capability() = Mount();
  Add(*controller_, "ControllerPublishVolume", &C::ControllerPublishVolume, publish,
      {"volume_id", "node_id", "volume_capability"});
  csi::v1::ControllerUnpublishVolumeRequest unpublish;
  unpublish.set_volume_id("here");
  Add(*controller_, "ControllerUnpublishVolume", &C::ControllerUnpublishVolume, unpublish,
      {"volume_id"})
      .ids = {{"volume_id", kAbsentIsFine}, {"node_id", kAbsentIsFine}};
  csi::v1::ControllerExpandVolumeRequest grow;
  grow.set_volume_id("here");
  grow.mutable_capacity_range()->set_required_bytes(200 * kMiB);
  Add(*controller_, "ControllerExpandVolume", &C::ControllerExpandVolume, grow,
      {"volume_id", "capacity_range"});
  csi::v1::ControllerModifyVolumeRequest modify;
  modify.set_volume_id("here");
  (*modify.mutable_mutable_parameters())["readIops"] = "5k";
  Add(*controller_, "ControllerModifyVolume", &C::ControllerModifyVolume, modify,
      {"volume_id", "mutable_parameters"});
}

void BulkTest::AddQuestions() {
  using C = csi::v1::Controller::Stub;
  csi::v1::ValidateVolumeCapabilitiesRequest validate;
  validate.set_volume_id("here");
  *validate.add_volume_capabilities() = Mount();
  Add(*controller_, "ValidateVolumeCapabilities", &C::ValidateVolumeCapabilities, validate,
      {"volume_id", "volume_capabilities"});
  csi::v1::ControllerGetVolumeRequest get;
  get.set_volume_id("here");
  Add(*controller_, "ControllerGetVolume", &C::ControllerGetVolume, get, {"volume_id"});
  csi::v1::ControllerGetVolumeHealthRequest health;
  health.set_volume_id("here");
  Add(*controller_, "ControllerGetVolumeHealth", &C::ControllerGetVolumeHealth, health,
      {"volume_id"});
  Add(*controller_, "ListVolumes", &C::ListVolumes, csi::v1::ListVolumesRequest(), {});
  Add(*controller_, "ControllerListVolumeHealth", &C::ControllerListVolumeHealth,
      csi::v1::ControllerListVolumeHealthRequest(), {});
  Add(*controller_, "GetCapacity", &C::GetCapacity, csi::v1::GetCapacityRequest(), {});
}

void BulkTest::AddSnapshots() {
  using C = csi::v1::Controller::Stub;
  csi::v1::CreateSnapshotRequest take;
  take.set_name("new");
  take.set_source_volume_id("here");
  Add(*controller_, "CreateSnapshot", &C::CreateSnapshot, take, {"name", "source_volume_id"});
  csi::v1::DeleteSnapshotRequest remove;
  remove.set_snapshot_id("snap");
  Add(*controller_, "DeleteSnapshot", &C::DeleteSnapshot, remove, {"snapshot_id"}).ids = {
      {"snapshot_id", kAbsentIsFine}};
  // An empty list is the answer where nothing is.
  Add(*controller_, "ListSnapshots", &C::ListSnapshots, csi::v1::ListSnapshotsRequest(), {}).ids = {
      {"snapshot_id", kAbsentIsFine}, {"source_volume_id", kAbsentIsFine}};
  csi::v1::GetSnapshotRequest get;
  get.set_snapshot_id("snap");
  Add(*controller_, "GetSnapshot", &C::GetSnapshot, get, {"snapshot_id"});
}

void BulkTest::AddGroups() {
  using G = csi::v1::GroupController::Stub;
  csi::v1::CreateVolumeGroupSnapshotRequest take;
  take.set_name("new");
  take.add_source_volume_ids("here");
  Add(*groups_, "CreateVolumeGroupSnapshot", &G::CreateVolumeGroupSnapshot, take,
      {"name", "source_volume_ids"});
  csi::v1::DeleteVolumeGroupSnapshotRequest remove;
  remove.set_group_snapshot_id("group");
  Add(*groups_, "DeleteVolumeGroupSnapshot", &G::DeleteVolumeGroupSnapshot, remove,
      {"group_snapshot_id"})
      .ids = {{"group_snapshot_id", kAbsentIsFine}, {"snapshot_ids", kNotAMember}};
  csi::v1::GetVolumeGroupSnapshotRequest get;
  get.set_group_snapshot_id("group");
  Add(*groups_, "GetVolumeGroupSnapshot", &G::GetVolumeGroupSnapshot, get, {"group_snapshot_id"})
      .ids = {{"snapshot_ids", kNotAMember}};
}

void BulkTest::AddMetadata() {
  using M = csi::v1::SnapshotMetadata::Stub;
  csi::v1::GetMetadataAllocatedRequest allocated;
  allocated.set_snapshot_id("snap");
  AddStream("GetMetadataAllocated", &M::GetMetadataAllocated, allocated, {"snapshot_id"});
  csi::v1::GetMetadataDeltaRequest delta;
  delta.set_base_snapshot_id("snap");
  delta.set_target_snapshot_id("snap");
  AddStream("GetMetadataDelta", &M::GetMetadataDelta, delta,
            {"base_snapshot_id", "target_snapshot_id"});
}

void BulkTest::AddNode() {
  using N = csi::v1::Node::Stub;
  const size_t first = rpcs_.size();
  csi::v1::NodeStageVolumeRequest stage;
  stage.set_volume_id("here");
  stage.set_staging_target_path("/staging");
  *stage.mutable_volume_capability() = Mount();
  Add(*node_, "NodeStageVolume", &N::NodeStageVolume, stage,
      {"volume_id", "staging_target_path", "volume_capability"});
  csi::v1::NodeUnstageVolumeRequest unstage;
  unstage.set_volume_id("here");
  unstage.set_staging_target_path("/staging");
  Add(*node_, "NodeUnstageVolume", &N::NodeUnstageVolume, unstage,
      {"volume_id", "staging_target_path"});
  csi::v1::NodePublishVolumeRequest show;
  show.set_volume_id("here");
  show.set_staging_target_path("/staging");
  show.set_target_path("/target");
  *show.mutable_volume_capability() = Mount();
  Add(*node_, "NodePublishVolume", &N::NodePublishVolume, show,
      {"volume_id", "target_path", "volume_capability"});
  csi::v1::NodeUnpublishVolumeRequest hide;
  hide.set_volume_id("here");
  hide.set_target_path("/target");
  Add(*node_, "NodeUnpublishVolume", &N::NodeUnpublishVolume, hide, {"volume_id", "target_path"});
  csi::v1::NodeGetVolumeStatsRequest stats;
  stats.set_volume_id("here");
  stats.set_volume_path("/target");
  Add(*node_, "NodeGetVolumeStats", &N::NodeGetVolumeStats, stats, {"volume_id", "volume_path"})
      .bad_path = StatusCode::NOT_FOUND;
  csi::v1::NodeExpandVolumeRequest expand;
  expand.set_volume_id("here");
  expand.set_volume_path("/target");
  Add(*node_, "NodeExpandVolume", &N::NodeExpandVolume, expand, {"volume_id", "volume_path"})
      .bad_path = StatusCode::NOT_FOUND;
  csi::v1::NodeGetVolumeHealthRequest healthy;
  healthy.set_volume_id("here");
  Add(*node_, "NodeGetVolumeHealth", &N::NodeGetVolumeHealth, healthy, {"volume_id"});
  csi::v1::NodeGetStorageHealthRequest storage;
  Add(*node_, "NodeGetStorageHealth", &N::NodeGetStorageHealth, storage, {});
  for (size_t i = first; i < rpcs_.size(); ++i) rpcs_[i].asks_controller = false;
}

const Rpc& BulkTest::Find(const std::string& name) {
  for (const Rpc& rpc : rpcs_) {
    if (rpc.name == name) return rpc;
  }
  ADD_FAILURE() << name;
  return rpcs_.front();
}

std::string BulkTest::State() {
  std::string state;
  for (const api::KindInfo* kind :
       {&api::Kind<v1alpha1::Volume>(), &api::Kind<v1alpha1::Snapshot>(),
        &api::Kind<v1alpha1::SnapshotGroup>(), &api::Kind<v1alpha1::Pool>()}) {
    const auto objects = kube_.List({}, *kind, {});
    for (const Json& object : objects->items) absl::StrAppend(&state, object.dump(), "\n");
  }
  return absl::StrCat(state, "calls of the agent: ", agent_.calls());
}

void BulkTest::Expect(const Rpc& rpc, const Message& request, StatusCode code,
                      const std::string& what) {
  const std::string before = State();
  EXPECT_EQ(rpc.send(request), code) << rpc.name << ": " << what;
  EXPECT_TRUE(State() == before) << rpc.name << " changed something: " << what;
  ++cases_;
}

}  // namespace ashlar::csi_driver
