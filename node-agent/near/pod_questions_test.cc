#include "node-agent/near/pod_questions.h"

#include <chrono>
#include <future>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/testing/simulated_clock.h"

namespace ashlar::node_agent {
namespace {

using absl::StatusCode;
using testing::HasSubstr;
using testing::IsEmpty;

class PodQuestionsTest : public testing::Test {
 protected:
  // As another thread asks; it waits for the answer when this returns.
  void Ask(const CallContext& context = {}) {
    ended_ = {};
    thread_ = std::thread([this, context] {
      answer_ = questions_.Find(context, {"ml", "trainer", "uid-1"});
      ended_.set_value();
    });
    clock_.AwaitWaiters(1);
  }
  SimulatedClock clock_;
  int changes_ = 0;
  PodQuestions questions_{clock_, [this] { ++changes_; }};
  absl::StatusOr<std::vector<PodDevice>> answer_;
  std::promise<void> ended_;  // of the asking
  std::thread thread_;
};

TEST_F(PodQuestionsTest, AQuestionStandsUntilItIsAnswered) {
  Ask();
  EXPECT_EQ(changes_, 1);
  ASSERT_EQ(questions_.Open().size(), 1u);
  const uint64_t id = questions_.Open()[0].id;
  EXPECT_EQ(questions_.Open()[0], (PodQuestion{id, "ml", "uid-1"}));
  questions_.Answer(id + 1, {});
  EXPECT_EQ(questions_.Open().size(), 1u) << "an answer to another question";
  questions_.Answer(id, {{"gpu.nvidia.com", "gpu-0", "GPU-a", "", ""}});
  EXPECT_EQ(ended_.get_future().wait_for(std::chrono::seconds(20)), std::future_status::ready)
      << "nobody told who waits";
  clock_.Advance(kControllerTime);  // who was not told gives up
  thread_.join();
  ASSERT_TRUE(answer_.ok()) << answer_.status();
  EXPECT_EQ(answer_->front().uuid, "GPU-a");
  EXPECT_THAT(questions_.Open(), IsEmpty());
  questions_.Answer(id, {});
}

TEST_F(PodQuestionsTest, NobodyWaitsForLongAndTheNextIsAnotherQuestion) {
  Ask();
  const std::vector<PodQuestion> first = questions_.Open();
  clock_.Advance(kControllerTime);
  thread_.join();
  EXPECT_EQ(answer_.status().code(), StatusCode::kUnavailable);
  EXPECT_THAT(std::string(answer_.status().message()),
              HasSubstr("which devices ResourceClaims gave to pod ml/trainer"));
  EXPECT_THAT(questions_.Open(), IsEmpty());

  std::stop_source stop;
  CallContext context;
  context.stop = stop.get_token();
  Ask(context);
  EXPECT_NE(questions_.Open(), first);
  stop.request_stop();
  thread_.join();
  EXPECT_EQ(answer_.status().code(), StatusCode::kUnavailable);
}

TEST_F(PodQuestionsTest, APodWithoutAUidIsNotAskedFor) {
  const auto none = questions_.Find({}, {"ml", "trainer", ""});
  ASSERT_TRUE(none.ok());
  EXPECT_THAT(*none, IsEmpty());
  EXPECT_EQ(changes_, 0);
}

}  // namespace
}  // namespace ashlar::node_agent
