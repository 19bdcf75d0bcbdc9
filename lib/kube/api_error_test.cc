#include "lib/kube/api_error.h"

#include "gtest/gtest.h"

namespace ashlar::kube {
namespace {

TEST(ApiError, EveryHttpCodeHasTheMeaningThatClientsDependOn) {
  struct Case {
    int http;
    const char* reason;
    absl::StatusCode code;
  };
  for (const Case& c : {Case{400, "BadRequest", absl::StatusCode::kInvalidArgument},
                        Case{401, "Unauthorized", absl::StatusCode::kUnauthenticated},
                        Case{403, "Forbidden", absl::StatusCode::kPermissionDenied},
                        Case{404, "NotFound", absl::StatusCode::kNotFound},
                        Case{405, "MethodNotAllowed", absl::StatusCode::kUnimplemented},
                        Case{409, "AlreadyExists", absl::StatusCode::kAlreadyExists},
                        Case{409, "Conflict", absl::StatusCode::kAborted},
                        Case{410, "Expired", absl::StatusCode::kOutOfRange},
                        Case{422, "Invalid", absl::StatusCode::kInvalidArgument},
                        Case{429, "TooManyRequests", absl::StatusCode::kUnavailable},
                        Case{500, "InternalError", absl::StatusCode::kUnavailable},
                        Case{503, "ServiceUnavailable", absl::StatusCode::kUnavailable}}) {
    const Json status{{"kind", "Status"}, {"reason", c.reason}, {"message", "why"}};
    const absl::Status error = ErrorOf(http::Response{c.http, {}, DumpJson(status)}, "get pods x");
    EXPECT_EQ(error.code(), c.code) << c.http << " " << c.reason;
    EXPECT_EQ(error.message(), absl::StrCat("get pods x: why (", c.http, ")"));
  }
}

TEST(ApiError, CausesAreNamedUnlessTheMessageHoldsThem) {
  const Json status = *ParseJson(R"({"kind":"Status","code":422,"message":"is invalid: too small",
    "details":{"causes":[{"field":"spec.size","message":"too small"},
                         {"field":"spec.pool","message":"is immutable"}]}})");
  EXPECT_EQ(ErrorOf(status, "create volumes v").message(),
            "create volumes v: is invalid: too small [spec.pool: is immutable] (422)");
}

TEST(ApiError, BodyThatIsNoStatusIsQuoted) {
  EXPECT_EQ(ErrorOf(http::Response{404, {}, "404 page not found\n"}, "list x").message(),
            "list x: 404 page not found (404)");
}

TEST(ApiError, RetryAfterComesFromHeaderOrDetails) {
  EXPECT_EQ(RetryAfter({429, {{"retry-after", "7"}}, ""}), absl::Seconds(7));
  EXPECT_EQ(RetryAfter({429, {}, R"({"details":{"retryAfterSeconds":3}})"}), absl::Seconds(3));
  EXPECT_EQ(RetryAfter({429, {{"retry-after", "Fri, 31 Dec"}}, ""}), std::nullopt);
}

}  // namespace
}  // namespace ashlar::kube
