// Namespace pools over real block devices and the admin commands of a fake controller: which
// namespaces are created or taken, what is found again, and that nothing is lost or shown to others
// whatever interrupts a call.
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/log.h"
#include "lib/system/block_device.h"
#include "lib/system/block_probe.h"
#include "lib/system/files.h"
#include "node-agent/pool/pool_set.h"
#include "node-agent/storage/namespace/namespace_medium.h"
#include "node-agent/testing/fake_nvme.h"
#include "node-agent/testing/loop_lab.h"
#include "node-agent/testing/syscall_killer.h"

namespace ashlar::node_agent {
namespace {

using absl::StatusCode;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr char kUid[] = "0f8fad5b-d9cb-469f-a165-70867728950e";

// An agent's pools over the fake. Made anew, it is an agent that was restarted.
struct Agent {
  Agent(LoopLab& lab, FakeNvmeOptions options)
      : nvme(std::move(options)),
        subsystems(nvme, clock, nvme.sys_root(), nvme.dev_root()),
        scanner(mounts, loops, {nvme.sys_root(), nvme.dev_root(), "/proc"}),
        env{commands, mounts, scanner, lab.Path("state"), {}},
        pools(env.state_dir, [this](const PoolSpec& spec) {
          return std::make_unique<NamespaceMedium>(env, spec, subsystems);
        }) {}

  sys::PosixCommandRunner commands;
  sys::KernelMountTable mounts;
  sys::KernelLoopDevices loops;
  RealClock clock;
  FakeNvme nvme;
  NvmeSubsystems subsystems;
  DriveScanner scanner;
  PoolEnvironment env;
  PoolSet pools;
};

class NamespaceTest : public testing::Test {
 protected:
  void SetUp() override {
    ASHLAR_NEEDS_LOOP_LAB();
    SetLogLevel(LogLevel::kError);
    Begin({});
  }
  void TearDown() override { SetLogLevel(LogLevel::kInfo); }
  // Another machine, with another subsystem.
  void Begin(FakeNvmeOptions options) {
    agent_.reset();
    lab_ = std::make_unique<LoopLab>();
    options.directory = lab_->Path("nvme");
    options_ = options;
    Restart();
  }
  void Restart() {
    agent_.reset();
    agent_ = std::make_unique<Agent>(*lab_, options_);
    EXPECT_EQ(agent_->pools.Load({}), absl::OkStatus());
  }
  PoolStatus Ensure(std::vector<std::string> wipe = {}, std::vector<std::string> drain = {}) {
    PoolSpec spec = {"p", kUid, BackendKind::kNamespace, {}, DeviceSource{}};
    spec.devices->serials = {options_.serial};
    spec.wipe = std::move(wipe);
    spec.drain = std::move(drain);
    const auto status = agent_->pools.Ensure({}, spec);
    EXPECT_TRUE(status.ok()) << status.status();
    return status.value_or(PoolStatus{});
  }
  std::shared_ptr<StorageBackend> Backend() { return *agent_->pools.Backend("p"); }
  PoolUsage Usage() { return *Backend()->Usage(); }
  absl::StatusOr<StoredVolume> Make(const std::string& id, int64_t size,
                                    const std::string& fs_type = "") {
    const VolumeFacts facts{
        id, "p", kUid, fs_type.empty() ? VolumeMode::kBlock : VolumeMode::kFilesystem, fs_type};
    return Backend()->Create({}, facts, size, "");
  }
  absl::Status Remove(const std::string& id) { return Backend()->Remove({}, id); }
  // Behind which namespace the volume is; 0: none.
  uint32_t NamespaceOf(const std::string& id) {
    const std::string node = sys::RealPath(Backend()->Find(id)->path).value_or("");
    for (const auto& [nsid, attached] : agent_->nvme.Namespaces())
      if (sys::RealPath(agent_->nvme.DeviceOf(nsid)).value_or("-") == node) return nsid;
    return 0;
  }
  // Makes a filesystem on a namespace that is detached, as somebody else would.
  void Format(uint32_t nsid) {
    const std::string file = absl::StrCat(options_.directory, "/ns-", nsid, ".img");
    ASSERT_EQ(sys::RunChecked(agent_->commands, {}, {"mkfs.ext4", "-q", file}), absl::OkStatus());
  }
  std::string Bytes(uint32_t nsid) {
    return *sys::ReadAt(absl::StrCat(options_.directory, "/ns-", nsid, ".img"), 0, 20 * kMiB);
  }
  static FakeNvmeOptions Refusing() {
    FakeNvmeOptions options;
    options.refuses_create = 0x4001;
    return options;
  }

  std::unique_ptr<LoopLab> lab_;
  FakeNvmeOptions options_;
  std::unique_ptr<Agent> agent_;
};

TEST_F(NamespaceTest, AVolumeIsANamespaceThatIsCreatedForItAndGoesWithIt) {
  const PoolStatus status = Ensure();
  ASSERT_TRUE(status.ready) << status.reason << status.message;
  EXPECT_EQ(status.devices, std::vector{options_.serial});
  EXPECT_EQ(status.usage.allocatable_bytes, 400 * kMiB);
  const auto made = Make("v", 30 * kMiB, "ext4");
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->size_bytes, 32 * kMiB) << "the controller's granularity";
  EXPECT_EQ(Usage().allocatable_bytes, 368 * kMiB);
  const auto namespaces = agent_->nvme.Namespaces();
  ASSERT_EQ(namespaces.size(), 1u);
  EXPECT_EQ(namespaces.begin()->second, options_.controllers) << "attached to all of this machine";
  EXPECT_EQ(sys::ProbeSignature(made->path)->type, "ext4");
  ASSERT_EQ(Remove("v"), absl::OkStatus());
  EXPECT_THAT(agent_->nvme.Namespaces(), IsEmpty());
  EXPECT_EQ(Usage().allocatable_bytes, 400 * kMiB);
}

TEST_F(NamespaceTest, APreparedNamespaceIsAttachedAsAVolumeAndDetachedAfterIt) {
  Begin(Refusing());
  const uint32_t large = agent_->nvme.Prepare(64 * kMiB), small = agent_->nvme.Prepare(32 * kMiB),
                 attached = agent_->nvme.Prepare(24 * kMiB, {1});
  const PoolStatus status = Ensure();
  ASSERT_TRUE(status.ready) << status.reason << status.message;
  EXPECT_THAT(agent_->nvme.Namespaces()[small], IsEmpty()) << "it was only looked at";
  const auto made = Make("v", 28 * kMiB);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->size_bytes, 32 * kMiB);
  EXPECT_EQ(NamespaceOf("v"), small);
  EXPECT_EQ(agent_->nvme.Namespaces()[small], options_.controllers);
  ASSERT_TRUE(Make("w", 20 * kMiB).ok());
  EXPECT_EQ(NamespaceOf("w"), attached);
  ASSERT_EQ(sys::WriteAt(made->path, 16 * kMiB, "a tenant's secret"), absl::OkStatus());
  ASSERT_EQ(Remove("v"), absl::OkStatus());
  ASSERT_EQ(Remove("w"), absl::OkStatus());
  EXPECT_THAT(agent_->nvme.Namespaces()[small], IsEmpty());
  EXPECT_EQ(agent_->nvme.Namespaces()[attached], std::vector<uint16_t>{1}) << "as it was found";
  EXPECT_EQ(agent_->nvme.Namespaces().size(), 3u);
  EXPECT_EQ(agent_->nvme.CountOnMedium("a tenant's secret"), 0);
  ASSERT_TRUE(Make("x", 60 * kMiB).ok());
  EXPECT_EQ(NamespaceOf("x"), large);
}

TEST_F(NamespaceTest, ARefusedCreationIsToldByNameAndItsCapacityIsAnnouncedNoMore) {
  Begin(Refusing());
  ASSERT_TRUE(Ensure().ready);
  EXPECT_EQ(Usage().largest_bytes, 400 * kMiB) << "as the controller says";
  const absl::Status refused = Make("v", 40 * kMiB).status();
  EXPECT_EQ(refused.code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.message()),
              HasSubstr("controller S4FAKE refused to create a namespace of 41943040 bytes: "
                        "Invalid Command Opcode (status 0x4001)"));
  EXPECT_EQ(Usage().allocatable_bytes, 0);
  EXPECT_EQ(Usage().capacity_bytes, 0);
  Restart();
  ASSERT_TRUE(Ensure().ready);
  EXPECT_EQ(Usage().allocatable_bytes, 0) << "also by the next agent";
  EXPECT_FALSE(Make("v", 40 * kMiB).ok());
  EXPECT_EQ(agent_->nvme.creates(), 0) << "it is not asked again";
  agent_->nvme.Prepare(48 * kMiB);
  ASSERT_FALSE(agent_->pools.LookAgain({}));
  EXPECT_EQ(Usage().allocatable_bytes, 400 * kMiB - 48 * kMiB + 48 * kMiB)
      << "the controller has another capacity now, so it may create";
  ASSERT_TRUE(Make("v", 40 * kMiB).ok()) << "on the prepared one, after another refusal";
  EXPECT_EQ(agent_->nvme.creates(), 1);
  EXPECT_EQ(Usage().allocatable_bytes, 0);
}

TEST_F(NamespaceTest, AControllerThatDoesNotTellItsCapacityIsAskedNevertheless) {
  FakeNvmeOptions silent;
  silent.tells_capacity = false;
  Begin(silent);
  EXPECT_EQ(Ensure().reason, "NoFreeDrive") << "it announces nothing";
  agent_->nvme.Prepare(24 * kMiB);
  ASSERT_TRUE(Ensure().ready);
  EXPECT_EQ(Usage().capacity_bytes, 24 * kMiB);
  ASSERT_TRUE(Make("v", 40 * kMiB).ok());
  EXPECT_EQ(Usage().allocated_bytes, 40 * kMiB);
  agent_->nvme.SetRefusal(0x4115);
  EXPECT_THAT(std::string(Make("w", 40 * kMiB).status().message()),
              HasSubstr("Namespace Insufficient Capacity (status 0x4115)"));
}

TEST_F(NamespaceTest, ANamespaceThatIsNotProvenFreeIsNotTouched) {
  Begin(Refusing());
  const uint32_t used = agent_->nvme.Prepare(32 * kMiB), raw = agent_->nvme.Prepare(32 * kMiB),
                 mounted = agent_->nvme.Prepare(32 * kMiB, {1}),
                 foreign = agent_->nvme.Prepare(32 * kMiB, {7});
  Format(used);
  const std::string file = absl::StrCat(options_.directory, "/ns-", raw, ".img");
  ASSERT_EQ(sys::WriteAt(file, 512, "raw"), absl::OkStatus());
  ASSERT_EQ(
      sys::RunChecked(agent_->commands, {}, {"mkfs.ext4", "-q", agent_->nvme.DeviceOf(mounted)}),
      absl::OkStatus());
  const std::map<uint32_t, std::string> before = {{used, Bytes(used)}, {raw, Bytes(raw)}};
  ASSERT_TRUE(Ensure().ready);
  EXPECT_EQ(Usage().largest_bytes, 400 * kMiB - 128 * kMiB);
  const absl::Status refused = Make("v", 20 * kMiB).status();
  EXPECT_EQ(refused.code(), StatusCode::kResourceExhausted);
  for (const std::string& why :
       {absl::StrCat("namespace ", used, " of S4FAKE has a signature of ext4"),
        absl::StrCat("namespace ", raw, " of S4FAKE holds data of an unknown kind"),
        absl::StrCat("namespace ", mounted, " of S4FAKE has a signature of ext4"),
        absl::StrCat("namespace ", foreign, " of S4FAKE is attached to controller 7")})
    EXPECT_THAT(std::string(refused.message()), HasSubstr(why));
  for (const auto& [nsid, bytes] : before) EXPECT_TRUE(Bytes(nsid) == bytes) << nsid;
  EXPECT_THAT(agent_->nvme.Namespaces()[used], IsEmpty());
  EXPECT_EQ(agent_->nvme.Namespaces()[foreign], std::vector<uint16_t>{7});
}

TEST_F(NamespaceTest, OneThatSpecWipeNamesBecomesFree) {
  Begin(Refusing());
  const uint32_t used = agent_->nvme.Prepare(32 * kMiB);
  Format(used);
  ASSERT_TRUE(Ensure().ready);
  EXPECT_THAT(std::string(Make("v", 20 * kMiB).status().message()),
              HasSubstr("its serial S4FAKE in spec.wipe would wipe it"));
  ASSERT_TRUE(Ensure({options_.serial}).ready);
  EXPECT_THAT(agent_->nvme.Namespaces()[used], IsEmpty());
  ASSERT_TRUE(Make("v", 20 * kMiB).ok());
  EXPECT_EQ(NamespaceOf("v"), used);
}

TEST_F(NamespaceTest, ADrainedControllerKeepsItsVolumesAndTakesNoOtherOnes) {
  agent_->nvme.Prepare(64 * kMiB);
  ASSERT_TRUE(Ensure().ready);
  ASSERT_TRUE(Make("v", 20 * kMiB).ok());
  const PoolStatus drained = Ensure({}, {options_.serial});
  EXPECT_TRUE(drained.ready) << drained.message;
  EXPECT_EQ(drained.reason, "Draining");
  EXPECT_THAT(drained.message, HasSubstr(options_.serial));
  EXPECT_EQ(drained.usage.allocatable_bytes, 0);
  EXPECT_EQ(Make("w", 20 * kMiB).status().code(), StatusCode::kResourceExhausted);
  EXPECT_TRUE(Backend()->Find("v").ok());
  ASSERT_EQ(Remove("v"), absl::OkStatus());
  const PoolStatus empty = Ensure({}, {options_.serial});
  EXPECT_FALSE(empty.ready);
  EXPECT_THAT(empty.message, HasSubstr("is named in spec.drain"));
  const PoolStatus wanted = Ensure();
  EXPECT_TRUE(wanted.ready) << wanted.message;
  EXPECT_EQ(wanted.reason, "");
}

TEST_F(NamespaceTest, ADrainedNamespaceLeavesTheOthersOfItsControllerToVolumes) {
  Begin(Refusing());
  const uint32_t first = agent_->nvme.Prepare(64 * kMiB);
  agent_->nvme.Prepare(128 * kMiB);
  ASSERT_TRUE(Ensure().ready);
  ASSERT_TRUE(Make("v", 20 * kMiB).ok());
  ASSERT_EQ(NamespaceOf("v"), first);
  const std::string wwid = absl::StrCat("nvme.fake-", options_.serial, "-", first);
  const PoolStatus drained = Ensure({}, {wwid});
  EXPECT_EQ(drained.reason, "Draining") << drained.message;
  ASSERT_TRUE(Make("w", 20 * kMiB).ok());
  EXPECT_NE(NamespaceOf("w"), first);
  ASSERT_EQ(Remove("v"), absl::OkStatus());
  ASSERT_EQ(Remove("w"), absl::OkStatus());
}

TEST_F(NamespaceTest, OneThatSomebodyTookSinceIsNotTouched) {
  Begin(Refusing());
  const uint32_t nsid = agent_->nvme.Prepare(32 * kMiB);
  ASSERT_TRUE(Ensure().ready);
  Format(nsid);
  const std::string before = Bytes(nsid);
  EXPECT_THAT(std::string(Make("v", 20 * kMiB).status().message()),
              HasSubstr("has a signature of ext4"));
  EXPECT_TRUE(Bytes(nsid) == before);
  EXPECT_THAT(agent_->nvme.Namespaces()[nsid], IsEmpty());
  EXPECT_EQ(Usage().allocated_bytes, 0);
}

TEST_F(NamespaceTest, WithoutItsRecordAVolumeIsNobodysUntilItIsAskedForAgain) {
  ASSERT_TRUE(Ensure().ready);
  const auto made = Make("v", 30 * kMiB, "ext4");
  ASSERT_TRUE(made.ok()) << made.status();
  const uint32_t nsid = NamespaceOf("v");
  const std::string before = Bytes(nsid);
  agent_.reset();
  std::filesystem::remove_all(lab_->Path("state"));
  Restart();
  // Nor is it wiped, although the record that it was wiped before is lost as well.
  ASSERT_TRUE(Ensure({options_.serial}).ready);
  EXPECT_TRUE(Bytes(nsid) == before);
  EXPECT_EQ(Usage().allocatable_bytes, 368 * kMiB);
  EXPECT_EQ(Make("v", 30 * kMiB, "ext4").status().code(), StatusCode::kAlreadyExists);
  EXPECT_EQ(NamespaceOf("v"), nsid);
  EXPECT_TRUE(Bytes(nsid) == before);
}

TEST_F(NamespaceTest, OneThatIsErasedByItsKeyIsNotReadByTheNext) {
  FakeNvmeOptions options = Refusing();
  options.crypto_erases = true;
  Begin(options);
  const uint32_t nsid = agent_->nvme.Prepare(24 * kMiB);
  ASSERT_TRUE(Ensure().ready);
  const auto made = Make("v", 24 * kMiB);
  ASSERT_TRUE(made.ok()) << made.status();
  ASSERT_EQ(sys::WriteAt(made->path, 16 * kMiB, "a tenant's secret"), absl::OkStatus());
  ASSERT_EQ(Remove("v"), absl::OkStatus());
  EXPECT_EQ(agent_->nvme.CountOnMedium("a tenant's secret"), 0);
  EXPECT_EQ(Bytes(nsid)[12 * kMiB], '\xa7') << "it was not zeroed";
  Restart();
  ASSERT_TRUE(Ensure().ready) << "nor is it taken for data";
  const auto next = Make("w", 24 * kMiB);
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_EQ(sys::ReadAt(next->path, 0, 24 * kMiB)->find_first_not_of('\0'), std::string::npos);
}

// Without management only what the machine shows can be taken, and stays as it is.
TEST_F(NamespaceTest, AControllerWithoutManagementGivesItsFreeNamespaces) {
  FakeNvmeOptions options;
  options.manages = false;
  Begin(options);
  agent_->nvme.Prepare(64 * kMiB);
  const uint32_t shown = agent_->nvme.Prepare(32 * kMiB, {1});
  ASSERT_TRUE(Ensure().ready);
  EXPECT_EQ(Usage().capacity_bytes, 32 * kMiB);
  ASSERT_TRUE(Make("v", 20 * kMiB).ok());
  EXPECT_EQ(NamespaceOf("v"), shown);
  ASSERT_EQ(Remove("v"), absl::OkStatus());
  EXPECT_EQ(agent_->nvme.Namespaces()[shown], std::vector<uint16_t>{1});
}

// A process that makes and removes volumes, on a namespace that is created or on one that was
// prepared, is killed before each of its system calls that change something.
class NamespaceKillTest : public NamespaceTest, public testing::WithParamInterface<bool> {};

TEST_P(NamespaceKillTest, WhateverIsInterruptedIsWholeOrGone) {
  FakeNvmeOptions options = GetParam() ? Refusing() : FakeNvmeOptions();
  options.capacity_bytes = 32 * kMiB;
  options.max_namespaces = 4;
  for (int fatal = 0;; ++fatal) {
    Begin(options);
    if (GetParam()) agent_->nvme.Prepare(24 * kMiB);
    agent_.reset();
    const KilledRun run = RunAndKill(fatal, [&](const std::function<void()>& acknowledge) {
      Restart();
      if (!Ensure().ready) return false;
      if (!Make("v", 24 * kMiB, "ext4").ok()) return false;
      acknowledge();
      if (!Remove("v").ok()) return false;
      acknowledge();
      return true;
    });
    if (run.call.empty()) {
      EXPECT_TRUE(run.succeeded);
      EXPECT_GT(fatal, 20) << "the killer saw nothing";
      break;
    }
    SCOPED_TRACE(absl::StrCat("killed before call ", fatal, ", ", run.call, ", acknowledged ",
                              run.acknowledged));
    Restart();
    const PoolStatus status = Ensure();
    ASSERT_TRUE(status.ready) << status.reason << status.message;
    if (run.acknowledged == 1) {
      // Whole, unless the removal had begun.
      const auto found = Backend()->Find("v");
      if (found.ok()) {
        ASSERT_EQ(Backend()->Prepare({}, "v").status(), absl::OkStatus());
        EXPECT_EQ(sys::ProbeSignature(found->path)->type, "ext4");
      }
    } else {
      const absl::Status made = Make("v", 24 * kMiB, "ext4").status();
      ASSERT_TRUE(made.ok() || absl::IsAlreadyExists(made)) << made;
    }
    ASSERT_EQ(Remove("v"), absl::OkStatus());
    EXPECT_THAT(*Backend()->List(), IsEmpty());
    EXPECT_EQ(Usage().allocated_bytes, 0);
    ASSERT_EQ(Make("w", 24 * kMiB).status(), absl::OkStatus());
    ASSERT_EQ(Remove("w"), absl::OkStatus());
    EXPECT_EQ(agent_->nvme.Namespaces().size(), GetParam() ? 1u : 0u) << "none is left over";
  }
}

INSTANTIATE_TEST_SUITE_P(Loop, NamespaceKillTest, testing::Bool(),
                         [](const auto& param) { return param.param ? "Prepared" : "Created"; });

}  // namespace
}  // namespace ashlar::node_agent
