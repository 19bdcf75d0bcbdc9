#include "lib/kube/api_error.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace ashlar::kube {
namespace {

absl::StatusCode CodeOf(int64_t http, const std::string& reason) {
  switch (http) {
    case 400:
    case 413:
    case 422:
      return absl::StatusCode::kInvalidArgument;
    case 401:
      return absl::StatusCode::kUnauthenticated;
    case 403:
      return absl::StatusCode::kPermissionDenied;
    case 404:
      return absl::StatusCode::kNotFound;
    case 405:
    case 406:
    case 415:
      return absl::StatusCode::kUnimplemented;
    case 409:
      return reason == "AlreadyExists" ? absl::StatusCode::kAlreadyExists
                                       : absl::StatusCode::kAborted;
    case 410:
      return absl::StatusCode::kOutOfRange;
    case 504:
    case 429:
      return absl::StatusCode::kUnavailable;
    default:
      return http >= 500 ? absl::StatusCode::kUnavailable : absl::StatusCode::kUnknown;
  }
}

// Causes that the message does not hold already: ` [spec.size: Invalid value]`.
std::string Causes(const Json& status, absl::string_view message) {
  const Json* causes = FindJson(status, {"details", "causes"});
  if (causes == nullptr || !causes->is_array()) return "";
  std::string text;
  for (const Json& cause : *causes) {
    const std::string said = JsonString(cause, {"message"});
    const std::string field = JsonString(cause, {"field"});
    if (said.empty() || absl::StrContains(message, said)) continue;
    absl::StrAppend(&text, text.empty() ? " [" : "; ", field, field.empty() ? "" : ": ", said);
  }
  return text.empty() ? text : text + "]";
}

bool IsStatus(const Json& value) { return JsonString(value, {"kind"}) == "Status"; }

absl::Status Make(int64_t http, const Json& status, absl::string_view otherwise,
                  const std::string& what) {
  std::string message = JsonString(status, {"message"});
  if (message.empty()) message = std::string(absl::StripAsciiWhitespace(otherwise.substr(0, 500)));
  if (message.empty()) message = "no reason was given";
  return absl::Status(CodeOf(http, JsonString(status, {"reason"})),
                      absl::StrCat(what, ": ", message, Causes(status, message), " (", http, ")"));
}

}  // namespace

absl::Status ErrorOf(const http::Response& response, const std::string& what) {
  const auto body = ParseJson(response.body);
  return Make(response.status, body.ok() && IsStatus(*body) ? *body : Json(), response.body, what);
}

absl::Status ErrorOf(const Json& status, const std::string& what) {
  return Make(JsonInt(status, {"code"}, 500), status, "", what);
}

std::optional<absl::Duration> RetryAfter(const http::Response& response) {
  int seconds = 0;
  if (auto header = response.headers.find("retry-after");
      header != response.headers.end() && absl::SimpleAtoi(header->second, &seconds) &&
      seconds >= 0)
    return absl::Seconds(seconds);
  const auto body = ParseJson(response.body);
  const int64_t asked = body.ok() ? JsonInt(*body, {"details", "retryAfterSeconds"}, -1) : -1;
  if (asked < 0) return std::nullopt;
  return absl::Seconds(asked);
}

}  // namespace ashlar::kube
