// BulkTest: the driver behind gRPC, with a list of its RPCs, for tests that send bad input in bulk.
// Each entry is a request that would do something; a test breaks one field of it and expects the
// code that the specification's tables name, and that nothing changed: no object and, through the
// agent, nothing on the node.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "csi/csi_app.h"
#include "csi/testing/carving_controller.h"
#include "csi/testing/fake_agent.h"
#include "csi/testing/taking_controller.h"
#include "gtest/gtest.h"
#include "lib/base/testing/temporary_directory.h"
#include "lib/kube/testing/fake_client.h"
#include "lib/rpc/testing/tls_directory.h"

namespace ashlar::csi_driver {

// The codes of an id that nothing has, and of one that nothing can have.
struct IdCodes {
  grpc::StatusCode unknown = grpc::StatusCode::NOT_FOUND;
  grpc::StatusCode impossible = grpc::StatusCode::NOT_FOUND;
};

struct Rpc {
  std::string name;
  std::shared_ptr<google::protobuf::Message> request;
  std::function<grpc::StatusCode(const google::protobuf::Message&)> send;
  std::vector<std::string> required;
  std::map<std::string, IdCodes> ids;  // by field; others have the codes of IdCodes{}
  grpc::StatusCode bad_path = grpc::StatusCode::INVALID_ARGUMENT;
  bool asks_controller = true;  // the agent alone knows which volumes it has
};

// A field of a request, or of a message in it: the way there.
using FieldPath = std::vector<const google::protobuf::FieldDescriptor*>;

// Each field that holds no message, and each map, of the message and of those in it.
std::vector<FieldPath> FieldsOf(const google::protobuf::Descriptor& message);

// "volume_capability.mount.fs_type".
std::string NameOf(const FieldPath& path);

// The message that holds the path's last field; what is on the way is made, lists get an element
// unless they have one.
google::protobuf::Message& HolderOf(google::protobuf::Message& request, const FieldPath& path);

class BulkTest : public testing::Test {
 protected:
  static csi::v1::VolumeCapability Mount();
  static csi::v1::CreateVolumeRequest CreateRequest();

  // Volumes here and block, snapshots snap and snap-of-block, a group snapshot group.
  void SetUp() override;

  const Rpc& Find(const std::string& name);
  // All objects, and how often the agent was called.
  std::string State();
  // Sends it and expects the code; whatever else happens is a change.
  void Expect(const Rpc& rpc, const google::protobuf::Message& request, grpc::StatusCode code,
              const std::string& what);

  // The request of `rpc` after `change`.
  template <class Request>
  void Case(const std::string& rpc, grpc::StatusCode code, const std::string& what,
            const std::function<void(Request&)>& change) {
    Request request = dynamic_cast<const Request&>(*Find(rpc).request);
    change(request);
    Expect(Find(rpc), request, code, what);
  }
  static std::unique_ptr<google::protobuf::Message> Copy(const Rpc& rpc);

  RealClock clock_;
  metrics::Registry registry_;
  TemporaryDirectory directory_;
  rpc::TlsDirectory tls_;
  kube::FakeClient kube_{clock_};
  CarvingController carver_{kube_};
  TakingController taker_{kube_};
  FakeAgent agent_{directory_.path() + "/agent.sock", clock_};
  std::unique_ptr<CsiApp> app_;
  std::vector<Rpc> rpcs_;
  int cases_ = 0;

 private:
  template <class Stub, class Request, class Response>
  Rpc& Add(Stub& stub, const std::string& name,
           grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
           const Request& request, std::vector<std::string> required);
  template <class Request, class Item>
  Rpc& AddStream(const std::string& name,
                 std::unique_ptr<grpc::ClientReader<Item>> (csi::v1::SnapshotMetadata::Stub::*)(
                     grpc::ClientContext*, const Request&),
                 const Request& request, std::vector<std::string> required);
  void AddVolumes();
  void AddQuestions();
  void AddSnapshots();
  void AddGroups();
  void AddMetadata();
  void AddNode();
  void MakeObjects();

  std::unique_ptr<csi::v1::Controller::Stub> controller_;
  std::unique_ptr<csi::v1::GroupController::Stub> groups_;
  std::unique_ptr<csi::v1::SnapshotMetadata::Stub> metadata_;
  std::unique_ptr<csi::v1::Node::Stub> node_;
};

}  // namespace ashlar::csi_driver
