#include "lib/rpc/status.h"

#include "gtest/gtest.h"

namespace ashlar::rpc {
namespace {

TEST(Status, EveryCodeSurvivesTheWayThereAndBack) {
  for (int code = 0; code <= 16; ++code) {
    const absl::Status status(static_cast<absl::StatusCode>(code), code == 0 ? "" : "why");
    EXPECT_EQ(FromGrpc(ToGrpc(status)), status) << code;
  }
}

TEST(Status, CodeThatGrpcDoesNotDefineIsUnknown) {
  EXPECT_EQ(FromGrpc(grpc::Status(static_cast<grpc::StatusCode>(20), "x")),
            absl::UnknownError("x"));
}

TEST(Status, LongMessageIsCutBecauseItTravelsInAHeader) {
  EXPECT_LT(ToGrpc(absl::InternalError(std::string(1 << 20, 'x'))).error_message().size(), 4096);
}

}  // namespace
}  // namespace ashlar::rpc
