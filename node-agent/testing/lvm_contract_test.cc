// The contract suite of StorageBackend on the backend LVM, inside a guest of the drive lab. The
// drives that it may take are named by serial in ASHLAR_TEST_DRIVES (A,B); all that they hold is
// lost.
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "lib/system/files.h"
#include "node-agent/inventory/drive_scanner.h"
#include "node-agent/storage/lvm/lvm_backend.h"
#include "node-agent/storage/media.h"
#include "node-agent/testing/backend_contract.h"

namespace ashlar::node_agent {
namespace {

constexpr char kStateDir[] = "/run/lvm-contract";

class LvmUnderTest final : public BackendUnderTest {
 public:
  explicit LvmUnderTest(const PoolSpec& spec) {
    record_.spec = spec;
    Reopen();
  }
  // Nothing of the pool stays, so that the next test finds free drives.
  ~LvmUnderTest() override {
    opened_.backend.reset();
    medium_.reset();
    const auto drives = scanner_.Scan({});
    const std::string group = GroupName(record_.spec.uid);
    EXPECT_EQ(Lvm({"vgremove", "--force", "--yes", group}), absl::OkStatus());
    for (const Drive& drive : *drives) {
      if (Matches(*record_.spec.devices, drive) && drive.signature.type == "LVM2_member") {
        EXPECT_EQ(Lvm({"pvremove", "--yes", drive.device}), absl::OkStatus());
      }
    }
  }
  StorageBackend& backend() override { return *opened_.backend; }
  void Reopen() override {
    opened_ = {};
    medium_ = PoolMedia(env_)(record_.spec);
    Look();
  }
  // As the agent does every few seconds.
  void Look() {
    const auto save = [&](const PoolRecord&) { return absl::OkStatus(); };
    const auto opened = medium_->Open({}, record_, save);
    ASSERT_TRUE(opened.ok()) << opened.status();
    opened_ = *opened;
  }
  std::vector<std::string> Raw() override {
    std::vector<std::string> devices;
    const auto drives = scanner_.Scan({});
    for (const Drive& drive : *drives)
      if (Matches(*record_.spec.devices, drive)) devices.push_back(drive.device);
    return devices;
  }
  const OpenedPool& opened() const { return opened_; }
  LogicalVolume ThinPool() {
    const auto group = dynamic_cast<LvmBackend&>(backend()).Refresh();
    return group.ok() && group->Find(kThinPool) != nullptr ? *group->Find(kThinPool)
                                                           : LogicalVolume{};
  }

 private:
  absl::Status Lvm(std::vector<std::string> argv) {
    argv.insert(argv.begin(), "lvm");
    argv.push_back("--config=activation { udev_sync=0 udev_rules=0 monitoring=0 }");
    return sys::RunChecked(commands_, {}, argv);
  }

  sys::PosixCommandRunner commands_;
  sys::KernelMountTable mounts_;
  sys::KernelLoopDevices loops_;
  DriveScanner scanner_{mounts_, loops_};
  const PoolEnvironment env_{commands_, mounts_, scanner_, kStateDir, {}};
  PoolRecord record_;
  std::unique_ptr<PoolMedium> medium_;
  OpenedPool opened_;
};

PoolSpec Spec() {
  PoolSpec spec;
  spec.name = "p";
  spec.uid = "0f8fad5b-d9cb-469f-a165-70867728950e";
  spec.backend = BackendKind::kLvm;
  spec.devices.emplace();
  const char* drives = std::getenv("ASHLAR_TEST_DRIVES");
  spec.devices->serials = absl::StrSplit(drives == nullptr ? "" : drives, ',');
  return spec;
}

// Tells the kernel's thin pool to make thin devices that LVM does not know: each takes a block of
// metadata.
void TakeMetadata(int from, int to) {
  std::string name;
  const auto devices = sys::ListDirectory("/sys/block");
  ASSERT_TRUE(devices.ok()) << devices.status();
  for (const std::string& device : *devices) {
    const auto text = sys::ReadFile(absl::StrCat("/sys/block/", device, "/dm/name"));
    if (text.ok() && absl::EndsWith(*text, "-pool-tpool\n"))
      name = std::string(absl::StripSuffix(*text, "\n"));
  }
  ASSERT_FALSE(name.empty());
  const auto control = sys::OpenFile("/dev/mapper/control", O_RDWR);
  ASSERT_TRUE(control.ok()) << control.status();
  for (int id = from; id < to; ++id) {
    alignas(dm_ioctl) char buffer[1024] = {};
    auto* call = new (buffer) dm_ioctl{};
    call->version[0] = DM_VERSION_MAJOR;
    call->data_size = sizeof buffer;
    call->data_start = sizeof(dm_ioctl);
    name.copy(call->name, sizeof call->name - 1);
    snprintf(buffer + sizeof(dm_ioctl) + sizeof(dm_target_msg), 64, "create_thin %d", id);
    ASSERT_EQ(ioctl(control->get(), DM_TARGET_MSG, buffer), 0) << id << ": " << strerror(errno);
  }
}

TEST(LvmThinPool, MetadataGrowIntoTheirReserveAndThenNoVolumeIsCarved) {
  PoolSpec spec = Spec();
  spec.sparse = true;
  LvmUnderTest pool(spec);
  const auto create = [&](const char* id) {
    return pool.backend().Create({}, {id, "p", "uid-1", VolumeMode::kBlock, ""}, 8 * kMiB).status();
  };
  const auto metadata = [&] { return pool.ThinPool().metadata_bytes; };
  EXPECT_EQ(create("first"), absl::OkStatus());
  const int64_t before = metadata();
  const int blocks = static_cast<int>(before / 4096);
  TakeMetadata(1000, 1000 + blocks / 10 * 7);
  EXPECT_GE(pool.ThinPool().metadata_percent, 70);
  pool.Look();
  EXPECT_EQ(metadata(), 2 * before);
  EXPECT_LT(pool.ThinPool().metadata_percent, 60);
  EXPECT_EQ(create("second"), absl::OkStatus());
  TakeMetadata(1000 + blocks, 1000 + 2 * blocks);
  EXPECT_EQ(create("third").code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(pool.backend().Usage()->largest_bytes, 0);
  pool.Look();
  EXPECT_EQ(pool.opened().reason, "ThinPoolNearlyFull");
  EXPECT_EQ(metadata(), 2 * before);
  EXPECT_LT(pool.ThinPool().metadata_percent, 97) << "volumes that exist can go on";
}

TEST(LvmFull, BytesThatAVolumeGrowsByAreZeroBeforeAnybodySeesThem) {
  const PoolSpec spec = Spec();
  LvmUnderTest pool(spec);
  const auto made =
      pool.backend().Create({}, {"v", "p", "uid-1", VolumeMode::kBlock, ""}, 8 * kMiB);
  ASSERT_TRUE(made.ok()) << made.status();
  // What lay on the drives before they were taken.
  constexpr char kOld[] = "old";
  for (const std::string& device : pool.Raw()) {
    const auto fd = sys::OpenFile(device, O_RDWR);
    ASSERT_TRUE(fd.ok()) << fd.status();
    const int64_t end = lseek(fd->get(), 0, SEEK_END);
    for (int64_t at = 40 * kMiB; at < end; at += kMiB)
      ASSERT_EQ(pwrite(fd->get(), kOld, sizeof kOld, at), static_cast<ssize_t>(sizeof kOld));
    ASSERT_EQ(fsync(fd->get()), 0);
  }
  std::atomic<int64_t> seen = 0, old = 0;
  std::jthread reader([&](const std::stop_token& stop) {
    const auto fd = sys::OpenFile(made->path, O_RDONLY);
    int64_t end = 0;
    while (!stop.stop_requested() && end <= made->size_bytes) end = lseek(fd->get(), 0, SEEK_END);
    for (int64_t at = made->size_bytes; at < end; at += kMiB) {
      char bytes[sizeof kOld] = {};
      ++seen;
      if (pread(fd->get(), bytes, sizeof bytes, at) != sizeof bytes || bytes[0] != 0) ++old;
    }
  });
  const auto grown = pool.backend().Grow({}, "v", 200 * kMiB);
  ASSERT_TRUE(grown.ok()) << grown.status();
  reader.join();
  EXPECT_EQ(seen, 192);
  EXPECT_EQ(old, 0);
  EXPECT_EQ(pool.backend().Usage()->allocated_bytes, 200 * kMiB);
}

// Some volumes of different sizes, then one as large as it can be.
TEST(LvmRoom, WhatIsAllocatableCanBeCarvedToTheLastMiB) {
  for (const LvmOptions layout : {LvmOptions{1, 0}, LvmOptions{2, 0}, LvmOptions{1, 1}}) {
    SCOPED_TRACE(absl::StrCat(layout.stripes, " stripes, ", layout.mirrors, " mirrors"));
    PoolSpec spec = Spec();
    spec.lvm = layout;
    LvmUnderTest pool(spec);
    PoolUsage usage = *pool.backend().Usage();
    for (int i = 0; usage.allocatable_bytes > 0; ++i) {
      ASSERT_LT(i, 4);
      const int64_t size = i < 3 ? (11 + 4 * i) * kMiB : usage.largest_bytes;
      const auto made = pool.backend().Create(
          {}, {absl::StrCat("v", i), "p", "uid-1", VolumeMode::kBlock, ""}, size);
      ASSERT_TRUE(made.ok()) << made.status();
      EXPECT_LT(made->size_bytes - size, layout.stripes * kMiB);
      const PoolUsage after = *pool.backend().Usage();
      EXPECT_EQ(after.allocated_bytes, usage.allocated_bytes + made->size_bytes);
      // A mirrored volume takes an extent more, but for the last, for which it was counted.
      const int64_t more = layout.mirrors > 0 && i < 3 ? kMiB : 0;
      EXPECT_EQ(after.allocatable_bytes, usage.allocatable_bytes - made->size_bytes - more);
      usage = after;
    }
    EXPECT_EQ(usage.largest_bytes, 0);
  }
}

std::unique_ptr<BackendUnderTest> MakeLinear() { return std::make_unique<LvmUnderTest>(Spec()); }
std::unique_ptr<BackendUnderTest> MakeStriped() {
  PoolSpec spec = Spec();
  spec.lvm.stripes = 2;
  return std::make_unique<LvmUnderTest>(spec);
}
std::unique_ptr<BackendUnderTest> MakeMirrored() {
  PoolSpec spec = Spec();
  spec.lvm.mirrors = 1;
  return std::make_unique<LvmUnderTest>(spec);
}
std::unique_ptr<BackendUnderTest> MakeThin() {
  PoolSpec spec = Spec();
  spec.sparse = true;
  return std::make_unique<LvmUnderTest>(spec);
}

INSTANTIATE_TEST_SUITE_P(Lvm, BackendContract,
                         testing::Values(BackendParam{"Linear", MakeLinear},
                                         BackendParam{"Striped", MakeStriped, 2 * kMiB},
                                         BackendParam{"Mirrored", MakeMirrored},
                                         BackendParam{"Thin", MakeThin}),
                         [](const auto& param) { return param.param.name; });

}  // namespace
}  // namespace ashlar::node_agent
