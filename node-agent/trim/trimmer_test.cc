#include "node-agent/trim/trimmer.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/testing/simulated_clock.h"
#include "node-agent/trim/trim_plan.h"

namespace ashlar::node_agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int64_t kGiB = int64_t{1} << 30;

// Filesystems of 10 GiB, of which each piece gives 1 byte back.
class RecordedTrim final : public sys::FilesystemTrim {
 public:
  absl::StatusOr<int64_t> Trim(const std::string& mount_point, uint32_t major, uint32_t minor,
                               int64_t start, int64_t length) override {
    MutexLock lock(mu_);
    if (!failure_.ok()) return failure_;
    if (start >= 10 * kGiB) return absl::OutOfRangeError("behind the end");
    pieces_.push_back(
        absl::StrCat(mount_point, " ", major, ":", minor, " ", start / kGiB, "+", length / kGiB));
    return 1;
  }
  void Fail(absl::Status failure) {
    MutexLock lock(mu_);
    failure_ = std::move(failure);
  }
  std::vector<std::string> Pieces() {
    MutexLock lock(mu_);
    return pieces_;
  }

 private:
  Mutex mu_;
  absl::Status failure_ ABSL_GUARDED_BY(mu_);
  std::vector<std::string> pieces_ ABSL_GUARDED_BY(mu_);
};

class TrimmerTest : public ::testing::Test {
 protected:
  VolumeUse Use(TrimSchedule schedule) {
    VolumeUse use;
    use.id = "v1";
    use.device = {7, 1};
    use.mount_point = "/staging";
    use.returns_space = true;
    use.attributes.trim = schedule;
    return use;
  }
  // What the trimmer has done after `duration` with these in use.
  std::vector<std::string> After(std::vector<VolumeUse> uses, absl::Duration duration) {
    Trimmer trimmer(
        trim_, [uses] { return uses; }, clock_, registry_);
    trimmer.Start();
    for (absl::Duration passed; passed < duration; passed += absl::Minutes(30)) {
      clock_.AwaitWaiters(1);
      clock_.Advance(absl::Minutes(30));
      // A trim sleeps between its pieces.
      for (int i = 0; i < 4; ++i) {
        clock_.AwaitWaiters(1);
        clock_.Advance(absl::Milliseconds(100));
      }
    }
    clock_.AwaitWaiters(1);
    trimmer.Stop();
    return trim_.Pieces();
  }

  SimulatedClock clock_;
  metrics::Registry registry_;
  RecordedTrim trim_;
};

TEST_F(TrimmerTest, TrimsAVolumeInPiecesWhenItIsDue) {
  EXPECT_THAT(After({Use(TrimSchedule::kDaily)}, absl::Hours(25)),
              ElementsAre("/staging 7:1 0+4", "/staging 7:1 4+4", "/staging 7:1 8+4"));
  EXPECT_THAT(registry_.Text(), HasSubstr("ashlar_agent_trimmed_bytes_total 3"));
  EXPECT_THAT(registry_.Text(), HasSubstr("ashlar_agent_trims_total 1"));
  EXPECT_THAT(registry_.Text(), HasSubstr("ashlar_agent_trim_errors_total 0"));
}

TEST_F(TrimmerTest, LeavesAloneWhatShallNotOrCannotBeTrimmed) {
  VolumeUse full = Use(TrimSchedule::kDaily), block = Use(TrimSchedule::kDaily);
  full.returns_space = false;
  block.mount_point.clear();
  EXPECT_THAT(After({Use(TrimSchedule::kNever), full, block}, absl::Hours(25)), IsEmpty());
}

TEST_F(TrimmerTest, CountsFailuresAndTriesAgainTheNextTime) {
  trim_.Fail(absl::UnimplementedError("the device does not discard"));
  After({Use(TrimSchedule::kDaily)}, absl::Hours(25));
  EXPECT_THAT(registry_.Text(), HasSubstr("ashlar_agent_trim_errors_total 1"));
  EXPECT_THAT(registry_.Text(), HasSubstr("ashlar_agent_trims_total 0"));
}

TEST_F(TrimmerTest, AnEndBeforeTheFirstPieceIsAFailure) {
  trim_.Fail(absl::OutOfRangeError("EINVAL"));
  After({Use(TrimSchedule::kDaily)}, absl::Hours(25));
  EXPECT_THAT(registry_.Text(), HasSubstr("ashlar_agent_trim_errors_total 1"));
}

TEST_F(TrimmerTest, AVolumeThatWasUnmountedMeanwhileIsNoFailure) {
  trim_.Fail(absl::NotFoundError("not mounted"));
  After({Use(TrimSchedule::kDaily)}, absl::Hours(25));
  EXPECT_THAT(registry_.Text(), HasSubstr("ashlar_agent_trim_errors_total 0"));
}

}  // namespace
}  // namespace ashlar::node_agent
