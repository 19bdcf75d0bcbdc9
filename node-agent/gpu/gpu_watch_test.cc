// The watch with a real helper process and the stand-in for NVML. This program is the helper, too.
#include "node-agent/gpu/gpu_watch.h"

#include <signal.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/testing/temporary_directory.h"
#include "node-agent/gpu/gpu_helper.h"
#include "nvml.h"
#include "test/fake_nvml/scene.h"

namespace ashlar::node_agent {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class GpuWatchTest : public testing::Test {
 protected:
  GpuWatchTest() {
    std::ofstream(path_) << R"({"gpus": [{"model": "H100-80GB", "pci": "0000:41:00.0"},
                                         {"model": "A100-40GB", "pci": "0000:c1:00.0"}]})";
    setenv("ASHLAR_FAKE_NVML_SCENE", path_.c_str(), 1);
    options_.session.helper = {"/proc/self/exe", kGpuHelperWord};
    options_.session.libraries = {FAKE_NVML_LIBRARY};
    options_.session.open_deadline = absl::Seconds(20);
    options_.session.read_deadline = absl::Milliseconds(1500);
    options_.session.first_pause = absl::Milliseconds(50);
    options_.session.absent_pause = absl::Milliseconds(50);
    options_.patience = absl::Milliseconds(100);
    options_.period = absl::Hours(1);  // what is seen was told by events
  }

  void Start() {
    watch_ = std::make_unique<GpuWatch>(options_, clock_, [this] { ++told_; });
    watch_->Start();
  }
  // Waits until what the watch tells is as it should be, and returns it.
  GpuReport Until(const std::function<bool(const GpuReport&)>& good) {
    for (const absl::Time end = absl::Now() + absl::Seconds(30); absl::Now() < end;
         absl::SleepFor(absl::Milliseconds(5))) {
      const auto latest = watch_->Latest();
      if (good(*latest)) return *latest;
    }
    ADD_FAILURE() << watch_->Latest()->driver.DebugString();
    return *watch_->Latest();
  }
  GpuReport UntilState(const std::string& state) {
    return Until([&](const GpuReport& report) { return report.driver.state() == state; });
  }
  void Change(const std::function<void(fake_nvml::Json&)>& change) {
    fake_nvml::Scene(path_).With([&](fake_nvml::Json& state) {
      change(state);
      return true;
    });
  }
  void Event(size_t gpu, unsigned long long type, unsigned long long data = 0) {
    Change([&](fake_nvml::Json& state) {
      fake_nvml::AddEvent(state, state["gpus"][gpu]["uuid"], type, data);
    });
  }

  const TemporaryDirectory directory_;
  const std::string path_ = directory_.path() + "/scene";
  RealClock clock_;
  GpuWatchOptions options_;
  std::atomic<int> told_ = 0;
  std::unique_ptr<GpuWatch> watch_;
};

TEST_F(GpuWatchTest, TellsOfTheGpusThatThereAre) {
  Start();
  const GpuReport report = UntilState("Ready");
  ASSERT_EQ(report.gpus.size(), 2u);
  EXPECT_EQ(report.gpus[0].pci_address(), "0000:41:00.0");
  EXPECT_EQ(report.gpus[1].architecture(), "Ampere");
  EXPECT_EQ(report.driver.version(), "580.65.06");
  EXPECT_GE(told_, 1);
}

TEST_F(GpuWatchTest, WithoutALibraryOrADriverThereAreNoGpusAndThatIsSaid) {
  options_.session.libraries = {directory_.path() + "/libnvidia-ml.so.1"};
  Start();
  EXPECT_TRUE(UntilState("NoLibrary").gpus.empty());
  std::error_code ignored;  // it is installed later
  std::filesystem::create_symlink(FAKE_NVML_LIBRARY, options_.session.libraries[0], ignored);
  EXPECT_EQ(UntilState("Ready").gpus.size(), 2u);
  watch_->Stop();
  Change([](fake_nvml::Json& state) { state["driver"]["gone"] = true; });
  Start();
  EXPECT_THAT(UntilState("NoDriver").driver.message(), HasSubstr("Driver Not Loaded"));
}

TEST_F(GpuWatchTest, WhatPlacementHealthAndPowerNeedIsTold) {
  Change([](fake_nvml::Json& state) {
    fake_nvml::Json& gpu = state["gpus"][0];
    gpu["power"] = 512400;
    gpu["powerLimit"] = 600000;
    gpu["clocksEventReasons"] = 0x8 | 0x40 | 0x4;
    gpu["ecc"]["uncorrected"] = 1;
    gpu["ecc"]["lifetime"] = 4;
    gpu["rows"]["failed"] = true;
    gpu["repair"]["channel"] = true;
    gpu["replays"] = 7;
    gpu["linkErrors"] = 3;
    gpu["computeMode"] = 3;
    gpu["persistence"] = false;
    gpu["platform"] = {
        {"chassis", "1820224000123"}, {"slot", 4}, {"tray", 2}, {"host", 1}, {"module", 3}};
    gpu["link"]["width"] = 8;
    state["gpus"][1]["link"]["generation"] = 1;
  });
  Start();
  const GpuReport report = UntilState("Ready");
  ASSERT_EQ(report.gpus.size(), 2u);
  const v1alpha1::Gpu& gpu = report.gpus[0];
  EXPECT_EQ(gpu.power().usage_watts(), 512);
  EXPECT_EQ(gpu.power().limit_watts(), 600);
  EXPECT_EQ(gpu.power().default_limit_watts(), 700);
  EXPECT_THAT(gpu.health().slowdowns(), testing::ElementsAre("HwSlowdown", "HwThermalSlowdown"))
      << "that a limit of power is reached is no trouble";
  EXPECT_EQ(gpu.health().shutdown_celsius(), 92);
  EXPECT_EQ(gpu.health().ecc_uncorrected(), 1);
  EXPECT_EQ(gpu.health().ecc_uncorrected_lifetime(), 5);
  EXPECT_EQ(gpu.health().banks_without_spare_rows(), 1);
  EXPECT_TRUE(gpu.health().channel_repair_pending());
  EXPECT_FALSE(gpu.health().tpc_repair_pending());
  EXPECT_EQ(gpu.health().pcie_replays(), 7);
  EXPECT_EQ(gpu.health().nvlink_errors(), 3);
  EXPECT_EQ(gpu.firmware(), "96.00.74.00.01");
  EXPECT_EQ(gpu.compute_mode(), "ExclusiveProcess");
  EXPECT_TRUE(gpu.has_persistence());
  EXPECT_FALSE(gpu.persistence());
  EXPECT_EQ(gpu.addressing_mode(), "HMM");
  EXPECT_EQ(gpu.fabric().health(), "Healthy");
  EXPECT_EQ(gpu.platform().chassis_serial(), "1820224000123");
  EXPECT_EQ(gpu.platform().tray(), 2);
  EXPECT_EQ(gpu.max_link_speed(), "32.0 GT/s");
  EXPECT_EQ(gpu.health().link_problem(), "8 of 16 lanes");
  EXPECT_EQ(report.gpus[1].health().link_problem(), "2.5 GT/s in place of 16.0 GT/s");
  EXPECT_FALSE(report.gpus[1].has_platform());
  // One that rests may be slow; nobody tells of that, nor of a limit that somebody sets.
  Change([](fake_nvml::Json& state) {
    state["gpus"][1]["performanceState"] = 8;
    state["gpus"][0]["powerLimit"] = 300000;
  });
  watch_->ReadSoon();
  Until([](const GpuReport& r) { return r.gpus[1].health().link_problem().empty(); });
  Until([](const GpuReport& r) { return r.gpus[0].power().limit_watts() == 300; });
}

TEST_F(GpuWatchTest, AnXidIsToldAtOnceAndKept) {
  Start();
  UntilState("Ready");
  Event(0, nvmlEventTypeXidCriticalError, 48);
  const auto xids = [](const GpuReport& r) { return r.gpus[0].health().xids_size(); };
  Until([&](const GpuReport& r) { return xids(r) == 1; });
  Event(0, nvmlEventTypeXidCriticalError, 79);
  const GpuReport report = Until([&](const GpuReport& r) { return xids(r) == 2; });
  EXPECT_EQ(report.gpus[0].health().xids(1).code(), 79);
  EXPECT_GT(report.gpus[0].health().xids(1).at().seconds(), 1700000000);
  EXPECT_EQ(report.gpus[1].health().xids_size(), 0);
}

TEST_F(GpuWatchTest, XidsAreForgottenWhenTheDriverHasTheRecoveryThatItAskedFor) {
  Start();
  UntilState("Ready");
  const auto asks = [this](int action) {
    Change([&](fake_nvml::Json& state) { state["gpus"][0]["recovery"] = action; });
  };
  asks(1);
  Event(0, nvmlEventTypeXidCriticalError, 79);
  Until([](const GpuReport& r) { return r.gpus[0].health().recovery_action() == "Reset"; });
  EXPECT_EQ(watch_->Latest()->gpus[0].health().xids_size(), 1);
  asks(0);
  Event(0, nvmlEventTypeGpuRecoveryAction);
  const GpuReport report =
      Until([](const GpuReport& r) { return r.gpus[0].health().recovery_action() == "None"; });
  EXPECT_EQ(report.gpus[0].health().xids_size(), 0);
  Event(0, nvmlEventTypeXidCriticalError, 48);
  Until([](const GpuReport& r) { return r.gpus[0].health().xids_size() == 1; });
}

TEST_F(GpuWatchTest, MemoryErrorsAndDivisionsAreReadWhenTheyAreTold) {
  Start();
  UntilState("Ready");
  Change([](fake_nvml::Json& state) {
    state["gpus"][1]["rows"] = {
        {"corrected", 0}, {"uncorrected", 1}, {"pending", true}, {"failed", false}};
  });
  Event(1, nvmlEventTypeDramRetirementEvent);
  Until([](const GpuReport& r) { return r.gpus[1].health().row_remap_pending(); });
  Change([](fake_nvml::Json& state) {
    state["gpus"][0]["mig"] = {{"current", true},
                               {"pending", true},
                               {"instances",
                                {{{"id", 1},
                                  {"profile", 9},
                                  {"start", 4},
                                  {"size", 4},
                                  {"clients", 0},
                                  {"compute", fake_nvml::Json::array()}}}}};
  });
  Event(0, nvmlEventMigConfigChange);
  const GpuReport report =
      Until([](const GpuReport& r) { return r.gpus[0].mig().instances_size() == 1; });
  EXPECT_EQ(report.gpus[0].mig().instances(0).profile(), "3g.40gb");
  for (const v1alpha1::MigProfile& profile : report.gpus[0].mig().profiles())
    if (profile.name() == "2g.20gb") {
      EXPECT_EQ(profile.remaining(), 2);
      EXPECT_TRUE(profile.placements(0).free() && profile.placements(1).free());
      EXPECT_FALSE(profile.placements(2).free());
    }
}

TEST_F(GpuWatchTest, ACallThatHangsIsNamedAndItsProcessReplaced) {
  Start();
  UntilState("Ready");
  Change([](fake_nvml::Json& state) { state["hang"] = {"nvmlDeviceGetEccMode"}; });
  Event(0, nvmlEventTypeXidCriticalError, 119);
  const GpuReport hung = UntilState("Hung");
  EXPECT_THAT(hung.driver.message(), StartsWith("nvmlDeviceGetEccMode did not return within"));
  EXPECT_EQ(hung.gpus.size(), 2u) << "they are as they were told last";
  Change([](fake_nvml::Json& state) { state["hang"] = fake_nvml::Json::array(); });
  const GpuReport back = UntilState("Ready");
  EXPECT_EQ(back.gpus.size(), 2u);
  EXPECT_EQ(back.driver.message(), "");
  EXPECT_EQ(back.gpus[0].health().xids_size(), 1) << "what was told before is not forgotten";
}

TEST_F(GpuWatchTest, AGpuThatIsLostSaysSoAndTheOthersStayGood) {
  Start();
  UntilState("Ready");
  Change([](fake_nvml::Json& state) { state["gpus"][0]["lost"] = true; });
  const GpuReport report =
      Until([](const GpuReport& r) { return !r.gpus[0].health().problem().empty(); });
  EXPECT_EQ(report.driver.state(), "Ready");
  ASSERT_EQ(report.gpus.size(), 2u);
  EXPECT_THAT(report.gpus[0].health().problem(), HasSubstr("GPU is lost"));
  EXPECT_EQ(report.gpus[0].product(), "NVIDIA H100 80GB HBM3");
  EXPECT_EQ(report.gpus[1].health().problem(), "");
  // The other one is still listened to.
  Event(1, nvmlEventTypeXidCriticalError, 63);
  Until([](const GpuReport& r) { return r.gpus[1].health().xids_size() == 1; });
}

TEST_F(GpuWatchTest, AHelperThatDiesIsReplaced) {
  GpuSession session(options_.session, clock_);
  EXPECT_EQ(session.Open({}).count, 2);
  std::string name;
  std::ifstream("/proc/" + std::to_string(session.helper_pid()) + "/comm") >> name;
  EXPECT_EQ(name, "ashlar-gpu") << "as ps shows it";
  kill(session.helper_pid(), SIGKILL);
  EXPECT_FALSE(session.Read({}, 0).ok());
  EXPECT_EQ(session.Trouble().state(), "Failed");
  EXPECT_EQ(session.Open({}).count, 2);
  EXPECT_TRUE(session.Read({}, 1).ok());
}

TEST_F(GpuWatchTest, PausesDoubleWhileTheDriverHangs) {
  options_.session.open_deadline = absl::Milliseconds(50);
  options_.session.longest_pause = absl::Milliseconds(200);
  fake_nvml::Scene(path_).With([](fake_nvml::Json& state) {
    state["hang"] = {"*"};
    return true;
  });
  GpuSession session(options_.session, clock_);
  std::vector<absl::Duration> pauses;
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(session.Open({}).driver.state(), "Hung");
    pauses.push_back(session.RetryAt() - clock_.Now());
  }
  EXPECT_LE(pauses[0], absl::Milliseconds(50));
  EXPECT_GT(pauses[2], absl::Milliseconds(120));
  EXPECT_LE(pauses[3], absl::Milliseconds(200));
}

TEST(GpuReport, AFewDegreesAreNoNews) {
  GpuReport before;
  before.gpus.emplace_back().mutable_health()->set_temperature_celsius(40);
  GpuReport after = before;
  after.gpus[0].mutable_health()->set_temperature_celsius(49);
  EXPECT_FALSE(IsNews(before, after));
  after.gpus[0].mutable_health()->set_temperature_celsius(50);
  EXPECT_TRUE(IsNews(before, after));
  after = before;
  after.gpus[0].mutable_health()->set_ecc_uncorrected(1);
  EXPECT_TRUE(IsNews(before, after));
}

TEST(GpuReport, WattsAndErrorsOfLinksAreNewsWhenThereAreManyMore) {
  GpuReport before;
  v1alpha1::Gpu& gpu = before.gpus.emplace_back();
  gpu.mutable_power()->set_usage_watts(300);
  gpu.mutable_health()->set_pcie_replays(10);
  gpu.mutable_health()->set_nvlink_errors(0);
  const auto news = [&](const std::function<void(v1alpha1::Gpu&)>& change) {
    GpuReport after = before;
    change(after.gpus[0]);
    return IsNews(before, after);
  };
  EXPECT_FALSE(news([](v1alpha1::Gpu& its) { its.mutable_power()->set_usage_watts(251); }));
  EXPECT_TRUE(news([](v1alpha1::Gpu& its) { its.mutable_power()->set_usage_watts(350); }));
  EXPECT_TRUE(news([](v1alpha1::Gpu& its) { its.mutable_power()->set_limit_watts(1); }));
  EXPECT_FALSE(news([](v1alpha1::Gpu& its) { its.mutable_health()->set_pcie_replays(20); }));
  EXPECT_TRUE(news([](v1alpha1::Gpu& its) { its.mutable_health()->set_pcie_replays(21); }));
  EXPECT_TRUE(news([](v1alpha1::Gpu& its) { its.mutable_health()->set_pcie_replays(0); }))
      << "the driver was loaded anew";
  EXPECT_TRUE(news([](v1alpha1::Gpu& its) { its.mutable_health()->set_nvlink_errors(1); }));
}

}  // namespace
}  // namespace ashlar::node_agent

int main(int argc, char** argv) {
  if (ashlar::node_agent::IsGpuHelper(argc, argv)) return ashlar::node_agent::RunGpuHelper();
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
