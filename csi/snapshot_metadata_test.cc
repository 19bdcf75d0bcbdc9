// The service SnapshotMetadata as a backup program calls it: over the driver's socket, with an
// agent that is reached over mutual TLS.
#include "csi/snapshot_metadata.h"

#include "absl/strings/str_cat.h"
#include "csi/csi_app.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/api/kinds.h"
#include "lib/base/testing/temporary_directory.h"
#include "lib/kube/core_kinds.h"
#include "lib/kube/testing/fake_client.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/client_call.h"
#include "lib/rpc/server.h"
#include "lib/rpc/testing/tls_directory.h"

namespace ashlar::csi_driver {
namespace {

using absl::StatusCode;
using agent::v1::ListExtentsRequest;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;
using Blocks = std::vector<std::pair<int64_t, int64_t>>;

constexpr int64_t kSize = 1 << 20;

// Answers ListExtents with messages of one extent each, or with an error.
class ExtentAgent final : public agent::v1::NodeAgent::CallbackService {
 public:
  explicit ExtentAgent(Clock& clock) : runner_({}, clock, registry_) {}

  grpc::ServerWriteReactor<agent::v1::Extents>* ListExtents(
      grpc::CallbackServerContext* context, const ListExtentsRequest* request) override {
    return runner_.Stream<agent::v1::Extents>(
        context, *request,
        [this](const CallContext&, const ListExtentsRequest& asked,
               rpc::ServerStream<agent::v1::Extents>& stream) -> absl::Status {
          MutexLock lock(mu_);
          asked_ = asked;
          for (const auto& [offset, bytes] : blocks_) {
            agent::v1::Extents extents;
            extents.set_snapshot_bytes(kSize);
            agent::v1::Extent& extent = *extents.add_extents();
            extent.set_offset_bytes(offset);
            extent.set_size_bytes(bytes);
            if (const absl::Status written = stream.Write(extents); !written.ok()) return written;
          }
          return answer_;
        });
  }
  void Answer(Blocks blocks, absl::Status answer = absl::OkStatus()) {
    MutexLock lock(mu_);
    blocks_ = std::move(blocks);
    answer_ = std::move(answer);
  }
  ListExtentsRequest asked() const {
    MutexLock lock(mu_);
    return asked_;
  }

 private:
  metrics::Registry registry_;
  rpc::CallRunner runner_;
  mutable Mutex mu_;
  Blocks blocks_ ABSL_GUARDED_BY(mu_);
  absl::Status answer_ ABSL_GUARDED_BY(mu_);
  ListExtentsRequest asked_ ABSL_GUARDED_BY(mu_);
};

Json AgentPod(const std::string& name, const std::string& node, const std::string& ip, int port,
              const std::string& created = "2026-01-01T00:00:00Z") {
  return Json{
      {"apiVersion", "v1"},
      {"kind", "Pod"},
      {"metadata",
       {{"name", name},
        {"namespace", "ashlar-system"},
        {"creationTimestamp", created},
        {"labels", {{"app.kubernetes.io/component", "node-agent"}}}}},
      {"spec",
       {{"nodeName", node},
        {"containers",
         {{{"name", "agent"}, {"ports", {{{"name", "agent"}, {"containerPort", port}}}}}}}}},
      {"status", {{"podIP", ip}, {"phase", "Running"}}}};
}

class SnapshotMetadataTest : public testing::Test {
 protected:
  void SetUp() override {
    agent_files_.Write(ca_, "ashlar-node-agent");
    own_files_.Write(ca_, "ashlar-controller");
    auto server = rpc::Server::Start(
        {.address = "127.0.0.1:0", .tls = rpc::TlsFiles{agent_files_.path(), "ashlar-controller"}},
        {&agent_});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    kube_.Put(kube::kPod, AgentPod("agent-1", "n1", "127.0.0.1", server_->port()));
    Put("s1", "v");
    Put("s2", "v");
    Put("other", "w");
    Start(own_files_.path());
  }
  void Start(const std::string& tls) {
    app_.reset();
    auto app = CsiApp::Start({.mode = Mode::kController,
                              .endpoint = endpoint_,
                              .version = "1.2.3",
                              .agent_tls_directory = tls,
                              .agent_space = "ashlar-system"},
                             clock_, registry_, &kube_);
    ASSERT_TRUE(app.ok()) << app.status();
    app_ = *std::move(app);
    stub_ = csi::v1::SnapshotMetadata::NewStub(rpc::MakeUnixChannel(endpoint_));
  }
  void Put(const std::string& name, const std::string& volume, const std::string& node = "n1",
           bool taken = true) {
    v1alpha1::Snapshot snapshot;
    snapshot.mutable_metadata()->set_name(name);
    snapshot.mutable_spec()->set_volume(volume);
    snapshot.mutable_spec()->set_node_name(node);
    if (taken) snapshot.mutable_status()->set_size(kSize);
    kube_.Put(api::Kind<v1alpha1::Snapshot>(), api::ToJson(snapshot));
  }
  template <class Response, class Stream>
  absl::Status Collect(Stream& stream) {
    blocks_.clear();
    Response response;
    while (stream.Read(&response)) {
      EXPECT_EQ(response.block_metadata_type(), csi::v1::VARIABLE_LENGTH);
      EXPECT_EQ(response.volume_capacity_bytes(), kSize);
      for (const csi::v1::BlockMetadata& block : response.block_metadata())
        blocks_.emplace_back(block.byte_offset(), block.size_bytes());
    }
    return rpc::FromGrpc(stream.Finish());
  }
  absl::Status Allocated(const std::string& snapshot, int64_t offset = 0, int32_t most = 0) {
    csi::v1::GetMetadataAllocatedRequest request;
    request.set_snapshot_id(snapshot);
    request.set_starting_offset(offset);
    request.set_max_results(most);
    rpc::ClientCall call({});
    return Collect<csi::v1::GetMetadataAllocatedResponse>(
        *stub_->GetMetadataAllocated(call.get(), request));
  }
  absl::Status Delta(const std::string& base, const std::string& target, int64_t offset = 0) {
    csi::v1::GetMetadataDeltaRequest request;
    request.set_base_snapshot_id(base);
    request.set_target_snapshot_id(target);
    request.set_starting_offset(offset);
    rpc::ClientCall call({});
    return Collect<csi::v1::GetMetadataDeltaResponse>(
        *stub_->GetMetadataDelta(call.get(), request));
  }
  bool Announced() {
    const auto identity = csi::v1::Identity::NewStub(rpc::MakeUnixChannel(endpoint_));
    const auto answer = rpc::Call({}, *identity, &csi::v1::Identity::Stub::GetPluginCapabilities,
                                  csi::v1::GetPluginCapabilitiesRequest());
    for (const csi::v1::PluginCapability& capability : answer->capabilities())
      if (capability.service().type() ==
          csi::v1::PluginCapability::Service::SNAPSHOT_METADATA_SERVICE)
        return true;
    return false;
  }

  RealClock clock_;
  TemporaryDirectory directory_;
  const std::string endpoint_ = "unix://" + directory_.path() + "/csi.sock";
  metrics::Registry registry_;
  kube::FakeClient kube_{clock_};
  tls::KeyPair ca_ = rpc::MakeTestCa();
  rpc::TlsDirectory agent_files_, own_files_;
  ExtentAgent agent_{clock_};
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<CsiApp> app_;
  std::unique_ptr<csi::v1::SnapshotMetadata::Stub> stub_;
  Blocks blocks_;
};

TEST_F(SnapshotMetadataTest, PassesOnWhatTheAgentOfTheNodeTells) {
  EXPECT_TRUE(Announced());
  agent_.Answer({{0, 4096}, {8192, 65536}});
  EXPECT_EQ(Allocated("s1", 1, 7), absl::OkStatus());
  EXPECT_THAT(blocks_, ElementsAre(Pair(0, 4096), Pair(8192, 65536)));
  EXPECT_EQ(agent_.asked().snapshot_id(), "s1");
  EXPECT_EQ(agent_.asked().base_snapshot_id(), "");
  EXPECT_EQ(agent_.asked().starting_offset(), 1);
  EXPECT_EQ(agent_.asked().max_extents(), 7);
  EXPECT_EQ(Delta("s1", "s2", 4096), absl::OkStatus());
  EXPECT_EQ(agent_.asked().snapshot_id(), "s2");
  EXPECT_EQ(agent_.asked().base_snapshot_id(), "s1");
  EXPECT_EQ(agent_.asked().starting_offset(), 4096);
}

TEST_F(SnapshotMetadataTest, ErrorsHaveTheCodesOfTheSpecification) {
  EXPECT_EQ(Allocated("").code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Allocated("none").code(), StatusCode::kNotFound);
  EXPECT_EQ(Allocated("../s1").code(), StatusCode::kNotFound);
  EXPECT_EQ(Allocated("s1", -1).code(), StatusCode::kOutOfRange);
  EXPECT_EQ(Allocated("s1", 0, -1).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Allocated(std::string(129, 's')).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Delta("", "s2").code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Delta("s1", "").code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Delta("none", "s2").code(), StatusCode::kNotFound);
  EXPECT_EQ(Delta("s1", "s2", -1).code(), StatusCode::kOutOfRange);
  EXPECT_EQ(Delta("other", "s2").code(), StatusCode::kInvalidArgument);
  Put("coming", "v", "n1", false);
  EXPECT_EQ(Delta("s1", "coming").code(), StatusCode::kUnavailable);
  agent_.Answer({{0, 4096}}, absl::OutOfRangeError("behind the end"));
  EXPECT_EQ(Allocated("s1", 2 * kSize).code(), StatusCode::kOutOfRange);
  agent_.Answer({}, absl::UnimplementedError("the backend of pool p does not tell"));
  EXPECT_EQ(Delta("s1", "s2").code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(Delta("s1", "s2").message()), HasSubstr("pool p"));
  agent_.Answer({}, absl::NotFoundError("removed meanwhile"));
  EXPECT_EQ(Delta("s1", "s2").code(), StatusCode::kNotFound);
}

TEST_F(SnapshotMetadataTest, AnAgentThatIsAwayIsNamed) {
  Put("far", "v", "n2");
  EXPECT_EQ(Allocated("far").code(), StatusCode::kUnavailable);
  EXPECT_THAT(std::string(Allocated("far").message()), HasSubstr("node n2 runs no agent"));
  server_.reset();
  EXPECT_EQ(Allocated("s1").code(), StatusCode::kUnavailable);
  EXPECT_THAT(std::string(Allocated("s1").message()), HasSubstr("node n1"));
}

TEST_F(SnapshotMetadataTest, WithoutCertificatesItIsNeitherServedNorAnnounced) {
  Start("");
  EXPECT_FALSE(Announced());
  EXPECT_EQ(Allocated("s1").code(), StatusCode::kUnimplemented);
}

TEST(AgentAddress, IsThatOfTheYoungestPodOfTheNodeThatStays) {
  const Json old_pod = AgentPod("a", "n1", "10.0.0.1", 9500, "2026-01-01T00:00:00Z");
  const Json new_pod = AgentPod("b", "n1", "fd00::1", 9500, "2026-01-02T00:00:00Z");
  Json leaving = AgentPod("c", "n1", "10.0.0.3", 9500, "2026-01-03T00:00:00Z");
  leaving["metadata"]["deletionTimestamp"] = "2026-01-04T00:00:00Z";
  Json failed = AgentPod("d", "n1", "10.0.0.4", 9500, "2026-01-05T00:00:00Z");
  failed["status"]["phase"] = "Failed";
  const Json elsewhere = AgentPod("e", "n2", "10.0.0.5", 9500, "2026-01-06T00:00:00Z");
  EXPECT_EQ(*AgentAddress({old_pod, elsewhere, leaving, new_pod, failed}, "n1"), "[fd00::1]:9500");
  EXPECT_EQ(*AgentAddress({leaving}, "n1"), "10.0.0.3:9500");
  EXPECT_EQ(AgentAddress({failed, elsewhere}, "n1").status().code(), StatusCode::kUnavailable);
}

}  // namespace
}  // namespace ashlar::csi_driver
