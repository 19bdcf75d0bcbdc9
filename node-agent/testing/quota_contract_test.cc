// The backend Directory on XFS with project quotas, which the kernel of a build machine need not
// have: inside a guest of the drive lab. ASHLAR_TEST_DIRECTORY is an empty directory of such a
// filesystem of 1 GiB or so, ASHLAR_TEST_RAW the drive that it lies on.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "absl/strings/str_cat.h"
#include "lib/system/files.h"
#include "lib/system/project_quota.h"
#include "node-agent/storage/directory/directory_backend.h"
#include "node-agent/testing/backend_contract.h"

namespace ashlar::node_agent {
namespace {

std::string Root() {
  const char* root = std::getenv("ASHLAR_TEST_DIRECTORY");
  return root == nullptr ? "" : root;
}

class XfsDirectory final : public BackendUnderTest {
 public:
  XfsDirectory() { Reopen(); }
  ~XfsDirectory() override {
    backend_.reset();
    std::filesystem::remove_all(Root() + "/volumes");
  }
  StorageBackend& backend() override { return *backend_; }
  void Reopen() override {
    backend_.reset();
    backend_ = std::make_unique<DirectoryBackend>(DirectoryBackendOptions{Root()});
    ASSERT_EQ(backend_->Open(), absl::OkStatus());
  }
  std::vector<std::string> Raw() override {
    const char* raw = std::getenv("ASHLAR_TEST_RAW");
    return raw == nullptr ? std::vector<std::string>{} : std::vector<std::string>{raw};
  }

 private:
  std::unique_ptr<DirectoryBackend> backend_;
};

INSTANTIATE_TEST_SUITE_P(Quota, BackendContract,
                         testing::Values(BackendParam{
                             "DirectoryXfs", [] { return std::make_unique<XfsDirectory>(); }}),
                         [](const auto& param) { return param.param.name; });

INSTANTIATE_TEST_SUITE_P(Quota, NamedDriveContract,
                         testing::Values(BackendParam{
                             "DirectoryXfs", [] { return std::make_unique<XfsDirectory>(); }}),
                         [](const auto& param) { return param.param.name; });

// Bytes that could be written to a new file, and the errno of the end.
std::pair<int64_t, int> FillFile(const std::string& path) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  const std::string block(1 << 20, 'x');
  int64_t written = 0;
  int error = fd < 0 ? errno : 0;
  while (error == 0 && written < 100 * kMiB) {
    const ssize_t put = write(fd, block.data(), block.size());
    if (put < 0 || fsync(fd) != 0) error = errno;
    if (put > 0) written += put;
  }
  close(fd);
  return {written, error};
}

absl::StatusOr<StoredVolume> Make(StorageBackend& backend, const std::string& id) {
  return backend.Create({}, {id, "p", "u", VolumeMode::kFilesystem, "xfs"}, 20 * kMiB, "");
}

TEST(XfsProjects, ATenantGetsItsBytesAndFilesAndNotOneMore) {
  XfsDirectory directory;
  StorageBackend& backend = directory.backend();
  const auto made = Make(backend, "v");
  ASSERT_TRUE(made.ok()) << made.status();
  const auto [written, error] = FillFile(made->path + "/file");
  EXPECT_EQ(error, ENOSPC);
  EXPECT_GT(written, 18 * kMiB);
  EXPECT_LE(written, 20 * kMiB);
  EXPECT_GT(backend.Find("v")->used_bytes, 18 * kMiB);
  ASSERT_TRUE(backend.Grow({}, "v", 40 * kMiB).ok());
  EXPECT_GT(FillFile(made->path + "/more").first, 15 * kMiB);
  std::filesystem::remove(made->path + "/more");
  int files = 0;
  while (files < 10000) {
    const int fd = open(absl::StrCat(made->path, "/", files).c_str(), O_WRONLY | O_CREAT, 0600);
    if (fd < 0) break;
    close(fd);
    ++files;
  }
  EXPECT_GT(files, 2000);
  EXPECT_LE(files, 40 * 64) << "one file for each 16 KiB";
}

TEST(XfsProjects, AProjectIsOneVolumesAndFreeAfterIt) {
  XfsDirectory directory;
  StorageBackend& backend = directory.backend();
  const auto a = Make(backend, "a"), b = Make(backend, "b");
  ASSERT_TRUE(a.ok() && b.ok()) << a.status() << b.status();
  const uint32_t of_a = *sys::ReadProject(a->path), of_b = *sys::ReadProject(b->path);
  EXPECT_NE(of_a, 0u);
  EXPECT_NE(of_a, of_b);
  ASSERT_EQ(backend.Remove({}, "a"), absl::OkStatus());
  auto c = Make(backend, "c");
  ASSERT_TRUE(c.ok()) << c.status();
  // XFS takes what was removed off the project in the background.
  for (int i = 0; i < 300 && *sys::ReadProject(c->path) != of_a; ++i) {
    ASSERT_EQ(backend.Remove({}, "c"), absl::OkStatus());
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    c = Make(backend, "c");
    ASSERT_TRUE(c.ok()) << c.status();
  }
  EXPECT_EQ(*sys::ReadProject(c->path), of_a);
  EXPECT_GT(FillFile(c->path + "/file").first, 18 * kMiB) << "nothing of the last tenant counts";
  EXPECT_EQ(*sys::ReadProjectBytes(b->path, of_b), b->used_bytes);
}

TEST(XfsProjects, ARemovalThatWasCutShortIsFinishedByTheNextProcess) {
  XfsDirectory directory;
  ASSERT_TRUE(Make(directory.backend(), "v").ok());
  const std::string volume = Root() + "/volumes/v.vol";
  std::filesystem::create_directories(volume + "/data/deep/er");
  std::filesystem::create_symlink("/", volume + "/data/deep/root");
  std::filesystem::rename(volume, volume + ".partial");
  directory.Reopen();
  EXPECT_EQ(directory.backend().Find("v").status().code(), absl::StatusCode::kNotFound);
  ASSERT_EQ(directory.backend().Remove({}, "v"), absl::OkStatus());
  EXPECT_TRUE(std::filesystem::is_empty(Root() + "/volumes"));
  EXPECT_EQ(directory.backend().Usage()->allocated_bytes, 0);
}

}  // namespace
}  // namespace ashlar::node_agent
