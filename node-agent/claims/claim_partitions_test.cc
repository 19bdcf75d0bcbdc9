// Claims of parts of GPUs, made by a real helper process on the stand-in for NVML. This program is
// the helper, too.
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/system/files.h"
#include "node-agent/gpu/partition/testing/partition_lab.h"
#include "node-agent/testing/claim_stack.h"

namespace ashlar::node_agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ClaimPartitionsTest : public PartitionLab {
 protected:
  static GpuSessionOptions Patient(GpuSessionOptions session) {
    session.change_deadline = absl::Seconds(20);
    return session;
  }
  void SetUp() override {
    auto report = std::make_shared<GpuReport>();
    report->driver.set_state("Ready");
    report->gpus.emplace_back().set_uuid(uuids_[0]);
    report->gpus.back().set_minor(0);
    stack_.gpus = report;
    ASSERT_EQ(stack_.claims->Ensure({}, {"u", "space", "name", {Device("a", 0), Device("b", 4)}})
                  .status(),
              absl::OkStatus());
  }
  ClaimDevice Device(const std::string& request, int start) {
    return {kGpuDriver, request,
            "n1",       absl::StrCat("part-", start),
            "",         ClaimGpuPartition{uuids_[0], "3g.40gb", start, 4, 0}};
  }
  // The driver tells of two nodes for each instance that there may be.
  void MakeCapabilities() {
    const std::string nodes = stack_.temporary.path() + "/dev/nvidia-caps/";
    std::filesystem::create_directories(nodes);
    for (int gi = 0; gi < 15; ++gi) {
      const std::string folder = absl::StrCat(
          stack_.temporary.path(), "/proc/driver/nvidia/capabilities/gpu0/mig/gi", gi, "/");
      std::filesystem::create_directories(folder + "ci0");
      std::ofstream(folder + "access")
          << "DeviceFileMinor: " << 10 * gi << "\nDeviceFileMode: 292\n";
      std::ofstream(folder + "ci0/access") << "DeviceFileMinor: " << 10 * gi + 1 << "\n";
      std::ofstream(absl::StrCat(nodes, "nvidia-cap", 10 * gi)) << "node";
      std::ofstream(absl::StrCat(nodes, "nvidia-cap", 10 * gi + 1)) << "node";
    }
  }
  absl::StatusOr<std::vector<ClaimDeviceStatus>> Prepare() {
    return stack_.claims->Prepare({}, kGpuDriver, "u", absl::InfinitePast());
  }
  absl::Status Unprepare() {
    return stack_.claims->Unprepare({}, kGpuDriver, "u", absl::InfinitePast());
  }

  RealClock clock_;
  ClaimStack stack_{clock_, Patient(session_)};
};

TEST_F(ClaimPartitionsTest, PartsAreMadeForTheClaimAndGoWithIt) {
  MakeCapabilities();
  const auto prepared = Prepare();
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  EXPECT_EQ(Instances(), 2u);
  const fake_nvml::Json first = Mig()["instances"][0];
  const int gi = first["id"];
  EXPECT_EQ(prepared->at(0).mig_device, first["compute"][0]["uuid"]);
  const auto file = ParseJson(*sys::ReadFile(stack_.CdiFile(kGpuDriver, "u")));
  const Json edits = (*file)["devices"][0]["containerEdits"];
  EXPECT_EQ(edits["env"], Json::array({"NVIDIA_VISIBLE_DEVICES=" + prepared->at(0).mig_device}));
  EXPECT_EQ(edits["mounts"][0]["containerPath"],
            "/var/run/nvidia-container-devices/" + prepared->at(0).mig_device);
  std::vector<std::string> nodes;
  for (const Json& node : edits["deviceNodes"]) nodes.push_back(node["path"]);
  EXPECT_THAT(nodes, ElementsAre("/dev/nvidia0", "/dev/nvidiactl", "/dev/nvidia-uvm",
                                 absl::StrCat("/dev/nvidia-caps/nvidia-cap", 10 * gi),
                                 absl::StrCat("/dev/nvidia-caps/nvidia-cap", 10 * gi + 1)));
  stack_.Start("boot-1");
  EXPECT_EQ(Prepare()->at(1).mig_device, prepared->at(1).mig_device) << "another agent, the same";
  EXPECT_EQ(stack_.claims->List()[0].devices[1].mig_device, prepared->at(1).mig_device);
  EXPECT_EQ(Instances(), 2u);
  ASSERT_EQ(Unprepare(), absl::OkStatus());
  EXPECT_EQ(Instances(), 0u);
  stack_.ExpectNothing();
}

TEST_F(ClaimPartitionsTest, PartThatContainersCannotReachIsNoneAndGoes) {
  const auto prepared = Prepare();
  EXPECT_THAT(std::string(prepared.status().message()),
              HasSubstr("/proc/driver/nvidia/capabilities/gpu0/mig/gi"));
  EXPECT_EQ(Instances(), 1u);
  EXPECT_THAT(stack_.claims->List()[0].devices[0].problem, HasSubstr("capabilities"));
  ASSERT_EQ(Unprepare(), absl::OkStatus());
  EXPECT_EQ(Instances(), 0u);
}

TEST_F(ClaimPartitionsTest, PartOfAClaimThatIsGoneIsTakenAwayAtStart) {
  MakeCapabilities();
  ASSERT_TRUE(Prepare().ok());
  std::filesystem::remove(stack_.temporary.path() + "/records/u.json");
  stack_.Start("boot-1");
  EXPECT_EQ(Instances(), 0u);
  stack_.ExpectNothing();
}

TEST_F(ClaimPartitionsTest, WhyAPartCannotBeMadeIsTold) {
  MakeCapabilities();
  AddForeign(9, 19, 0, 1, "MIG-foreign");
  EXPECT_THAT(std::string(Prepare().status().message()), HasSubstr("NoRoom"));
  EXPECT_THAT(stack_.claims->List()[0].devices[0].problem, HasSubstr("NoRoom"));
  EXPECT_EQ(Unprepare(), absl::OkStatus());
  EXPECT_EQ(Instances(), 1u) << "what others made stays";
}

}  // namespace
}  // namespace ashlar::node_agent

int main(int argc, char** argv) { return ashlar::node_agent::PartitionLabMain(argc, argv); }
