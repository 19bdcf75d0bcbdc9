#include "standalone/api_error.h"

#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace ashlar::standalone {
namespace {

constexpr char kPayload[] = "ashlar.dev/metav1.Status";

absl::Status Make(absl::StatusCode code, int http, absl::string_view reason,
                  const std::string& message, Json details = nullptr) {
  Json object = {{"kind", "Status"},    {"apiVersion", "v1"}, {"metadata", Json::object()},
                 {"status", "Failure"}, {"message", message}, {"reason", std::string(reason)},
                 {"code", http}};
  if (!details.is_null()) object["details"] = std::move(details);
  absl::Status status(code, message);
  status.SetPayload(kPayload, absl::Cord(DumpJson(object)));
  return status;
}

Json Details(const api::KindInfo& info, absl::string_view name) {
  Json details = {{"kind", info.plural}};
  if (!name.empty()) details["name"] = std::string(name);
  if (!info.group.empty()) details["group"] = info.group;
  return details;
}

Json CausesJson(const std::vector<Cause>& causes) {
  Json list = Json::array();
  for (const Cause& cause : causes) {
    list.push_back({{"reason", cause.reason}, {"message", cause.message}, {"field", cause.field}});
  }
  return list;
}

std::string Quoted(const api::KindInfo& info, absl::string_view name) {
  return absl::StrCat(QualifiedResource(info), " \"", name, "\"");
}

struct Fallback {
  int code;
  const char* reason;
};

Fallback FallbackOf(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kNotFound:
      return {404, "NotFound"};
    case absl::StatusCode::kAlreadyExists:
      return {409, "AlreadyExists"};
    case absl::StatusCode::kAborted:
      return {409, "Conflict"};
    case absl::StatusCode::kInvalidArgument:
      return {400, "BadRequest"};
    case absl::StatusCode::kOutOfRange:
      return {410, "Expired"};
    case absl::StatusCode::kPermissionDenied:
      return {403, "Forbidden"};
    case absl::StatusCode::kUnauthenticated:
      return {401, "Unauthorized"};
    case absl::StatusCode::kUnavailable:
      return {503, "ServiceUnavailable"};
    default:
      return {500, "InternalError"};
  }
}

}  // namespace

std::string QualifiedResource(const api::KindInfo& info) {
  return info.group.empty() ? info.plural : absl::StrCat(info.plural, ".", info.group);
}

absl::Status NotFound(const api::KindInfo& info, absl::string_view name) {
  return Make(absl::StatusCode::kNotFound, 404, "NotFound",
              absl::StrCat(Quoted(info, name), " not found"), Details(info, name));
}

absl::Status AlreadyExists(const api::KindInfo& info, absl::string_view name) {
  return Make(absl::StatusCode::kAlreadyExists, 409, "AlreadyExists",
              absl::StrCat(Quoted(info, name), " already exists"), Details(info, name));
}

absl::Status Conflict(const api::KindInfo& info, absl::string_view name, absl::string_view why) {
  return Make(absl::StatusCode::kAborted, 409, "Conflict",
              absl::StrCat("Operation cannot be fulfilled on ", Quoted(info, name), ": ", why),
              Details(info, name));
}

absl::Status ApplyConflict(const std::vector<Cause>& causes) {
  std::string message =
      absl::StrCat("Apply failed with ", causes.size(), " conflict", causes.size() == 1 ? "" : "s",
                   ": ", absl::StrJoin(causes, ", ", [](std::string* out, const Cause& cause) {
                     absl::StrAppend(out, cause.message, ": ", cause.field);
                   }));
  return Make(absl::StatusCode::kAborted, 409, "Conflict", message,
              {{"causes", CausesJson(causes)}});
}

absl::Status Forbidden(const api::KindInfo& info, absl::string_view name, absl::string_view why) {
  return Make(absl::StatusCode::kPermissionDenied, 403, "Forbidden",
              absl::StrCat(Quoted(info, name), " is forbidden: ", why), Details(info, name));
}

absl::Status Invalid(const api::KindInfo& info, absl::string_view name,
                     const std::vector<Cause>& causes) {
  std::vector<std::string> texts;
  for (const Cause& cause : causes) texts.push_back(absl::StrCat(cause.field, ": ", cause.message));
  std::string all = absl::StrJoin(texts, ", ");
  if (texts.size() > 1) all = absl::StrCat("[", all, "]");
  const std::string kind =
      info.group.empty() ? info.kind : absl::StrCat(info.kind, ".", info.group);
  Json details = Details(info, name);
  details["kind"] = info.kind;
  details["causes"] = CausesJson(causes);
  return Make(absl::StatusCode::kInvalidArgument, 422, "Invalid",
              absl::StrCat(kind, " \"", name, "\" is invalid: ", all), std::move(details));
}

absl::Status BadRequest(absl::string_view why) {
  return Make(absl::StatusCode::kInvalidArgument, 400, "BadRequest", std::string(why));
}

absl::Status Unauthorized() {
  return Make(absl::StatusCode::kUnauthenticated, 401, "Unauthorized",
              "Unauthorized: send the bearer token of the kubeconfig in the data directory");
}

absl::Status NoSuchPath() {
  return Make(absl::StatusCode::kNotFound, 404, "NotFound",
              "the server could not find the requested resource", Json::object());
}

absl::Status MethodNotAllowed(const api::KindInfo& info, absl::string_view verb) {
  return Make(absl::StatusCode::kUnimplemented, 405, "MethodNotAllowed",
              absl::StrCat(verb, " is not supported on resources of kind \"",
                           QualifiedResource(info), "\""),
              Details(info, ""));
}

absl::Status NotAcceptable(absl::string_view why) {
  return Make(absl::StatusCode::kInvalidArgument, 406, "NotAcceptable", std::string(why));
}

absl::Status UnsupportedMediaType(absl::string_view type, absl::string_view accepted) {
  return Make(absl::StatusCode::kInvalidArgument, 415, "UnsupportedMediaType",
              absl::StrCat("the body of the request was in an unknown format \"", type,
                           "\" - accepted media types include: ", accepted));
}

absl::Status Expired(absl::string_view why) {
  return Make(absl::StatusCode::kOutOfRange, 410, "Expired", std::string(why));
}

absl::Status TooManyRequests(absl::string_view why) {
  return Make(absl::StatusCode::kUnavailable, 429, "TooManyRequests", std::string(why),
              {{"retryAfterSeconds", 1}});
}

Json StatusObject(const absl::Status& error) {
  if (auto payload = error.GetPayload(kPayload)) {
    if (auto object = ParseJson(std::string(*payload)); object.ok()) return *std::move(object);
  }
  Fallback fallback = FallbackOf(error.code());
  return {{"kind", "Status"},
          {"apiVersion", "v1"},
          {"metadata", Json::object()},
          {"status", "Failure"},
          {"message", std::string(error.message())},
          {"reason", fallback.reason},
          {"code", fallback.code}};
}

int HttpCode(const absl::Status& error) {
  return static_cast<int>(JsonInt(StatusObject(error), {"code"}, 500));
}

}  // namespace ashlar::standalone
