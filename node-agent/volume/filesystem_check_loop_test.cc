// What becomes of volumes whose filesystems were damaged, on a real kernel with the real tools.
#include <fcntl.h>
#include <unistd.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/system/files.h"
#include "node-agent/testing/loop_lab.h"

namespace ashlar::node_agent {
namespace {

using ::testing::HasSubstr;

#define ASSERT_DONE(expression)                                \
  do {                                                         \
    const absl::Status& got_status = (expression);             \
    ASSERT_TRUE(got_status.ok()) << #expression << got_status; \
  } while (false)

class FilesystemCheckLoopTest : public testing::Test {
 protected:
  void SetUp() override {
    ASHLAR_NEEDS_LOOP_LAB();
    lab_ = std::make_unique<LoopLab>();
    Restart();
    ASSERT_DONE(
        agent_->EnsureDirectoryPool(lab_->MakeFilesystem("xfs", int64_t{2} << 30)).status());
  }
  void Restart() {
    agent_ = std::make_unique<AgentStack>(lab_->Path("state"),
                                          std::vector<std::string>{lab_->Path("kubelet")});
    ASSERT_DONE(agent_->Start());
  }
  std::string Staging() const { return lab_->Path("kubelet") + "/staging"; }
  // The path of a new volume that was mounted once and is clean.
  std::string Make(const std::string& fs_type) {
    fs_type_ = fs_type;
    EXPECT_TRUE(
        agent_->volumes.Ensure({}, {"v", "p", 320 * kMiB, VolumeMode::kFilesystem, fs_type}).ok());
    EXPECT_EQ(Stage(), absl::OkStatus());
    EXPECT_EQ(agent_->volumes.Unstage({}, "v", Staging()), absl::OkStatus());
    return Status().path;
  }
  absl::Status Stage() {
    return agent_->volumes.Stage({}, {"v", Staging(), VolumeMode::kFilesystem, fs_type_, {}});
  }
  VolumeStatus Status() { return agent_->volumes.List()[0]; }
  void Debugfs(const std::string& image, const std::string& request) {
    ASSERT_DONE(sys::RunChecked(commands_, {}, {"debugfs", "-w", "-R", request, image}));
  }

  std::unique_ptr<LoopLab> lab_;
  std::unique_ptr<AgentStack> agent_;
  sys::PosixCommandRunner commands_;
  std::string fs_type_;
};

TEST_F(FilesystemCheckLoopTest, LittleDamageToExt4IsCorrectedAndToldUntilTheNextMount) {
  const std::string image = Make("ext4");
  Debugfs(image, "set_inode_field <11> links_count 7");  // lost+found
  Debugfs(image, "set_super_value state 0");
  ASSERT_DONE(Stage());
  EXPECT_TRUE(Status().healthy);
  EXPECT_THAT(Status().message, HasSubstr("e2fsck corrected"));
  EXPECT_THAT(Status().message, HasSubstr("ref count"));
  Restart();
  EXPECT_THAT(Status().message, HasSubstr("ref count"));
  ASSERT_DONE(agent_->volumes.Unstage({}, "v", Staging()));
  ASSERT_DONE(Stage());
  EXPECT_EQ(Status().message, "");
  ASSERT_DONE(agent_->volumes.Unstage({}, "v", Staging()));
}

TEST_F(FilesystemCheckLoopTest, HeavyDamageToExt4IsRefusedUntilAPersonHasMendedIt) {
  const std::string image = Make("ext4");
  Debugfs(image, "clri <2>");  // the root directory
  Debugfs(image, "set_super_value state 0");
  const absl::Status refused = Stage();
  EXPECT_EQ(refused.code(), absl::StatusCode::kDataLoss) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("e2fsck -f " + image));
  EXPECT_FALSE(Status().staged);
  EXPECT_FALSE(Status().healthy);
  EXPECT_EQ(Status().message, refused.message());
  EXPECT_EQ(lab_->MountsBelow(lab_->Path("kubelet")), 0);
  EXPECT_EQ(lab_->LoopsBelow(image), 0);
  Restart();
  EXPECT_FALSE(Status().healthy) << "a restart forgets nothing";
  ASSERT_TRUE(commands_.Run({}, {"e2fsck", "-f", "-y", image}).ok());  // as the advice has it
  ASSERT_DONE(Stage());
  EXPECT_TRUE(Status().healthy) << Status().message;
  ASSERT_DONE(agent_->volumes.Unstage({}, "v", Staging()));
}

TEST_F(FilesystemCheckLoopTest, ADamagedXfsIsRefusedWithTheWordsOfItsToolAndIsNotTouched) {
  const std::string image = Make("xfs");
  {
    const sys::UniqueFd file = *sys::OpenFile(image, O_RDWR);
    ASSERT_EQ(pwrite(file.get(), "damage", 6, 108), 6);  // the superblock's checksum is wrong now
  }
  const absl::Status refused = Stage();
  EXPECT_EQ(refused.code(), absl::StatusCode::kDataLoss) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("XFS filesystem is damaged"));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("xfs_repair " + image));
  EXPECT_FALSE(Status().healthy);
  EXPECT_EQ(sys::ReadHead(image, 512)->substr(108, 6), "damage") << "it was repaired";
  ASSERT_DONE(sys::RunChecked(commands_, {}, {"xfs_repair", image}));  // as the advice has it
  ASSERT_DONE(Stage());
  EXPECT_TRUE(Status().healthy) << Status().message;
  ASSERT_DONE(agent_->volumes.Unstage({}, "v", Staging()));
}

}  // namespace
}  // namespace ashlar::node_agent
