#include "lib/rpc/redact.h"

#include "csi.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ashlar::rpc {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Redact, LeavesOutEveryFieldThatTheProtoCallsSecret) {
  csi::v1::CreateVolumeRequest request;
  request.set_name("pvc-1");
  (*request.mutable_secrets())["password"] = "hunter2";
  (*request.mutable_parameters())["pool"] = "fast";
  const std::string text = Redact(request);
  EXPECT_THAT(text, HasSubstr("pvc-1"));
  EXPECT_THAT(text, HasSubstr("fast"));
  EXPECT_THAT(text, Not(HasSubstr("hunter2")));
  EXPECT_THAT(text, Not(HasSubstr("password")));
}

TEST(Redact, OneLineAndBounded) {
  csi::v1::CreateVolumeRequest request;
  request.set_name("a\nb" + std::string(1 << 20, 'x'));
  const std::string text = Redact(request);
  EXPECT_THAT(text, Not(HasSubstr("\n")));
  EXPECT_LT(text.size(), 3000);
}

TEST(Redact, LeavesOutWhatItDoesNotKnow) {
  csi::v1::CreateVolumeRequest request;
  csi::v1::CreateVolumeRequest::GetReflection()->MutableUnknownFields(&request)->AddLengthDelimited(
      999, "hunter2");
  EXPECT_THAT(Redact(request), Not(HasSubstr("hunter2")));
}

}  // namespace
}  // namespace ashlar::rpc
