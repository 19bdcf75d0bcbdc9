// Volumes of the backend Directory, through the agent, on a real btrfs.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/system/block_probe.h"
#include "lib/system/files.h"
#include "node-agent/testing/loop_lab.h"

namespace ashlar::node_agent {
namespace {

using absl::StatusCode;
using testing::HasSubstr;

class DirectoryVolumes : public testing::Test {
 protected:
  void SetUp() override {
    ASHLAR_NEEDS_LOOP_LAB();
    lab_ = std::make_unique<LoopLab>();
    pool_.name = "p";
    pool_.uid = "0f8fad5b-d9cb-469f-a165-70867728950e";
    pool_.backend = BackendKind::kDirectory;
    pool_.directory = DirectorySource{lab_->MakeFilesystem("btrfs", 700 * kMiB), 0};
    Restart();
  }
  void Restart(const std::string& boot = "boot-1") {
    agent_ =
        std::make_unique<AgentStack>(lab_->Path("state"), std::vector{lab_->Path("kubelet")}, boot);
    ASSERT_EQ(agent_->Start(), absl::OkStatus());
    const auto status = agent_->pools.Ensure({}, pool_);
    ASSERT_TRUE(status.ok() && status->ready) << status.status() << status->message;
    ASSERT_EQ(agent_->volumes.Adopt({}, "p"), absl::OkStatus());
  }
  VolumeManager& volumes() { return agent_->volumes; }
  std::string Staging() const { return lab_->Path("kubelet/staging"); }
  std::string Target() const { return lab_->Path("kubelet/target"); }
  absl::Status Use() {
    if (auto made = volumes().Ensure({}, {"v", "p", 20 * kMiB}).status(); !made.ok()) return made;
    if (auto staged = volumes().Stage({}, {"v", Staging()}); !staged.ok()) return staged;
    return volumes().Publish({}, {"v", Staging(), Target()});
  }
  // Bytes that could be written to a new file, and the errno of the end.
  static std::pair<int64_t, int> FillFile(const std::string& path) {
    const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    const std::string block(1 << 20, 'x');
    int64_t written = 0;
    int error = 0;
    while (error == 0 && written < 100 * kMiB) {
      const ssize_t put = write(fd, block.data(), block.size());
      if (put < 0 || fsync(fd) != 0) error = errno;
      if (put > 0) written += put;
    }
    close(fd);
    return {written, error};
  }

  std::unique_ptr<LoopLab> lab_;
  PoolSpec pool_;
  std::unique_ptr<AgentStack> agent_;
};

TEST_F(DirectoryVolumes, ATenantGetsItsBytesAndNotOneMore) {
  ASSERT_EQ(Use(), absl::OkStatus());
  EXPECT_EQ(volumes().List()[0].facts.fs_type, "btrfs");
  const auto [written, error] = FillFile(Target() + "/file");
  EXPECT_EQ(error, EDQUOT);
  EXPECT_GT(written, 18 * kMiB);
  EXPECT_LE(written, 21 * kMiB);
  const auto stats = volumes().Stats("v", Target());
  ASSERT_TRUE(stats.ok()) << stats.status();
  EXPECT_EQ(stats->total_bytes, 20 * kMiB);
  ASSERT_TRUE(volumes().Resize({}, "v", 40 * kMiB).ok());
  EXPECT_EQ(*volumes().Expand({}, "v", Target(), 40 * kMiB), 40 * kMiB);
  EXPECT_GT(FillFile(Target() + "/more").first, 15 * kMiB);
}

TEST_F(DirectoryVolumes, AMountedVolumeOutlivesTheAgentAndCanBeTakenDownByTheNext) {
  ASSERT_EQ(Use(), absl::OkStatus());
  std::ofstream(Target() + "/kept") << "bytes";
  for (const char* boot : {"boot-1", "boot-1"}) {
    Restart(boot);
    ASSERT_EQ(volumes().List().size(), 1u);
    EXPECT_TRUE(volumes().List()[0].staged);
    EXPECT_EQ(volumes().List()[0].publications, 1);
    EXPECT_EQ(*sys::ReadFile(Target() + "/kept"), "bytes");
  }
  // The records are lost: mounts tell.
  std::filesystem::remove_all(lab_->Path("state/journal/volumes"));
  std::filesystem::create_directory(lab_->Path("state/journal/volumes"));
  Restart();
  EXPECT_TRUE(volumes().List()[0].staged);
  EXPECT_EQ(volumes().List()[0].publications, 1);
  EXPECT_EQ(volumes().Remove({}, "v").code(), StatusCode::kFailedPrecondition);
  ASSERT_EQ(volumes().Unpublish({}, "v", Target()), absl::OkStatus());
  ASSERT_EQ(volumes().Unstage({}, "v", Staging()), absl::OkStatus());
  EXPECT_EQ(lab_->MountsBelow(lab_->Path("kubelet")), 0);
  ASSERT_EQ(volumes().Stage({}, {"v", Staging()}), absl::OkStatus());
  EXPECT_EQ(*sys::ReadFile(Staging() + "/kept"), "bytes");
  ASSERT_EQ(volumes().Unstage({}, "v", Staging()), absl::OkStatus());
  ASSERT_EQ(volumes().Remove({}, "v"), absl::OkStatus());
  EXPECT_TRUE(std::filesystem::is_empty(pool_.directory->path + "/volumes"));
  EXPECT_EQ(agent_->pools.Remove({}, "p"), absl::OkStatus());
}

TEST_F(DirectoryVolumes, ACopyHasTheFilesOfItsMomentAQuotaOfItsOwnAndOutlivesItsSource) {
  const std::shared_ptr<StorageBackend> backend = *agent_->pools.Backend("p");
  const auto make = [&](const std::string& id, int64_t size, const std::string& source,
                        VolumeKind kind) {
    return backend->Create({}, {id, "p", pool_.uid, VolumeMode::kFilesystem, "btrfs", kind, source},
                           size, "");
  };
  const auto source = make("source", 20 * kMiB, "", VolumeKind::kVolume);
  ASSERT_TRUE(source.ok()) << source.status();
  std::ofstream(source->path + "/first") << "1";
  const auto snapshot = make("snapshot", 20 * kMiB, "source", VolumeKind::kSnapshot);
  ASSERT_TRUE(snapshot.ok()) << snapshot.status();
  std::ofstream(source->path + "/second") << "2";
  const auto clone = make("clone", 40 * kMiB, "source", VolumeKind::kVolume);
  ASSERT_TRUE(clone.ok()) << clone.status();
  EXPECT_FALSE(std::ofstream(snapshot->path + "/more").is_open()) << "a snapshot is read-only";
  ASSERT_EQ(backend->Remove({}, "source"), absl::OkStatus());
  EXPECT_TRUE(sys::Exists(snapshot->path + "/first"));
  EXPECT_FALSE(sys::Exists(snapshot->path + "/second"));
  EXPECT_TRUE(sys::Exists(clone->path + "/second"));
  EXPECT_GT(FillFile(clone->path + "/file").first, 35 * kMiB);
  EXPECT_EQ(make("small", 10 * kMiB, "snapshot", VolumeKind::kVolume).status().code(),
            StatusCode::kOutOfRange);
  for (const char* id : {"snapshot", "clone"}) ASSERT_EQ(backend->Remove({}, id), absl::OkStatus());
  EXPECT_EQ(backend->Usage()->allocated_bytes, 0);
  EXPECT_TRUE(std::filesystem::is_empty(pool_.directory->path + "/volumes"));
}

TEST_F(DirectoryVolumes, WhatADirectoryCannotBeIsRefusedWithWhatItCan) {
  const auto block = volumes().Ensure({}, {"b", "p", 20 * kMiB, VolumeMode::kBlock}).status();
  EXPECT_EQ(block.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(block.message(), HasSubstr("filesystem volumes only"));
  const auto ext4 =
      volumes().Ensure({}, {"e", "p", 20 * kMiB, VolumeMode::kFilesystem, "ext4"}).status();
  EXPECT_EQ(ext4.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(ext4.message(), HasSubstr("accepts btrfs"));
  ASSERT_TRUE(volumes().Ensure({}, {"v", "p", 20 * kMiB}).ok());
  StageArgs stage{"v", Staging()};
  stage.mount_flags = {"discard"};
  EXPECT_EQ(volumes().Stage({}, stage).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(lab_->MountsBelow(lab_->Path("kubelet")), 0);
  VolumeAttributes limits;
  limits.limits.write_iops = 5;
  const auto limited = volumes().Modify({}, "v", limits);
  EXPECT_EQ(limited.status().code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(limited.status().message(), HasSubstr("backend Directory"));
  VolumeAttributes trimmed;
  trimmed.trim = TrimSchedule::kDaily;
  EXPECT_TRUE(volumes().Modify({}, "v", trimmed).ok());
}

TEST_F(DirectoryVolumes, ADriveBecomesAPoolOfItsOwnAndIsFoundAgain) {
  const std::string drive = lab_->MakeDrive(600 * kMiB);
  PoolSpec own = pool_;
  own.name = "q";
  own.uid = "0f8fad5b-d9cb-469f-a165-70867728950f";
  own.directory.reset();
  own.devices = DeviceSource{{}, {drive}, {}, {}, 0, 0};
  auto status = agent_->pools.Ensure({}, own);
  ASSERT_TRUE(status.ok() && status->ready) << status.status() << status->message;
  EXPECT_EQ(status->devices, std::vector{drive});
  EXPECT_EQ(sys::ProbeSignature(drive)->type, "btrfs");
  const auto all = agent_->scanner.Scan({});
  for (const Drive& found : *all) {
    if (found.device == drive) {
      EXPECT_THAT(found.busy_reason, HasSubstr("is mounted at"));
    }
  }
  ASSERT_EQ(agent_->volumes.Adopt({}, "q"), absl::OkStatus());
  ASSERT_TRUE(volumes().Ensure({}, {"w", "q", 20 * kMiB}).ok());
  ASSERT_EQ(volumes().Stage({}, {"w", Staging()}), absl::OkStatus());
  std::ofstream(Staging() + "/kept") << "bytes";
  ASSERT_EQ(volumes().Unstage({}, "w", Staging()), absl::OkStatus());
  Restart("boot-2");
  status = agent_->pools.Ensure({}, own);
  ASSERT_TRUE(status.ok() && status->ready) << status.status() << status->message;
  ASSERT_EQ(agent_->volumes.Adopt({}, "q"), absl::OkStatus());
  ASSERT_EQ(volumes().Stage({}, {"w", Staging()}), absl::OkStatus());
  EXPECT_EQ(*sys::ReadFile(Staging() + "/kept"), "bytes");
  ASSERT_EQ(volumes().Unstage({}, "w", Staging()), absl::OkStatus());
  ASSERT_EQ(volumes().Remove({}, "w"), absl::OkStatus());
  EXPECT_EQ(agent_->pools.Remove({}, "q"), absl::OkStatus());
}

TEST_F(DirectoryVolumes, APoolOnAnotherFilesystemSaysWhatItNeeds) {
  PoolSpec other = pool_;
  other.name = "q";
  other.directory->path = lab_->MakeFilesystem("xfs", 400 * kMiB);
  const auto status = agent_->pools.Ensure({}, other);
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_FALSE(status->ready);
  EXPECT_EQ(status->reason, "NoQuota");
}

}  // namespace
}  // namespace ashlar::node_agent
