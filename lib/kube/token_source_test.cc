#include "lib/kube/token_source.h"

#include <filesystem>
#include <fstream>

#include "gtest/gtest.h"
#include "lib/base/testing/simulated_clock.h"
#include "lib/base/testing/temporary_directory.h"

namespace ashlar::kube {
namespace {

class TokenSourceTest : public ::testing::Test {
 protected:
  void Write(const std::string& text) { std::ofstream(file_) << text; }

  SimulatedClock clock_;
  TemporaryDirectory directory_;
  const std::string file_ = directory_.path() + "/token";
};

TEST_F(TokenSourceTest, FileIsReadAgainAfterAMinute) {
  Write("one\n");
  TokenSource source("ignored", file_, clock_);
  EXPECT_EQ(*source.Token(), "one");
  Write("two\n");
  EXPECT_EQ(*source.Token(), "one");
  clock_.Advance(absl::Minutes(1));
  EXPECT_EQ(*source.Token(), "two");
}

TEST_F(TokenSourceTest, RefusedTokenIsReadAgainAtOnce) {
  Write("one");
  TokenSource source("", file_, clock_);
  EXPECT_EQ(*source.Token(), "one");
  Write("two");
  EXPECT_TRUE(source.Expire());
  EXPECT_EQ(*source.Token(), "two");
}

TEST_F(TokenSourceTest, LastTokenStaysInUseWhileTheFileIsGone) {
  Write("one");
  TokenSource source("", file_, clock_);
  EXPECT_EQ(*source.Token(), "one");
  std::filesystem::remove(file_);
  clock_.Advance(absl::Minutes(1));
  EXPECT_EQ(*source.Token(), "one");
}

TEST_F(TokenSourceTest, NoFileAndNoTokenYetIsUnavailable) {
  TokenSource source("", file_, clock_);
  EXPECT_EQ(source.Token().status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(TokenSourceTest, FixedTokenNeedsNoFileAndCannotBeRenewed) {
  TokenSource source("fixed", "", clock_);
  EXPECT_EQ(*source.Token(), "fixed");
  EXPECT_FALSE(source.Expire());
}

}  // namespace
}  // namespace ashlar::kube
