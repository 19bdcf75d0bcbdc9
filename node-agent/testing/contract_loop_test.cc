// The contract suites that the fakes pass, on the real kernel.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "lib/system/command_runner.h"
#include "node-agent/storage/directory/directory_backend.h"
#include "node-agent/storage/file/file_backend.h"
#include "node-agent/storage/namespace/namespace_medium.h"
#include "node-agent/storage/partition/partition_backend.h"
#include "node-agent/storage/spread_backend.h"
#include "node-agent/storage/wholedrive/whole_drive_backend.h"
#include "node-agent/testing/backend_contract.h"
#include "node-agent/testing/fake_nvme.h"
#include "node-agent/testing/kernel_contract.h"
#include "node-agent/testing/loop_lab.h"

namespace ashlar::node_agent {
namespace {

class RealKernel final : public KernelUnderTest {
 public:
  sys::LoopDevices& loops() override { return loops_; }
  sys::MountTable& mounts() override { return mounts_; }
  std::string folder() const override { return lab_.root(); }
  std::string MakeImage(const std::string& name) override {
    sys::PosixCommandRunner commands;
    FileBackend backend(commands, {lab_.root()});
    if (!backend.RemoveLeftovers().ok()) return "";
    const VolumeFacts facts{name, "p", "u", VolumeMode::kFilesystem, "ext4"};
    const auto made = backend.Create({}, facts, 20 * kMiB, "");
    return made.ok() ? made->path : "";
  }

 private:
  LoopLab lab_;
  sys::KernelLoopDevices loops_;
  sys::KernelMountTable mounts_;
};

class FileBackendUnderTest final : public BackendUnderTest {
 public:
  explicit FileBackendUnderTest(bool sparse) : sparse_(sparse) { Reopen(); }
  StorageBackend& backend() override { return *backend_; }
  void Reopen() override {
    FileBackendOptions options;
    options.root = root_;
    options.sparse = sparse_;
    backend_ = std::make_unique<FileBackend>(commands_, options);
    EXPECT_EQ(backend_->RemoveLeftovers(), absl::OkStatus());
  }

  std::vector<std::string> Raw() override { return {lab_.Path("drive1")}; }

 private:
  LoopLab lab_;
  const std::string root_ = lab_.MakeFilesystem("xfs", 400 * kMiB);
  const bool sparse_;
  sys::PosixCommandRunner commands_;
  std::unique_ptr<FileBackend> backend_;
};

// A pool of File on two drives, as its medium has it.
class FileDrivesUnderTest final : public BackendUnderTest {
 public:
  FileDrivesUnderTest() { Reopen(); }
  StorageBackend& backend() override { return backend_; }
  void Reopen() override {
    std::vector<SpreadPart> parts;
    for (const std::string& root : roots_) {
      auto file = std::make_shared<FileBackend>(commands_, FileBackendOptions{root});
      EXPECT_EQ(file->RemoveLeftovers(), absl::OkStatus());
      parts.push_back({root, std::move(file)});
    }
    backend_.SetParts(std::move(parts), {});
  }

 private:
  LoopLab lab_;
  const std::vector<std::string> roots_ = {lab_.MakeFilesystem("xfs", 320 * kMiB),
                                           lab_.MakeFilesystem("xfs", 400 * kMiB)};
  sys::PosixCommandRunner commands_;
  SpreadBackend backend_;
};

template <size_t kDrives>
class PartitionBackendUnderTest final : public BackendUnderTest {
 public:
  PartitionBackendUnderTest() {
    for (size_t i = 0; i < kDrives; ++i)
      drives_.push_back({absl::StrCat("drive-", i), lab_.MakeDrive(400 * kMiB)});
    for (const PartitionDrive& drive : drives_)
      EXPECT_EQ(PartitionBackend::Claim(drive.device, drive.id, "uid-1"), absl::OkStatus());
    Reopen();
  }
  StorageBackend& backend() override { return *backend_; }
  void Reopen() override {
    backend_.reset();
    backend_ = std::make_unique<PartitionBackend>(commands_, "uid-1", lab_.Path("links"));
    EXPECT_EQ(backend_->SetDrives(drives_, 0), absl::OkStatus());
  }

  std::vector<std::string> Raw() override { return {lab_.Path("drive1")}; }

 private:
  LoopLab lab_;
  std::vector<PartitionDrive> drives_;
  sys::PosixCommandRunner commands_;
  std::unique_ptr<PartitionBackend> backend_;
};

template <size_t kDrives>
class WholeDriveBackendUnderTest final : public BackendUnderTest {
 public:
  static constexpr int64_t kDriveBytes = 400 * kMiB;
  WholeDriveBackendUnderTest() {
    for (size_t i = 0; i < kDrives; ++i) drives_.push_back(lab_.MakeDrive(kDriveBytes));
    Reopen();
  }
  StorageBackend& backend() override { return *backend_; }
  void Reopen() override {
    backend_.reset();
    backend_ = std::make_unique<WholeDriveBackend>(commands_, scanner_, "uid-1",
                                                   lab_.Path("records"), lab_.Path("links"));
    std::vector<WholeDrive> drives;
    const auto found = scanner_.Scan(drives_);
    for (const Drive& drive : *found)
      if (std::count(drives_.begin(), drives_.end(), drive.device) > 0) drives.push_back({drive});
    EXPECT_EQ(backend_->SetDrives(drives, 0, 0).status(), absl::OkStatus());
  }

  std::vector<std::string> Raw() override { return {lab_.Path("drive1")}; }

 private:
  LoopLab lab_;
  std::vector<std::string> drives_;
  sys::PosixCommandRunner commands_;
  sys::KernelMountTable mounts_;
  sys::KernelLoopDevices loops_;
  DriveScanner scanner_{mounts_, loops_};
  std::unique_ptr<WholeDriveBackend> backend_;
};

// On a controller that creates namespaces, or on one that refuses to and has a prepared one.
class NamespaceBackendUnderTest final : public BackendUnderTest {
 public:
  static constexpr int64_t kBytes = 400 * kMiB;
  explicit NamespaceBackendUnderTest(bool prepared) {
    if (prepared) nvme_.SetRefusal(0x4001);
    if (prepared) nvme_.Prepare(kBytes);
    Reopen();
  }
  StorageBackend& backend() override { return *opened_.backend; }
  void Reopen() override {
    opened_.backend.reset();
    medium_.reset();
    PoolRecord record;
    record.spec = {"p", "uid-1", BackendKind::kNamespace, {}, DeviceSource{}};
    medium_ = std::make_unique<NamespaceMedium>(env_, record.spec, subsystems_);
    auto opened = medium_->Open({}, record, [](const PoolRecord&) { return absl::OkStatus(); });
    EXPECT_EQ(opened.status(), absl::OkStatus());
    opened_ = *std::move(opened);
  }

  std::vector<std::string> Raw() override { return nvme_.Media(); }

 private:
  LoopLab lab_;
  FakeNvme nvme_{{.directory = lab_.Path("nvme"), .capacity_bytes = kBytes}};
  RealClock clock_;
  NvmeSubsystems subsystems_{nvme_, clock_, nvme_.sys_root(), nvme_.dev_root()};
  sys::PosixCommandRunner commands_;
  sys::KernelMountTable mounts_;
  sys::KernelLoopDevices loops_;
  DriveScanner scanner_{mounts_, loops_, {nvme_.sys_root(), nvme_.dev_root(), "/proc"}};
  const PoolEnvironment env_{commands_, mounts_, scanner_, lab_.Path("state"), {}};
  std::unique_ptr<NamespaceMedium> medium_;
  OpenedPool opened_;
};

class DirectoryBackendUnderTest final : public BackendUnderTest {
 public:
  DirectoryBackendUnderTest() { Reopen(); }
  StorageBackend& backend() override { return *backend_; }
  void Reopen() override {
    backend_ = std::make_unique<DirectoryBackend>(DirectoryBackendOptions{root_});
    EXPECT_EQ(backend_->Open(), absl::OkStatus());
  }

  std::vector<std::string> Raw() override { return {lab_.Path("drive1")}; }

 private:
  LoopLab lab_;
  const std::string root_ = lab_.MakeFilesystem("btrfs", 600 * kMiB);
  std::unique_ptr<DirectoryBackend> backend_;
};

class LabEnvironment final : public testing::Environment {
 public:
  void SetUp() override { ASHLAR_NEEDS_LOOP_LAB(); }
};
const testing::Environment* const kLab = testing::AddGlobalTestEnvironment(new LabEnvironment);

INSTANTIATE_TEST_SUITE_P(Real, KernelContract,
                         testing::Values(KernelParam{
                             "Real", [] { return std::make_unique<RealKernel>(); }}));

template <bool sparse>
std::unique_ptr<BackendUnderTest> MakeFile() {
  return std::make_unique<FileBackendUnderTest>(sparse);
}

template <bool prepared>
std::unique_ptr<BackendUnderTest> MakeNamespace() {
  return std::make_unique<NamespaceBackendUnderTest>(prepared);
}

template <class Tested>
std::unique_ptr<BackendUnderTest> Make() {
  return std::make_unique<Tested>();
}

INSTANTIATE_TEST_SUITE_P(
    Real, BackendContract,
    testing::Values(BackendParam{"FileFull", MakeFile<false>},
                    BackendParam{"FileSparse", MakeFile<true>},
                    BackendParam{"Directory", Make<DirectoryBackendUnderTest>},
                    BackendParam{"Partition", Make<PartitionBackendUnderTest<1>>},
                    BackendParam{"NamespaceCreated", MakeNamespace<false>, 4 * kMiB},
                    BackendParam{"NamespacePrepared", MakeNamespace<true>,
                                 NamespaceBackendUnderTest::kBytes},
                    BackendParam{"WholeDrive", Make<WholeDriveBackendUnderTest<1>>,
                                 WholeDriveBackendUnderTest<1>::kDriveBytes}),
    [](const auto& param) { return param.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Real, NamedDriveContract,
    testing::Values(BackendParam{"File", MakeFile<false>},
                    BackendParam{"FileDrives", Make<FileDrivesUnderTest>},
                    BackendParam{"Directory", Make<DirectoryBackendUnderTest>},
                    BackendParam{"Partition", Make<PartitionBackendUnderTest<2>>},
                    BackendParam{"NamespaceCreated", MakeNamespace<false>, 4 * kMiB},
                    BackendParam{"NamespacePrepared", MakeNamespace<true>,
                                 NamespaceBackendUnderTest::kBytes},
                    BackendParam{"WholeDrive", Make<WholeDriveBackendUnderTest<2>>,
                                 WholeDriveBackendUnderTest<2>::kDriveBytes}),
    [](const auto& param) { return param.param.name; });

}  // namespace
}  // namespace ashlar::node_agent
