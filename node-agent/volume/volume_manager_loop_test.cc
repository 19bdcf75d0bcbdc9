// The life of volumes on a real kernel.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/system/files.h"
#include "node-agent/testing/loop_lab.h"

namespace ashlar::node_agent {
namespace {

using testing::HasSubstr;

constexpr int64_t kGiB = 1024 * kMiB;

#define EXPECT_CODE(expected, expression)                                   \
  do {                                                                      \
    const absl::Status& got_status = (expression);                          \
    EXPECT_EQ(absl::StatusCode::expected, got_status.code()) << got_status; \
  } while (false)
#define ASSERT_DONE(expression)                                \
  do {                                                         \
    const absl::Status& got_status = (expression);             \
    ASSERT_TRUE(got_status.ok()) << #expression << got_status; \
  } while (false)

// CAP_SYS_RESOURCE, without which the kernel does not grow a mounted ext4.
bool MayUseMoreThanItsShare() {
  const std::string status = sys::ReadFile("/proc/self/status").value_or("");
  const size_t at = status.find("CapEff:");
  return at != std::string::npos &&
         (std::stoull(status.substr(at + 7), nullptr, 16) >> 24 & 1) != 0;
}

class VolumeManagerLoopTest : public testing::Test {
 protected:
  void SetUp() override {
    ASHLAR_NEEDS_LOOP_LAB();
    lab_ = std::make_unique<LoopLab>();
    pool_ = lab_->MakeFilesystem("xfs", 2 * kGiB);
    Restart();
    const auto pool = agent_->EnsureDirectoryPool(pool_);
    ASSERT_DONE(pool.status());
    ASSERT_TRUE(pool->ready) << pool->message;
  }

  void Restart(const std::string& boot_id = "boot-1") {
    agent_.reset();
    agent_ = std::make_unique<AgentStack>(State(), std::vector<std::string>{Kubelet()}, boot_id);
    ASSERT_DONE(agent_->Start());
  }

  std::string State() const { return lab_->Path("state"); }
  std::string Kubelet() const { return lab_->Path("kubelet"); }
  std::string Staging() const { return Kubelet() + "/staging"; }
  std::string Target() const { return Kubelet() + "/pods/target"; }
  VolumeManager& volumes() { return agent_->volumes; }

  absl::Status Ensure(const std::string& id, int64_t size, const std::string& fs) {
    const VolumeMode mode = fs.empty() ? VolumeMode::kBlock : VolumeMode::kFilesystem;
    return volumes().Ensure({}, {id, "p", size, mode, fs}).status();
  }
  absl::Status Stage(const std::string& id, const std::string& fs) {
    const VolumeMode mode = fs.empty() ? VolumeMode::kBlock : VolumeMode::kFilesystem;
    return volumes().Stage({}, {id, Staging(), mode, fs, {}});
  }
  absl::Status Publish(const std::string& id, const std::string& fs, bool read_only = false,
                       const std::string& target = "") {
    const VolumeMode mode = fs.empty() ? VolumeMode::kBlock : VolumeMode::kFilesystem;
    return volumes().Publish(
        {}, {id, Staging(), target.empty() ? Target() : target, mode, read_only, {}, false});
  }
  absl::Status TakeDown(const std::string& id) {
    if (auto status = volumes().Unpublish({}, id, Target()); !status.ok()) return status;
    if (auto status = volumes().Unstage({}, id, Staging()); !status.ok()) return status;
    return volumes().Remove({}, id);
  }
  void ExpectNothingLeft() {
    EXPECT_EQ(lab_->LoopsBelow(pool_), 0);
    EXPECT_EQ(lab_->MountsBelow(Kubelet()), 0);
    EXPECT_TRUE(std::filesystem::is_empty(pool_ + "/volumes"));
    EXPECT_TRUE(std::filesystem::is_empty(State() + "/journal/volumes"));
    EXPECT_FALSE(sys::Exists(Target()));
  }

  std::unique_ptr<LoopLab> lab_;
  std::string pool_;
  std::unique_ptr<AgentStack> agent_;
};

TEST_F(VolumeManagerLoopTest, DiscardsReachTheFileOnlyWhereTheyAreWanted) {
  const std::string file = pool_ + "/image";
  const sys::UniqueFd image = *sys::OpenFile(file, O_RDWR | O_CREAT, 0600);
  for (const bool wanted : {false, true, false, true}) {
    ASSERT_DONE(sys::Preallocate(image.get(), 0, 16 * kMiB, file));
    const auto held =
        agent_->loops.Attach({}, file, {.label = "", .auto_clear = true, .discard = wanted});
    ASSERT_DONE(held.status());
    uint64_t range[2] = {0, 16 * kMiB};
    EXPECT_EQ(ioctl(held->hold->get(), BLKDISCARD, range) == 0, wanted);
    EXPECT_EQ(sys::StatFile(file)->used_bytes == 0, wanted);
  }
}

TEST_F(VolumeManagerLoopTest, SpareDevicesAreRemovedAndThoseInUseStay) {
  const std::string file = pool_ + "/image";
  const sys::UniqueFd image = *sys::OpenFile(file, O_RDWR | O_CREAT, 0600);
  ASSERT_DONE(sys::Truncate(image.get(), 16 * kMiB, file));
  auto used = agent_->loops.Attach({}, file, {.label = "", .auto_clear = true, .discard = false});
  auto spare = agent_->loops.Attach({}, file, {.label = "", .auto_clear = true, .discard = false});
  ASSERT_DONE(used.status());
  ASSERT_DONE(spare.status());
  spare->hold.reset();
  // Another agent of this machine may attach it meanwhile, and let it go again.
  for (int attempt = 0; attempt < 50 && sys::Exists(spare->device.path); ++attempt) {
    sys::RemoveSpareLoopDevices(0);
    if (attempt > 0) absl::SleepFor(absl::Milliseconds(100));
  }
  EXPECT_FALSE(sys::Exists(spare->device.path));
  ASSERT_DONE(agent_->loops.Inspect(used->device.path).status());
  sys::RemoveSpareLoopDevices(1'000'000);  // keeps all: nothing to do
}

TEST_F(VolumeManagerLoopTest, DetachWaitsForWhoLooksAtTheDeviceForAMoment) {
  const std::string file = pool_ + "/image";
  const sys::UniqueFd image = *sys::OpenFile(file, O_RDWR | O_CREAT, 0600);
  ASSERT_DONE(sys::Truncate(image.get(), 16 * kMiB, file));
  auto held = agent_->loops.Attach({}, file, {.label = "", .auto_clear = false, .discard = false});
  ASSERT_DONE(held.status());
  const std::string device = held->device.path;
  std::jthread looker([hold = std::move(held->hold)]() mutable {
    absl::SleepFor(absl::Milliseconds(200));
    hold.reset();
  });
  ASSERT_DONE(agent_->loops.Detach(device, held->device.backing));
  EXPECT_FALSE(agent_->loops.Inspect(device).ok());
}

class EveryFilesystem : public VolumeManagerLoopTest,
                        public testing::WithParamInterface<const char*> {};

TEST_P(EveryFilesystem, IsCarvedMountedWrittenGrownAndRemoved) {
  const std::string fs = GetParam();
  ASSERT_DONE(Ensure("v1", 320 * kMiB, fs));
  ASSERT_DONE(Ensure("v1", 320 * kMiB, fs));
  ASSERT_DONE(Stage("v1", fs));
  ASSERT_DONE(Stage("v1", fs));
  ASSERT_DONE(Publish("v1", fs));
  ASSERT_DONE(Publish("v1", fs));
  std::ofstream(Target() + "/hello") << "bytes";
  auto stats = volumes().Stats("v1", Target());
  ASSERT_DONE(stats.status());
  EXPECT_GT(stats->available_bytes, 200 * kMiB);
  EXPECT_EQ(stats->abnormal.reason, "");
  EXPECT_CODE(kFailedPrecondition, volumes().Remove({}, "v1"));
  EXPECT_CODE(kFailedPrecondition, volumes().Unstage({}, "v1", Staging()));

  ASSERT_DONE(volumes().Resize({}, "v1", 640 * kMiB).status());
  const auto size = volumes().Expand({}, "v1", Target(), 640 * kMiB);
  if (fs == "ext4" && !MayUseMoreThanItsShare()) {
    EXPECT_THAT(std::string(size.status().message()), HasSubstr("CAP_SYS_RESOURCE"));
  } else {
    ASSERT_DONE(size.status());
    EXPECT_EQ(*size, 640 * kMiB);
    EXPECT_GT(volumes().Stats("v1", Target())->total_bytes, 550 * kMiB);
  }
  const std::string image = volumes().List()[0].path;
  EXPECT_GE(sys::StatFile(image)->used_bytes, 640 * kMiB) << "every byte stays reserved";

  ASSERT_DONE(TakeDown("v1"));
  ASSERT_DONE(TakeDown("v1"));
  ExpectNothingLeft();
}

TEST_P(EveryFilesystem, KeepsItsFilesWhenMountedAgain) {
  const std::string fs = GetParam();
  ASSERT_DONE(Ensure("v1", 300 * kMiB, fs));
  ASSERT_DONE(Stage("v1", fs));
  std::ofstream(Staging() + "/hello") << "bytes";
  ASSERT_DONE(volumes().Unstage({}, "v1", Staging()));
  ASSERT_DONE(volumes().Resize({}, "v1", 500 * kMiB).status());
  ASSERT_DONE(Stage("v1", fs));
  EXPECT_EQ(sys::ReadFile(Staging() + "/hello").value_or(""), "bytes");
  EXPECT_GT(volumes().Stats("v1", Staging())->total_bytes, 400 * kMiB) << "grown when staged";
  ASSERT_DONE(TakeDown("v1"));
  ExpectNothingLeft();
}

TEST_P(EveryFilesystem, IsNotDisturbedByARestartOfTheAgent) {
  const std::string fs = GetParam();
  ASSERT_DONE(Ensure("v1", 300 * kMiB, fs));
  ASSERT_DONE(Stage("v1", fs));
  ASSERT_DONE(Publish("v1", fs));
  std::ofstream file(Target() + "/open");
  file << "before " << std::flush;
  Restart();
  file << "after" << std::flush;
  EXPECT_TRUE(file.good());
  EXPECT_EQ(sys::ReadFile(Target() + "/open").value_or(""), "before after");
  file.close();
  ASSERT_DONE(Stage("v1", fs));
  ASSERT_DONE(Publish("v1", fs));
  const VolumeStatus status = volumes().List().at(0);
  EXPECT_TRUE(status.staged);
  EXPECT_EQ(status.publications, 1);
  ASSERT_DONE(TakeDown("v1"));
  ExpectNothingLeft();
}

TEST_P(EveryFilesystem, IsAdoptedWhenTheJournalIsLost) {
  const std::string fs = GetParam();
  ASSERT_DONE(Ensure("v1", 300 * kMiB, fs));
  ASSERT_DONE(Stage("v1", fs));
  ASSERT_DONE(Publish("v1", fs, true));
  agent_.reset();
  std::filesystem::remove_all(State());
  Restart();
  ASSERT_DONE(agent_->EnsureDirectoryPool(pool_).status());
  ASSERT_DONE(volumes().Adopt({}, "p"));
  ASSERT_DONE(Stage("v1", fs));
  ASSERT_DONE(Publish("v1", fs, true));
  ASSERT_DONE(TakeDown("v1"));
  ExpectNothingLeft();
}

TEST_P(EveryFilesystem, ReadOnlyPublicationRefusesWrites) {
  const std::string fs = GetParam();
  ASSERT_DONE(Ensure("v1", 300 * kMiB, fs));
  ASSERT_DONE(Stage("v1", fs));
  ASSERT_DONE(Publish("v1", fs, true));
  EXPECT_FALSE(std::ofstream(Target() + "/x").good());
  EXPECT_TRUE(std::ofstream(Staging() + "/x").good());
  EXPECT_CODE(kAlreadyExists, Publish("v1", fs, false));
  ASSERT_DONE(TakeDown("v1"));
}

INSTANTIATE_TEST_SUITE_P(Filesystems, EveryFilesystem, testing::Values("ext4", "xfs"));

TEST_F(VolumeManagerLoopTest, BlockVolumeIsADeviceThatGrowsAndOutlivesTheAgent) {
  ASSERT_DONE(Ensure("b1", 8 * kMiB, ""));
  ASSERT_DONE(Stage("b1", ""));
  ASSERT_DONE(Publish("b1", ""));
  struct stat st;
  ASSERT_EQ(stat(Target().c_str(), &st), 0);
  ASSERT_TRUE(S_ISBLK(st.st_mode));
  const int fd = open(Target().c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_EQ(pwrite(fd, "bytes", 5, 4096), 5);
  ASSERT_EQ(fsync(fd), 0);
  Restart();
  ASSERT_DONE(volumes().Resize({}, "b1", 16 * kMiB).status());
  EXPECT_EQ(lseek(fd, 0, SEEK_END), 16 * kMiB);
  EXPECT_EQ(*volumes().Expand({}, "b1", Target(), 0), 16 * kMiB);
  EXPECT_EQ(volumes().Stats("b1", Target())->total_bytes, 16 * kMiB);
  close(fd);
  ASSERT_DONE(TakeDown("b1"));
  ExpectNothingLeft();
}

TEST_F(VolumeManagerLoopTest, LoopDeviceUsesDirectIoAndDropsDiscards) {
  ASSERT_DONE(Ensure("v1", 32 * kMiB, "ext4"));
  ASSERT_DONE(Stage("v1", "ext4"));
  const auto devices = agent_->loops.List();
  const auto image = sys::StatFile(volumes().List()[0].path);
  const auto device = sys::FindByBacking(*devices, image->identity);
  ASSERT_TRUE(device.has_value());
  EXPECT_TRUE(device->direct_io);
  EXPECT_EQ(device->label, "ashlar:v1");
  std::ofstream(Staging() + "/big") << std::string(8 * kMiB, 'x');
  std::filesystem::remove(Staging() + "/big");
  sys::PosixCommandRunner commands;
  EXPECT_FALSE(sys::RunChecked(commands, {}, {"fstrim", Staging()}).ok());
  EXPECT_GE(sys::StatFile(volumes().List()[0].path)->used_bytes, 32 * kMiB);
  ASSERT_DONE(TakeDown("v1"));
}

TEST_F(VolumeManagerLoopTest, UncleanExt4IsCheckedBeforeItIsMounted) {
  ASSERT_DONE(Ensure("v1", 32 * kMiB, "ext4"));
  const std::string image = volumes().List()[0].path;
  sys::PosixCommandRunner commands;
  ASSERT_DONE(sys::RunChecked(commands, {}, {"debugfs", "-w", "-R", "ssv state 2", image}));
  ASSERT_DONE(Stage("v1", "ext4"));
  ASSERT_DONE(volumes().Unstage({}, "v1", Staging()));
  const auto out = commands.Run({}, {"dumpe2fs", "-h", image});
  EXPECT_THAT(out->out, HasSubstr("Filesystem state:         clean"));
}

bool TakesWrites(const std::string& path) {
  const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool wrote = pwrite(fd, "x", 1, 0) == 1 && fsync(fd) == 0;
  close(fd);
  return wrote;
}

TEST_F(VolumeManagerLoopTest, ABlockVolumeForReadersRefusesWritesAtTheDevice) {
  ASSERT_DONE(Ensure("v", 64 * kMiB, ""));
  ASSERT_DONE(Stage("v", ""));
  ASSERT_DONE(Publish("v", "", /*read_only=*/true));
  const auto loops = agent_->loops.List();
  const auto image = sys::StatFile(volumes().List()[0].path);
  const std::string device = sys::FindByBacking(*loops, image->identity)->path;
  EXPECT_FALSE(TakesWrites(Target()));
  EXPECT_FALSE(TakesWrites(device)) << "whoever makes a node of their own";
  const std::string second = Kubelet() + "/pods/second";
  EXPECT_CODE(kFailedPrecondition, Publish("v", "", false, second));  // a writer beside a reader
  ASSERT_DONE(Publish("v", "", true, second));
  ASSERT_DONE(volumes().Unpublish({}, "v", second));
  EXPECT_FALSE(TakesWrites(device)) << "one reader is left";
  ASSERT_DONE(volumes().Unpublish({}, "v", Target()));
  EXPECT_TRUE(TakesWrites(device));
  ASSERT_DONE(Publish("v", ""));
  EXPECT_TRUE(TakesWrites(Target()));
  EXPECT_CODE(kFailedPrecondition, Publish("v", "", true, second));  // a reader beside a writer
  ASSERT_DONE(TakeDown("v"));
  ExpectNothingLeft();
}

TEST_F(VolumeManagerLoopTest, WhatIsStagedForReadersIsReadOnlyFromThereOn) {
  for (const std::string fs : {"", "ext4", "xfs"}) {
    SCOPED_TRACE(fs);
    ASSERT_DONE(Ensure("v", 300 * kMiB, fs));
    StageArgs stage{"v", Staging(), fs.empty() ? VolumeMode::kBlock : VolumeMode::kFilesystem};
    stage.read_only = true;
    ASSERT_DONE(volumes().Stage({}, stage));
    ASSERT_DONE(volumes().Stage({}, stage));
    EXPECT_CODE(kAlreadyExists, Stage("v", fs));  // it is staged for readers
    if (fs.empty()) {
      EXPECT_CODE(kFailedPrecondition, Publish("v", fs));
    }
    ASSERT_DONE(Publish("v", fs, true));
    const std::string file = fs.empty() ? Target() : Target() + "/file";
    EXPECT_FALSE(std::ofstream(file).put('x').flush().good());
    const auto stats = volumes().Stats("v", Target());
    ASSERT_DONE(stats.status());
    EXPECT_EQ(stats->abnormal.reason, "");
    ASSERT_DONE(TakeDown("v"));
  }
  ExpectNothingLeft();
}

TEST_F(VolumeManagerLoopTest, AFilesystemIsGivenToTheGroupThatAPublicationNames) {
  ASSERT_DONE(Ensure("v", 64 * kMiB, "ext4"));
  ASSERT_DONE(Stage("v", "ext4"));
  PublishArgs publish{"v", Staging(), Target()};
  publish.mount_group = 4711;
  publish.read_only = true;
  ASSERT_DONE(volumes().Publish({}, publish));
  struct stat have = {};
  ASSERT_EQ(stat(Target().c_str(), &have), 0);
  EXPECT_EQ(have.st_gid, 0u) << "readers change nothing";
  ASSERT_DONE(volumes().Unpublish({}, "v", Target()));
  publish.read_only = false;
  ASSERT_DONE(volumes().Publish({}, publish));
  ASSERT_EQ(stat(Target().c_str(), &have), 0);
  EXPECT_EQ(have.st_gid, 4711u);
  EXPECT_EQ(have.st_mode & 02770, 02770u);
  ASSERT_DONE(TakeDown("v"));
  ExpectNothingLeft();
}

TEST_F(VolumeManagerLoopTest, SingleWriterRefusesASecondTarget) {
  ASSERT_DONE(Ensure("v1", 32 * kMiB, "ext4"));
  ASSERT_DONE(Stage("v1", "ext4"));
  const auto publish = [&](const std::string& target, bool single) {
    return volumes().Publish({},
                             {"v1", Staging(), target, VolumeMode::kFilesystem, false, {}, single});
  };
  ASSERT_DONE(publish(Target(), true));
  EXPECT_CODE(kFailedPrecondition, publish(Kubelet() + "/other", false));
  ASSERT_DONE(volumes().Unpublish({}, "v1", Target()));
  ASSERT_DONE(publish(Kubelet() + "/other", false));
  ASSERT_DONE(publish(Target(), false));
  EXPECT_CODE(kFailedPrecondition, publish(Kubelet() + "/third", true));
}

TEST_F(VolumeManagerLoopTest, PathsOutsideTheRootsAndThroughLinksAreRefused) {
  ASSERT_DONE(Ensure("v1", 32 * kMiB, "ext4"));
  ASSERT_DONE(Stage("v1", "ext4"));
  EXPECT_CODE(kInvalidArgument, Publish("v1", "ext4", false, "/etc/x"));
  EXPECT_CODE(kInvalidArgument, Publish("v1", "ext4", false, Kubelet() + "/../x"));
  EXPECT_CODE(kInvalidArgument, Publish("v1", "ext4", false, "relative"));
  std::filesystem::create_directory_symlink(lab_->root(), Kubelet() + "/link");
  EXPECT_CODE(kFailedPrecondition, Publish("v1", "ext4", false, Kubelet() + "/link/x"));
  EXPECT_EQ(volumes().List()[0].publications, 0);
}

TEST_F(VolumeManagerLoopTest, MountFlagsAreHonouredOrRefusedByName) {
  ASSERT_DONE(Ensure("v1", 32 * kMiB, "ext4"));
  StageArgs args{"v1", Staging(), VolumeMode::kFilesystem, "ext4", {"nobarrier"}};
  const absl::Status refused = volumes().Stage({}, args);
  EXPECT_CODE(kInvalidArgument, refused);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("nobarrier"));
  args.mount_flags = {"noatime", "nodev"};
  ASSERT_DONE(volumes().Stage({}, args));
  const auto mounts = agent_->mounts.List();
  EXPECT_THAT(sys::FindMount(*mounts, Staging())->options, HasSubstr("noatime"));
}

TEST_F(VolumeManagerLoopTest, AfterARebootRecordsOfTheOldBootAreVoid) {
  ASSERT_DONE(Ensure("v1", 32 * kMiB, "ext4"));
  ASSERT_DONE(Ensure("v2", 32 * kMiB, "ext4"));
  ASSERT_DONE(Stage("v1", "ext4"));
  // What a reboot does: mounts and loop devices are gone, and so is an image whose removal was
  // acknowledged but whose record came back.
  agent_.reset();
  ASSERT_EQ(sys::KernelMountTable().Unmount(Staging()), absl::OkStatus());
  std::filesystem::remove(pool_ + "/volumes/v2.img");
  std::ofstream(pool_ + "/volumes/v3.img.partial") << "half made";
  Restart("boot-2");
  ASSERT_EQ(volumes().List().size(), 1u);
  EXPECT_FALSE(volumes().List()[0].staged);
  EXPECT_FALSE(sys::Exists(pool_ + "/volumes/v3.img.partial"));
  ASSERT_DONE(volumes().Remove({}, "v1"));
  ExpectNothingLeft();
}

TEST_F(VolumeManagerLoopTest, WrongRequestsNameTheField) {
  const auto message = [&](const absl::Status& status) { return std::string(status.message()); };
  EXPECT_THAT(message(Ensure("UPPER", kMiB, "")), HasSubstr("volume_id"));
  EXPECT_THAT(message(Ensure("v", -1, "")), HasSubstr("size_bytes"));
  EXPECT_THAT(message(Ensure("v", 100 * kMiB, "xfs")), HasSubstr("size_bytes"));
  EXPECT_THAT(message(Ensure("v", kMiB, "ntfs")), HasSubstr("fs_type"));
  EXPECT_CODE(kNotFound, volumes().Ensure({}, {"v", "q", kMiB, VolumeMode::kBlock, ""}).status());
  EXPECT_CODE(kResourceExhausted, Ensure("v", 100 * kGiB, ""));
  EXPECT_CODE(kNotFound, Stage("absent", "ext4"));
  ASSERT_DONE(Ensure("v", 16 * kMiB, ""));
  EXPECT_CODE(kAlreadyExists, Ensure("v", 16 * kMiB, "ext4"));
  EXPECT_CODE(kAlreadyExists, Ensure("v", 32 * kMiB, ""));
  const std::string longest = std::string(63, 'a') + "." + std::string(63, 'b') + "." +
                              std::string(63, 'c') + "." + std::string(61, 'd');
  ASSERT_DONE(Ensure(longest, kMiB, ""));
  ASSERT_DONE(volumes().Remove({}, longest));
  ASSERT_DONE(volumes().Remove({}, "v"));
  ExpectNothingLeft();
}

}  // namespace
}  // namespace ashlar::node_agent
