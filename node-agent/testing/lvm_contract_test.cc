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
#include "node-agent/storage/lvm/lvm_dependencies.h"
#include "node-agent/storage/media.h"
#include "node-agent/testing/backend_contract.h"
#include "node-agent/volume/snapshot_extents.h"

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
    std::vector<std::string> remove = {"pvremove", "--yes"};
    for (const Drive& drive : *drives)
      if (Matches(*record_.spec.devices, drive) && drive.signature.type == "LVM2_member")
        remove.push_back(drive.device);
    EXPECT_EQ(Lvm(remove), absl::OkStatus());
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
  const PoolSpec& spec() const { return record_.spec; }
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
    return pool.backend()
        .Create({}, {id, "p", "uid-1", VolumeMode::kBlock, ""}, 8 * kMiB, "")
        .status();
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

TEST(LvmThinPool, TellsWhichBlocksOfASnapshotWereWrittenAndChanged) {
  PoolSpec spec = Spec();
  spec.sparse = true;
  LvmUnderTest pool(spec);
  const auto create = [&](const char* id, VolumeKind kind, const char* source) {
    auto made = pool.backend().Create({}, {id, "p", "uid-1", VolumeMode::kBlock, "", kind, source},
                                      64 * kMiB, "");
    EXPECT_TRUE(made.ok()) << made.status();
    return *std::move(made);
  };
  const StoredVolume volume = create("v", VolumeKind::kVolume, "");
  const auto write = [&](int64_t mib, char byte) {
    const std::string bytes(kMiB, byte);
    const auto fd = sys::OpenFile(volume.path, O_WRONLY);
    ASSERT_EQ(pwrite(fd->get(), bytes.data(), bytes.size(), mib * kMiB), kMiB);
    ASSERT_EQ(fsync(fd->get()), 0);
  };
  const auto ranges = [](const StoredVolume& snapshot, const std::optional<StoredVolume>& base,
                         int64_t offset) {
    auto extents = SnapshotExtents::Open({}, snapshot, base, offset);
    EXPECT_TRUE(extents.ok()) << extents.status();
    std::vector<ByteRange> all;
    while (!extents->AtEnd()) {
      const auto part = extents->Next();
      EXPECT_TRUE(part.ok()) << part.status();
      AppendRanges(all, *part);
    }
    return all;
  };
  write(1, 'a');
  write(8, 'a');
  const StoredVolume before = create("s0", VolumeKind::kSnapshot, "v");
  write(8, 'b');
  write(40, 'b');
  const StoredVolume after = create("s1", VolumeKind::kSnapshot, "v");
  write(1, 'c');  // of which neither snapshot has anything
  const ByteRange first{kMiB, kMiB}, second{8 * kMiB, kMiB}, third{40 * kMiB, kMiB};
  EXPECT_EQ(ranges(before, std::nullopt, 0), (std::vector{first, second}));
  EXPECT_EQ(ranges(after, std::nullopt, 0), (std::vector{first, second, third}));
  EXPECT_EQ(ranges(after, before, 0), (std::vector{second, third}));
  EXPECT_EQ(ranges(after, before, 9 * kMiB), (std::vector{third}));
  EXPECT_EQ(ranges(after, after, 0), std::vector<ByteRange>{});

  // What a process that died was reading is let go of by the next one.
  const std::string name = ThinPoolDevice(GroupName(pool.spec().uid));
  sys::PosixCommandRunner commands;
  const auto held = [&] {
    return HoldsMetadata(commands.Run({}, {"dmsetup", "status", name})->out);
  };
  ASSERT_EQ(
      sys::RunChecked(commands, {}, {"dmsetup", "message", name, "0", "reserve_metadata_snap"}),
      absl::OkStatus());
  EXPECT_TRUE(held());
  pool.Reopen();
  EXPECT_FALSE(held());
  EXPECT_EQ(pool.backend().Remove({}, "s0"), absl::OkStatus());
  const auto gone = SnapshotExtents::Open({}, after, before, 0);
  EXPECT_EQ(gone.status().code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(held());
}

TEST(LvmFull, BytesThatAVolumeGrowsByAreZeroBeforeAnybodySeesThem) {
  const PoolSpec spec = Spec();
  LvmUnderTest pool(spec);
  const auto made =
      pool.backend().Create({}, {"v", "p", "uid-1", VolumeMode::kBlock, ""}, 8 * kMiB, "");
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
          {}, {absl::StrCat("v", i), "p", "uid-1", VolumeMode::kBlock, ""}, size, "");
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

// A pool for all tests of one kind of volume, one after the other: to make and remove one takes
// longer than most of them. What a test left is removed as any volume is.
class KeptPool final : public BackendUnderTest {
 public:
  explicit KeptPool(const PoolSpec& spec) {
    if (kept_ != nullptr && !(kept_->spec() == spec)) kept_.reset();
    if (kept_ == nullptr) {
      kept_ = std::make_unique<LvmUnderTest>(spec);
      return;
    }
    const auto left = kept_->backend().List();
    for (const StoredVolume& volume : *left)
      EXPECT_EQ(kept_->backend().Remove({}, volume.facts.id), absl::OkStatus());
    kept_->Reopen();
  }
  StorageBackend& backend() override { return kept_->backend(); }
  void Reopen() override { kept_->Reopen(); }
  std::vector<std::string> Raw() override { return kept_->Raw(); }

  class End final : public testing::Environment {
    void TearDown() override { kept_.reset(); }
  };

 private:
  static std::unique_ptr<LvmUnderTest> kept_;
};
std::unique_ptr<LvmUnderTest> KeptPool::kept_;
const testing::Environment* const end = testing::AddGlobalTestEnvironment(new KeptPool::End);

std::unique_ptr<BackendUnderTest> MakeLinear() { return std::make_unique<KeptPool>(Spec()); }
std::unique_ptr<BackendUnderTest> MakeStriped() {
  PoolSpec spec = Spec();
  spec.lvm.stripes = 2;
  return std::make_unique<KeptPool>(spec);
}
std::unique_ptr<BackendUnderTest> MakeMirrored() {
  PoolSpec spec = Spec();
  spec.lvm.mirrors = 1;
  return std::make_unique<KeptPool>(spec);
}
std::unique_ptr<BackendUnderTest> MakeStripedMirror() {  // LVM calls it raid10; of four drives
  PoolSpec spec = Spec();
  spec.lvm.stripes = 2;
  spec.lvm.mirrors = 1;
  return std::make_unique<KeptPool>(spec);
}
std::unique_ptr<BackendUnderTest> MakeThin() {
  PoolSpec spec = Spec();
  spec.sparse = true;
  return std::make_unique<KeptPool>(spec);
}

INSTANTIATE_TEST_SUITE_P(Lvm, NamedDriveContract,
                         testing::Values(BackendParam{"Linear", MakeLinear},
                                         BackendParam{"Striped", MakeStriped, 2 * kMiB},
                                         BackendParam{"Thin", MakeThin}),
                         [](const auto& param) { return param.param.name; });

INSTANTIATE_TEST_SUITE_P(Lvm, BackendContract,
                         testing::Values(BackendParam{"Linear", MakeLinear},
                                         BackendParam{"Striped", MakeStriped, 2 * kMiB},
                                         BackendParam{"Mirrored", MakeMirrored},
                                         BackendParam{"StripedMirror", MakeStripedMirror, 2 * kMiB},
                                         BackendParam{"Thin", MakeThin}),
                         [](const auto& param) { return param.param.name; });

}  // namespace
}  // namespace ashlar::node_agent
