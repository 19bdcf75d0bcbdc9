// CSI's SnapshotMetadata through the driver, mutual TLS and the real agent to a real XFS, compared
// with the bytes of the snapshots.
#include <fcntl.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "csi/csi_app.h"
#include "gtest/gtest.h"
#include "lib/api/kinds.h"
#include "lib/kube/core_kinds.h"
#include "lib/kube/testing/fake_client.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/client_call.h"
#include "lib/rpc/testing/tls_directory.h"
#include "node-agent/service/agent_app.h"
#include "node-agent/testing/loop_lab.h"

namespace ashlar {
namespace {

using agent::v1::NodeAgent;
using Request = csi::v1::GetMetadataDeltaRequest;
using Response = csi::v1::GetMetadataDeltaResponse;

constexpr int64_t kBlock = 4096, kSize = 32 << 20;

class SnapshotMetadataPath : public testing::Test {
 protected:
  void SetUp() override {
    ASHLAR_NEEDS_LOOP_LAB();
    lab_ = std::make_unique<node_agent::LoopLab>();
    const tls::KeyPair ca = rpc::MakeTestCa();
    agent_tls_.Write(ca, "ashlar-node-agent");
    driver_tls_.Write(ca, "ashlar-controller");
    StartAgent();
    StartDriver();
    agent::v1::EnsurePoolRequest pool;
    pool.set_name("p");
    pool.set_uid("uid");
    pool_ = lab_->MakeFilesystem("xfs", int64_t{1} << 30);
    pool.mutable_directory()->set_path(pool_);
    pool.set_backend("File");
    pool.set_provisioning(agent::v1::PROVISIONING_FULL);
    ASSERT_TRUE(Ask(&NodeAgent::Stub::EnsurePool, pool).ok());
    agent::v1::EnsureVolumeRequest volume;
    volume.set_volume_id("v");
    volume.set_pool("p");
    volume.set_size_bytes(kSize);
    volume.set_mode(agent::v1::VOLUME_MODE_BLOCK);
    ASSERT_TRUE(Ask(&NodeAgent::Stub::EnsureVolume, volume).ok());
  }
  void StartAgent() {
    node_agent::AgentOptions options;
    options.node_name = "n1";
    options.state_dir = lab_->Path("state");
    options.listen = "127.0.0.1:0";
    options.tls_dir = agent_tls_.path();
    options.mount_socket = lab_->Path("run/node-mount.sock");
    options.ops_address = "";
    auto app = node_agent::AgentApp::Start({}, options);
    ASSERT_TRUE(app.ok()) << app.status();
    agent_ = *std::move(app);
    const auto credentials = rpc::MakeChannelCredentials({driver_tls_.path(), "ashlar-node-agent"});
    ASSERT_TRUE(credentials.ok()) << credentials.status();
    stub_ = NodeAgent::NewStub(rpc::MakeTlsChannel(absl::StrCat("127.0.0.1:", agent_->port()),
                                                   *credentials, "ashlar-node-agent"));
    const Json port{{"name", "agent"}, {"containerPort", agent_->port()}};
    kube_.Put(kube::kPod,
              Json{{"apiVersion", "v1"},
                   {"kind", "Pod"},
                   {"metadata",
                    {{"name", "agent"},
                     {"namespace", "here"},
                     {"labels", {{"app.kubernetes.io/component", "node-agent"}}}}},
                   {"spec",
                    {{"nodeName", "n1"},
                     {"containers", Json::array({{{"name", "agent"}, {"ports", {port}}}})}}},
                   {"status", {{"podIP", "127.0.0.1"}, {"phase", "Running"}}}});
  }
  void StartDriver() {
    const std::string endpoint = "unix://" + lab_->Path("csi.sock");
    auto app = csi_driver::CsiApp::Start({.mode = csi_driver::Mode::kController,
                                          .endpoint = endpoint,
                                          .version = "1",
                                          .agent_tls_directory = driver_tls_.path(),
                                          .agent_space = "here"},
                                         clock_, registry_, &kube_);
    ASSERT_TRUE(app.ok()) << app.status();
    driver_ = *std::move(app);
    metadata_ = csi::v1::SnapshotMetadata::NewStub(rpc::MakeUnixChannel(endpoint));
  }
  template <class Asked, class Answer>
  absl::StatusOr<Answer> Ask(grpc::Status (NodeAgent::Stub::*method)(grpc::ClientContext*,
                                                                     const Asked&, Answer*),
                             const Asked& request) {
    return rpc::Call({}, *stub_, method, request);
  }
  void Take(const std::string& name) {
    agent::v1::EnsureSnapshotsRequest request;
    request.add_snapshots()->set_snapshot_id(name);
    request.mutable_snapshots(0)->set_volume_id("v");
    ASSERT_TRUE(Ask(&NodeAgent::Stub::EnsureSnapshots, request).ok());
    v1alpha1::Snapshot snapshot;
    snapshot.mutable_metadata()->set_name(name);
    snapshot.mutable_spec()->set_volume("v");
    snapshot.mutable_spec()->set_node_name("n1");
    snapshot.mutable_status()->set_size(kSize);
    kube_.Put(api::Kind<v1alpha1::Snapshot>(), api::ToJson(snapshot));
  }
  void Write(int64_t block, int64_t blocks, char what) {
    const sys::UniqueFd fd(open((pool_ + "/volumes/v.img").c_str(), O_WRONLY));
    const std::string bytes(blocks * kBlock, what);
    ASSERT_EQ(pwrite(fd.get(), bytes.data(), bytes.size(), block * kBlock),
              static_cast<ssize_t>(bytes.size()));
  }
  // The blocks that are listed, from `offset` on; stops after `messages`, as a caller that dies.
  std::vector<int64_t> Delta(int64_t offset, int most, int messages = 1 << 30) {
    Request request;
    request.set_base_snapshot_id("s1");
    request.set_target_snapshot_id("s2");
    request.set_starting_offset(offset);
    request.set_max_results(most);
    rpc::ClientCall call({});
    const auto stream = metadata_->GetMetadataDelta(call.get(), request);
    std::vector<int64_t> blocks;
    Response response;
    messages_ = 0;
    end_ = offset;
    for (; messages_ < messages && stream->Read(&response); ++messages_) {
      EXPECT_EQ(response.volume_capacity_bytes(), kSize);
      EXPECT_TRUE(most == 0 || response.block_metadata_size() <= most);
      for (const csi::v1::BlockMetadata& range : response.block_metadata()) {
        EXPECT_GE(range.byte_offset(), end_);
        EXPECT_GT(range.size_bytes(), 0);
        end_ = range.byte_offset() + range.size_bytes();
        for (int64_t at = range.byte_offset(); at < end_; at += kBlock)
          blocks.push_back(at / kBlock);
      }
    }
    if (messages_ == messages) call.get()->TryCancel();
    while (stream->Read(&response)) continue;
    status_ = rpc::FromGrpc(stream->Finish());
    return blocks;
  }

  RealClock clock_;
  metrics::Registry registry_;
  kube::FakeClient kube_{clock_};
  std::unique_ptr<node_agent::LoopLab> lab_;
  rpc::TlsDirectory agent_tls_, driver_tls_;
  std::string pool_;
  std::unique_ptr<node_agent::AgentApp> agent_;
  std::unique_ptr<NodeAgent::Stub> stub_;
  std::unique_ptr<csi_driver::CsiApp> driver_;
  std::unique_ptr<csi::v1::SnapshotMetadata::Stub> metadata_;
  int messages_ = 0;
  int64_t end_ = 0;
  absl::Status status_;
};

TEST_F(SnapshotMetadataPath, TellsTheChangedBlocksInMessagesAndGoesOnWhereACallerStopped) {
  Write(0, 8000, 'a');
  Take("s1");
  std::vector<int64_t> changed;
  for (int64_t block = 10; block < 6000; block += 2) changed.push_back(block);
  for (const int64_t block : changed) Write(block, 1, 'b');
  Write(7000, 100, 'b');
  for (int64_t block = 7000; block < 7100; ++block) changed.push_back(block);
  Take("s2");
  EXPECT_EQ(Delta(0, 0), changed);
  EXPECT_EQ(status_, absl::OkStatus());
  EXPECT_EQ(messages_, 3) << "1000 extents in each";
  EXPECT_EQ(Delta(0, 100), changed);
  EXPECT_EQ(messages_, 30);
  std::vector<int64_t> in_two = Delta(0, 100, 13);
  const std::vector<int64_t> rest = Delta(end_, 100);
  in_two.insert(in_two.end(), rest.begin(), rest.end());
  EXPECT_EQ(in_two, changed);
  EXPECT_TRUE(Delta(kSize, 0).empty());
  EXPECT_EQ(status_, absl::OkStatus());
  EXPECT_EQ(messages_, 1) << "one that tells the size";
  Delta(kSize + 1, 0);
  EXPECT_EQ(status_.code(), absl::StatusCode::kOutOfRange);
  agent::v1::RemoveSnapshotRequest gone;
  gone.set_snapshot_id("s1");
  ASSERT_TRUE(Ask(&NodeAgent::Stub::RemoveSnapshot, gone).ok());
  Delta(0, 0);
  EXPECT_EQ(status_.code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace ashlar
