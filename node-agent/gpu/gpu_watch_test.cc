// The watch with a real helper process and the stand-in for NVML. This program is the helper, too.
#include "node-agent/gpu/gpu_watch.h"

#include <signal.h>

#include <atomic>
#include <filesystem>
#include <fstream>

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

}  // namespace
}  // namespace ashlar::node_agent

int main(int argc, char** argv) {
  if (ashlar::node_agent::IsGpuHelper(argc, argv)) return ashlar::node_agent::RunGpuHelper();
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
