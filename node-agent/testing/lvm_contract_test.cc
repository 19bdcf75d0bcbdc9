// The contract suite of StorageBackend on the backend LVM, inside a guest of the drive lab. The
// drives that it may take are named by serial in ASHLAR_TEST_DRIVES (A,B); all that they hold is
// lost.
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "lib/system/files.h"
#include "node-agent/inventory/drive_scanner.h"
#include "node-agent/storage/lvm/lvm_report.h"
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

std::unique_ptr<BackendUnderTest> MakeLinear() { return std::make_unique<LvmUnderTest>(Spec()); }
std::unique_ptr<BackendUnderTest> MakeThin() {
  PoolSpec spec = Spec();
  spec.sparse = true;
  return std::make_unique<LvmUnderTest>(spec);
}

INSTANTIATE_TEST_SUITE_P(Lvm, BackendContract,
                         testing::Values(BackendParam{"Linear", MakeLinear},
                                         BackendParam{"Thin", MakeThin}),
                         [](const auto& param) { return param.param.name; });

}  // namespace
}  // namespace ashlar::node_agent
