// Bad input in bulk, through gRPC as a caller sends it: each field of each request gets missing,
// too long, of the wrong type, in conflict with what is there, unknown, or full of path characters.
// Each case answers the code that the specification's tables name, and nothing changes: neither an
// object nor, through the agent, anything on the node.
#include <functional>

#include "csi/csi_app.h"
#include "csi/names.h"
#include "csi/testing/carving_controller.h"
#include "csi/testing/fake_agent.h"
#include "gtest/gtest.h"
#include "lib/api/kinds.h"
#include "lib/base/testing/temporary_directory.h"
#include "lib/kube/testing/fake_client.h"
#include "lib/rpc/channel.h"

namespace ashlar::csi_driver {
namespace {

using grpc::StatusCode;
using AccessMode = csi::v1::VolumeCapability::AccessMode;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr int64_t kMiB = 1 << 20;

csi::v1::VolumeCapability Mount() {
  csi::v1::VolumeCapability capability;
  capability.mutable_mount();
  capability.mutable_access_mode()->set_mode(AccessMode::SINGLE_NODE_WRITER);
  return capability;
}

// One RPC: a request that would do something, how to send it, and what is special about it.
struct Rpc {
  std::string name;
  std::shared_ptr<Message> request;
  std::function<StatusCode(const Message&)> send;
  std::vector<std::string> required;
  // The codes of an id that no volume has, and of one that no volume can have.
  StatusCode unknown = StatusCode::NOT_FOUND;
  StatusCode impossible = StatusCode::NOT_FOUND;
  StatusCode bad_path = StatusCode::INVALID_ARGUMENT;
  bool asks_controller = true;  // the agent alone knows which volumes it has
};

class BulkTest : public testing::Test {
 protected:
  void SetUp() override {
    v1alpha1::Pool pool;
    pool.mutable_metadata()->set_name("fast");
    for (const char* name : {"n1", "n2"}) {
      v1alpha1::PoolNodeStatus& node = *pool.mutable_status()->add_nodes();
      node.set_node(name);
      node.set_ready(true);
      node.set_allocatable(int64_t{1} << 40);
    }
    kube_.Put(api::Kind<v1alpha1::Pool>(), api::ToJson(pool));
    auto app = CsiApp::Start({.mode = Mode::kAll,
                              .endpoint = "unix://" + directory_.path() + "/csi.sock",
                              .agent_socket = directory_.path() + "/agent.sock"},
                             clock_, registry_, &kube_);
    ASSERT_TRUE(app.ok()) << app.status();
    app_ = *std::move(app);
    const auto channel = rpc::MakeUnixChannel("unix://" + directory_.path() + "/csi.sock");
    controller_ = csi::v1::Controller::NewStub(channel);
    node_ = csi::v1::Node::NewStub(channel);
    while (!app_->Ready().ok()) std::this_thread::yield();
    for (const char* name : {"here", "block"}) {
      csi::v1::CreateVolumeRequest create = CreateRequest();
      create.set_name(name);
      if (name == std::string("block")) create.mutable_volume_capabilities(0)->mutable_block();
      ASSERT_EQ(Send(*controller_, &csi::v1::Controller::Stub::CreateVolume, create),
                StatusCode::OK);
    }
    MakeRpcs();
  }

  template <class Stub, class Request, class Response>
  static StatusCode Send(Stub& stub,
                         grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                      Response*),
                         const Request& request) {
    grpc::ClientContext context;
    Response response;
    return (stub.*method)(&context, request, &response).error_code();
  }

  template <class Stub, class Request, class Response>
  Rpc& Add(Stub& stub, const std::string& name,
           grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
           const Request& request, std::vector<std::string> required) {
    Rpc rpc;
    rpc.name = name;
    rpc.request = std::make_shared<Request>(request);
    rpc.send = [&stub, method](const Message& message) {
      return Send(stub, method, dynamic_cast<const Request&>(message));
    };
    rpc.required = std::move(required);
    return rpcs_.emplace_back(std::move(rpc));
  }

  static csi::v1::CreateVolumeRequest CreateRequest() {
    csi::v1::CreateVolumeRequest create;
    create.set_name("new");
    *create.add_volume_capabilities() = Mount();
    (*create.mutable_parameters())["pool"] = "fast";
    create.mutable_capacity_range()->set_required_bytes(100 * kMiB);
    return create;
  }

  void MakeRpcs() {
    using C = csi::v1::Controller::Stub;
    using N = csi::v1::Node::Stub;
    Add(*controller_, "CreateVolume", &C::CreateVolume, CreateRequest(),
        {"name", "volume_capabilities", "parameters"});
    csi::v1::DeleteVolumeRequest remove;
    remove.set_volume_id("here");
    Rpc& deleted = Add(*controller_, "DeleteVolume", &C::DeleteVolume, remove, {"volume_id"});
    deleted.unknown = deleted.impossible = StatusCode::OK;
    csi::v1::ControllerPublishVolumeRequest publish;
    publish.set_volume_id("here");
    publish.set_node_id("n1");
    *publish.mutable_volume_capability() = Mount();
    Add(*controller_, "ControllerPublishVolume", &C::ControllerPublishVolume, publish,
        {"volume_id", "node_id", "volume_capability"});
    csi::v1::ControllerUnpublishVolumeRequest unpublish;
    unpublish.set_volume_id("here");
    Rpc& unpublished = Add(*controller_, "ControllerUnpublishVolume", &C::ControllerUnpublishVolume,
                           unpublish, {"volume_id"});
    unpublished.unknown = unpublished.impossible = StatusCode::OK;
    csi::v1::ValidateVolumeCapabilitiesRequest validate;
    validate.set_volume_id("here");
    *validate.add_volume_capabilities() = Mount();
    Add(*controller_, "ValidateVolumeCapabilities", &C::ValidateVolumeCapabilities, validate,
        {"volume_id", "volume_capabilities"});
    csi::v1::ControllerExpandVolumeRequest grow;
    grow.set_volume_id("here");
    grow.mutable_capacity_range()->set_required_bytes(200 * kMiB);
    Add(*controller_, "ControllerExpandVolume", &C::ControllerExpandVolume, grow,
        {"volume_id", "capacity_range"});
    csi::v1::ControllerGetVolumeRequest get;
    get.set_volume_id("here");
    Add(*controller_, "ControllerGetVolume", &C::ControllerGetVolume, get, {"volume_id"});
    csi::v1::ControllerGetVolumeHealthRequest health;
    health.set_volume_id("here");
    Add(*controller_, "ControllerGetVolumeHealth", &C::ControllerGetVolumeHealth, health,
        {"volume_id"});
    Add(*controller_, "ListVolumes", &C::ListVolumes, csi::v1::ListVolumesRequest(), {});
    Add(*controller_, "GetCapacity", &C::GetCapacity, csi::v1::GetCapacityRequest(), {});
    csi::v1::NodeStageVolumeRequest stage;
    stage.set_volume_id("here");
    stage.set_staging_target_path("/staging");
    *stage.mutable_volume_capability() = Mount();
    Add(*node_, "NodeStageVolume", &N::NodeStageVolume, stage,
        {"volume_id", "staging_target_path", "volume_capability"})
        .asks_controller = false;
    csi::v1::NodeUnstageVolumeRequest unstage;
    unstage.set_volume_id("here");
    unstage.set_staging_target_path("/staging");
    Add(*node_, "NodeUnstageVolume", &N::NodeUnstageVolume, unstage,
        {"volume_id", "staging_target_path"})
        .asks_controller = false;
    csi::v1::NodePublishVolumeRequest show;
    show.set_volume_id("here");
    show.set_staging_target_path("/staging");
    show.set_target_path("/target");
    *show.mutable_volume_capability() = Mount();
    Add(*node_, "NodePublishVolume", &N::NodePublishVolume, show,
        {"volume_id", "target_path", "volume_capability"})
        .asks_controller = false;
    csi::v1::NodeUnpublishVolumeRequest hide;
    hide.set_volume_id("here");
    hide.set_target_path("/target");
    Add(*node_, "NodeUnpublishVolume", &N::NodeUnpublishVolume, hide, {"volume_id", "target_path"})
        .asks_controller = false;
    csi::v1::NodeGetVolumeStatsRequest stats;
    stats.set_volume_id("here");
    stats.set_volume_path("/target");
    Rpc& asked = Add(*node_, "NodeGetVolumeStats", &N::NodeGetVolumeStats, stats,
                     {"volume_id", "volume_path"});
    asked.asks_controller = false;
    asked.bad_path = StatusCode::NOT_FOUND;
    csi::v1::NodeExpandVolumeRequest expand;
    expand.set_volume_id("here");
    expand.set_volume_path("/target");
    Rpc& grown =
        Add(*node_, "NodeExpandVolume", &N::NodeExpandVolume, expand, {"volume_id", "volume_path"});
    grown.asks_controller = false;
    grown.bad_path = StatusCode::NOT_FOUND;
    csi::v1::NodeGetVolumeHealthRequest healthy;
    healthy.set_volume_id("here");
    Add(*node_, "NodeGetVolumeHealth", &N::NodeGetVolumeHealth, healthy, {"volume_id"})
        .asks_controller = false;
  }

  std::string State() {
    std::string state;
    const auto volumes = kube_.List({}, api::Kind<v1alpha1::Volume>(), {});
    for (const Json& object : volumes->items) {
      state += object.dump() + "\n";
    }
    return state + "calls of the agent: " + std::to_string(agent_.calls());
  }

  // Sends it and expects the code; whatever else happens is a change.
  void Expect(const Rpc& rpc, const Message& request, StatusCode code, const std::string& what) {
    const std::string before = State();
    EXPECT_EQ(rpc.send(request), code) << rpc.name << ": " << what;
    EXPECT_TRUE(State() == before) << rpc.name << " changed something: " << what;
    ++cases_;
  }

  const Rpc& Find(const std::string& name) {
    for (const Rpc& rpc : rpcs_) {
      if (rpc.name == name) return rpc;
    }
    ADD_FAILURE() << name;
    return rpcs_.front();
  }

  template <class Request>
  void Case(const std::string& rpc, StatusCode code, const std::string& what,
            const std::function<void(Request&)>& change) {
    Request request = dynamic_cast<const Request&>(*Find(rpc).request);
    change(request);
    Expect(Find(rpc), request, code, what);
  }

  RealClock clock_;
  metrics::Registry registry_;
  TemporaryDirectory directory_;
  kube::FakeClient kube_{clock_};
  CarvingController carver_{kube_};
  FakeAgent agent_{directory_.path() + "/agent.sock", clock_};
  std::unique_ptr<CsiApp> app_;
  std::unique_ptr<csi::v1::Controller::Stub> controller_;
  std::unique_ptr<csi::v1::Node::Stub> node_;
  std::vector<Rpc> rpcs_;
  int cases_ = 0;
};

// A string of the field, a byte longer than it may be.
std::string TooLong(const FieldDescriptor& field) {
  const std::string& name = field.name();
  if (name.size() > 5 && name.substr(name.size() - 5) == "_path")
    return "/" + std::string(4096, 'p');
  if (name == "node_id" || name == "starting_token") return std::string(257, 'n');
  return std::string(129, 'x');
}

TEST_F(BulkTest, WhatIsRequiredAndMissing) {
  for (const Rpc& rpc : rpcs_) {
    for (const std::string& field : rpc.required) {
      const std::unique_ptr<Message> request(rpc.request->New());
      request->CopyFrom(*rpc.request);
      request->GetReflection()->ClearField(request.get(),
                                           request->GetDescriptor()->FindFieldByName(field));
      Expect(rpc, *request, StatusCode::INVALID_ARGUMENT, "without " + field);
    }
  }
  EXPECT_GT(cases_, 25);
}

TEST_F(BulkTest, EveryStringAndMapThatIsTooLong) {
  for (const Rpc& rpc : rpcs_) {
    const auto& descriptor = *rpc.request->GetDescriptor();
    for (int i = 0; i < descriptor.field_count(); ++i) {
      const FieldDescriptor& field = *descriptor.field(i);
      const std::unique_ptr<Message> request(rpc.request->New());
      request->CopyFrom(*rpc.request);
      const auto& reflection = *request->GetReflection();
      if (field.is_map()) {
        Message& entry = *reflection.AddMessage(request.get(), &field);
        entry.GetReflection()->SetString(&entry, entry.GetDescriptor()->FindFieldByNumber(1), "k");
        entry.GetReflection()->SetString(&entry, entry.GetDescriptor()->FindFieldByNumber(2),
                                         std::string(4096, 'v'));
      } else if (field.cpp_type() == FieldDescriptor::CPPTYPE_STRING && !field.is_repeated()) {
        reflection.SetString(request.get(), &field, TooLong(field));
      } else {
        continue;
      }
      Expect(rpc, *request, StatusCode::INVALID_ARGUMENT, field.name() + " too long");
    }
    // A capability has strings inside.
    const FieldDescriptor* one = descriptor.FindFieldByName("volume_capability");
    if (one == nullptr || !rpc.request->GetReflection()->HasField(*rpc.request, one)) continue;
    for (const char* inner : {"fs_type", "volume_mount_group"}) {
      const std::unique_ptr<Message> request(rpc.request->New());
      request->CopyFrom(*rpc.request);
      auto& capability = dynamic_cast<csi::v1::VolumeCapability&>(
          *request->GetReflection()->MutableMessage(request.get(), one));
      csi::v1::VolumeCapability::MountVolume& mount = *capability.mutable_mount();
      mount.GetReflection()->SetString(&mount, mount.GetDescriptor()->FindFieldByName(inner),
                                       std::string(129, '1'));
      Expect(rpc, *request, StatusCode::INVALID_ARGUMENT, std::string(inner) + " too long");
    }
  }
  EXPECT_GT(cases_, 40);
}

TEST_F(BulkTest, IdsThatNoVolumeHas) {
  for (const Rpc& rpc : rpcs_) {
    const FieldDescriptor* id = rpc.request->GetDescriptor()->FindFieldByName("volume_id");
    if (id == nullptr) continue;
    const auto with = [&](const std::string& value, StatusCode code) {
      const std::unique_ptr<Message> request(rpc.request->New());
      request->CopyFrom(*rpc.request);
      request->GetReflection()->SetString(request.get(), id, value);
      Expect(rpc, *request, code, "volume_id " + value);
    };
    if (rpc.asks_controller) with("absent", rpc.unknown);
    for (const char* value : {"../here", "here/../../pools/fast", "..", "/", "here/status", "Here",
                              "here?dryRun=All", "a%2fb", "a b", "here\n", "-here", "\xC3\xA4"}) {
      with(value, rpc.impossible);
    }
  }
}

TEST_F(BulkTest, PathsThatAreNone) {
  for (const Rpc& rpc : rpcs_) {
    for (const char* name :
         {"staging_target_path", "target_path", "volume_path", "volume_publish_path"}) {
      const FieldDescriptor* field = rpc.request->GetDescriptor()->FindFieldByName(name);
      if (field == nullptr) continue;
      for (const std::string& value :
           {std::string("relative"), std::string("/a/../../etc"), std::string("/a/./b"),
            std::string(".."), std::string("/a\0b", 4)}) {
        const std::unique_ptr<Message> request(rpc.request->New());
        request->CopyFrom(*rpc.request);
        request->GetReflection()->SetString(request.get(), field, value);
        const bool is_volume_path = std::string(name) == "volume_path";
        Expect(rpc, *request, is_volume_path ? rpc.bad_path : StatusCode::INVALID_ARGUMENT,
               std::string(name) + " " + value);
      }
    }
  }
}

TEST_F(BulkTest, CapabilitiesThatNoVolumeCanHave) {
  using Change = std::function<void(csi::v1::VolumeCapability&)>;
  std::vector<std::pair<std::string, Change>> changes = {
      {"no access type", [](auto& c) { c.clear_access_type(); }},
      {"no access mode", [](auto& c) { c.clear_access_mode(); }},
      {"filesystem", [](auto& c) { c.mutable_mount()->set_fs_type("ntfs"); }},
      {"group", [](auto& c) { c.mutable_mount()->set_volume_mount_group("wheel"); }},
  };
  for (const int mode : {0, 3, 4, 5, 99, -1}) {
    changes.emplace_back("mode " + std::to_string(mode), [mode](auto& c) {
      c.mutable_access_mode()->set_mode(static_cast<AccessMode::Mode>(mode));
    });
  }
  for (const Rpc& rpc : rpcs_) {
    const auto& descriptor = *rpc.request->GetDescriptor();
    const FieldDescriptor* one = descriptor.FindFieldByName("volume_capability");
    const FieldDescriptor* many = descriptor.FindFieldByName("volume_capabilities");
    // ValidateVolumeCapabilities answers in words; its own test looks at them.
    if ((one == nullptr && many == nullptr) || rpc.name == "ValidateVolumeCapabilities") continue;
    for (const auto& [what, change] : changes) {
      const std::unique_ptr<Message> request(rpc.request->New());
      request->CopyFrom(*rpc.request);
      csi::v1::VolumeCapability capability = Mount();
      change(capability);
      Message& place = one != nullptr
                           ? *request->GetReflection()->MutableMessage(request.get(), one)
                           : *request->GetReflection()->AddMessage(request.get(), many);
      place.CopyFrom(capability);
      Expect(rpc, *request, StatusCode::INVALID_ARGUMENT, what);
    }
  }
  EXPECT_GE(cases_, 60);
}

TEST_F(BulkTest, SizesThatAreNone) {
  struct Size {
    int64_t required, limit;
    StatusCode code;
  };
  for (const Size& size : std::vector<Size>{
           {-1, 0, StatusCode::INVALID_ARGUMENT},
           {0, -1, StatusCode::INVALID_ARGUMENT},
           {INT64_MIN, INT64_MIN, StatusCode::INVALID_ARGUMENT},
           {200 * kMiB, 150 * kMiB, StatusCode::INVALID_ARGUMENT},
           {200 * kMiB + 1, 200 * kMiB + 2, StatusCode::OUT_OF_RANGE},
           {INT64_MAX, 0, StatusCode::OUT_OF_RANGE},
       }) {
    const std::string what = std::to_string(size.required) + ".." + std::to_string(size.limit);
    const auto set = [&](auto& request) {
      request.mutable_capacity_range()->set_required_bytes(size.required);
      request.mutable_capacity_range()->set_limit_bytes(size.limit);
    };
    Case<csi::v1::CreateVolumeRequest>("CreateVolume", size.code, what, set);
    Case<csi::v1::ControllerExpandVolumeRequest>("ControllerExpandVolume", size.code, what, set);
  }
  Case<csi::v1::ControllerExpandVolumeRequest>(
      "ControllerExpandVolume", StatusCode::OUT_OF_RANGE, "a limit below what there is",
      [](auto& r) {
        r.mutable_capacity_range()->set_required_bytes(1);
        r.mutable_capacity_range()->set_limit_bytes(50 * kMiB);
      });
  Case<csi::v1::NodeExpandVolumeRequest>(
      "NodeExpandVolume", StatusCode::INVALID_ARGUMENT, "a negative size",
      [](auto& r) { r.mutable_capacity_range()->set_required_bytes(-1); });
}

TEST_F(BulkTest, RepeatsThatAskForSomethingElse) {
  using Create = csi::v1::CreateVolumeRequest;
  const std::vector<std::pair<std::string, std::function<void(Create&)>>> changes = {
      {"larger", [](Create& r) { r.mutable_capacity_range()->set_required_bytes(900 * kMiB); }},
      {"smaller",
       [](Create& r) {
         r.mutable_capacity_range()->set_required_bytes(16 * kMiB);
         r.mutable_capacity_range()->set_limit_bytes(32 * kMiB);
       }},
      {"block", [](Create& r) { r.mutable_volume_capabilities(0)->mutable_block(); }},
      {"xfs",
       [](Create& r) {
         (*r.mutable_parameters())["csi.storage.k8s.io/fstype"] = "xfs";
         r.mutable_capacity_range()->set_required_bytes(0);
       }},
      {"elsewhere",
       [](Create& r) {
         (*r.mutable_accessibility_requirements()
               ->add_requisite()
               ->mutable_segments())[kTopologyKey] = "n2";
       }},
  };
  for (const auto& [what, change] : changes) {
    Case<Create>("CreateVolume", StatusCode::ALREADY_EXISTS, what, [apply = change](Create& r) {
      r.set_name("here");
      apply(r);
    });
  }
  csi::v1::ControllerPublishVolumeRequest publish;
  publish.CopyFrom(*Find("ControllerPublishVolume").request);
  ASSERT_EQ(Find("ControllerPublishVolume").send(publish), StatusCode::OK);
  Case<csi::v1::ControllerPublishVolumeRequest>("ControllerPublishVolume",
                                                StatusCode::ALREADY_EXISTS, "read-only",
                                                [](auto& r) { r.set_readonly(true); });
  Expect(Find("ControllerPublishVolume"), publish, StatusCode::OK, "the same again");
  Expect(Find("DeleteVolume"), *Find("DeleteVolume").request, StatusCode::FAILED_PRECONDITION,
         "while it is published");
}

TEST_F(BulkTest, ParametersPlacesAndTypesThatDoNotFit) {
  using Create = csi::v1::CreateVolumeRequest;
  using Publish = csi::v1::ControllerPublishVolumeRequest;
  using Expand = csi::v1::ControllerExpandVolumeRequest;
  const auto create = [&](const std::string& what, StatusCode code,
                          const std::function<void(Create&)>& change) {
    Case<Create>("CreateVolume", code, what, change);
  };
  const auto invalid = StatusCode::INVALID_ARGUMENT;
  for (const auto& [name, value] :
       std::vector<std::pair<std::string, std::string>>{{"pool", ""},
                                                        {"pool", "../fast"},
                                                        {"pool", "absent"},
                                                        {"sped", "9"},
                                                        {"Pool", "fast"},
                                                        {"csi.storage.k8s.io/fstype", "ntfs"},
                                                        {"csi.storage.k8s.io/fstypo", "xfs"},
                                                        {"size", "1Gi"}}) {
    create("parameter " + name, invalid,
           [key = name, text = value](Create& r) { (*r.mutable_parameters())[key] = text; });
  }
  create("both types", invalid, [](Create& r) {
    r.add_volume_capabilities()->mutable_block();
    r.mutable_volume_capabilities(1)->mutable_access_mode()->set_mode(
        AccessMode::SINGLE_NODE_WRITER);
  });
  create("a place without labels", invalid,
         [](Create& r) { r.mutable_accessibility_requirements()->add_requisite(); });
  create("a place that is a selector", invalid, [](Create& r) {
    (*r.mutable_accessibility_requirements()->add_requisite()->mutable_segments())["a,!b"] = "c";
  });
  create("a place where nothing is", StatusCode::RESOURCE_EXHAUSTED, [](Create& r) {
    (*r.mutable_accessibility_requirements()->add_requisite()->mutable_segments())["zone"] = "z9";
  });
  Case<Publish>("ControllerPublishVolume", invalid, "a filesystem volume as a block device",
                [](Publish& r) { r.mutable_volume_capability()->mutable_block(); });
  Case<Publish>("ControllerPublishVolume", invalid, "a block volume as a filesystem",
                [](Publish& r) { r.set_volume_id("block"); });
  Case<Publish>("ControllerPublishVolume", StatusCode::NOT_FOUND, "no node",
                [](Publish& r) { r.set_node_id("n9"); });
  Case<Publish>("ControllerPublishVolume", StatusCode::FAILED_PRECONDITION, "another node",
                [](Publish& r) { r.set_node_id("n2"); });
  Case<Expand>("ControllerExpandVolume", invalid, "a filesystem volume as a block device",
               [](Expand& r) {
                 *r.mutable_volume_capability() = Mount();
                 r.mutable_volume_capability()->mutable_block();
               });
  Case<csi::v1::NodePublishVolumeRequest>("NodePublishVolume", StatusCode::FAILED_PRECONDITION,
                                          "not staged",
                                          [](auto& r) { r.clear_staging_target_path(); });
  Case<csi::v1::ListVolumesRequest>("ListVolumes", invalid, "a negative page",
                                    [](auto& r) { r.set_max_entries(-1); });
  Case<csi::v1::ListVolumesRequest>("ListVolumes", StatusCode::ABORTED, "another's token",
                                    [](auto& r) { r.set_starting_token("../7"); });
  Case<csi::v1::GetCapacityRequest>("GetCapacity", invalid, "an unknown parameter",
                                    [](auto& r) { (*r.mutable_parameters())["sped"] = "9"; });
}

}  // namespace
}  // namespace ashlar::csi_driver
