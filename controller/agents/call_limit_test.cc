#include "controller/agents/call_limit.h"

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ashlar::controller {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class CallLimitTest : public testing::Test {
 protected:
  std::vector<std::string> woken_;
  CallLimit limit_{2, [this](const std::string& caller) { woken_.push_back(caller); }};
};

TEST_F(CallLimitTest, ANodeThatHasAllItsCallsRefusesAndOtherNodesDoNot) {
  const auto a = limit_.TryTake("n1", "a"), b = limit_.TryTake("n1", "b");
  EXPECT_TRUE(a && b);
  EXPECT_FALSE(limit_.TryTake("n1", "c"));
  EXPECT_TRUE(limit_.TryTake("n2", "c"));
}

TEST_F(CallLimitTest, TheEndOfACallWakesWhoWaitsLongestAndEachOnce) {
  auto a = limit_.TryTake("n1", "a"), b = limit_.TryTake("n1", "b");
  for (const char* caller : {"c", "d", "c"}) EXPECT_FALSE(limit_.TryTake("n1", caller));
  a.reset();
  EXPECT_THAT(woken_, ElementsAre("c"));
  const auto c = limit_.TryTake("n1", "c");
  EXPECT_TRUE(c);
  b.reset();
  EXPECT_THAT(woken_, ElementsAre("c", "d"));
}

TEST_F(CallLimitTest, WhoGotItsCallByItselfIsNotWoken) {
  auto a = limit_.TryTake("n1", "a");
  {
    const auto b = limit_.TryTake("n1", "b");
    EXPECT_FALSE(limit_.TryTake("n1", "c"));
  }
  woken_.clear();
  const auto c = limit_.TryTake("n1", "c");
  a.reset();
  EXPECT_THAT(woken_, IsEmpty());
}

}  // namespace
}  // namespace ashlar::controller
