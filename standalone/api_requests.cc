#include "standalone/api_requests.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "standalone/api_error.h"
#include "standalone/discovery.h"
#include "standalone/object_meta.h"
#include "standalone/open_api.h"
#include "standalone/request_options.h"

namespace ashlar::standalone {
namespace {

constexpr absl::Duration kLongestWatch = absl::Minutes(45);
// Clients ask for it with @ instead of the second dot, which no answer may have: it is no MIME
// token.
constexpr char kProtobufV2[] = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

http::Response JsonAnswer(const Json& body, int status = 200) {
  return {status, {{"content-type", "application/json"}}, DumpJson(body) + "\n"};
}

Json SuccessStatus(const Resource& resource, const Json& object) {
  Json details = {{"name", JsonString(object, {"metadata", "name"})},
                  {"kind", resource.info.plural},
                  {"uid", JsonString(object, {"metadata", "uid"})}};
  if (!resource.info.group.empty()) details["group"] = resource.info.group;
  return {{"kind", "Status"},
          {"apiVersion", "v1"},
          {"metadata", Json::object()},
          {"status", "Success"},
          {"details", std::move(details)}};
}

}  // namespace

bool ApiRequests::Authorized(const http::Request& request, const std::string& path) const {
  if (path == "/healthz" || path == "/readyz" || path == "/livez" || path == "/version")
    return true;
  const std::string header = Header(request, "authorization");
  absl::string_view given = header;
  if (!absl::ConsumePrefix(&given, "Bearer ")) return false;
  // In constant time, so that the token cannot be guessed byte by byte.
  return given.size() == token_.size() &&
         CRYPTO_memcmp(given.data(), token_.data(), token_.size()) == 0;
}

void ApiRequests::Handle(const http::Request& request, const WriterPtr& writer) {
  absl::Status status;
  try {
    status = Route(request, writer);
  } catch (const std::exception& error) {
    // A value of another type than the schema lets through: the request is at fault.
    LogWarning("request not understood",
               {{"method", request.method}, {"target", request.target}, {"error", error.what()}});
    status = BadRequest(absl::StrCat("the request cannot be understood: ", error.what()));
  }
  if (status.ok()) return;
  http::Response response = JsonAnswer(StatusObject(status), HttpCode(status));
  if (response.status == 429) response.headers["retry-after"] = "1";
  if (response.status >= 500) {
    LogError("request failed", {{"method", request.method},
                                {"target", request.target},
                                {"error", std::string(status.message())}});
  }
  writer->Send(std::move(response));
}

absl::Status ApiRequests::Route(const http::Request& request, const WriterPtr& writer) {
  ASHLAR_ASSIGN_OR_RETURN(ApiPath path, ParseApiPath(request.target));
  if (!Authorized(request, path.path)) return Unauthorized();
  if (path.is_resource) return Resource(request, path, writer);
  ASHLAR_ASSIGN_OR_RETURN(http::Response response, Document(request, path));
  writer->Send(std::move(response));
  return absl::OkStatus();
}

absl::StatusOr<http::Response> ApiRequests::Document(const http::Request& request,
                                                     const ApiPath& path) const {
  if (request.method != "GET" && request.method != "HEAD") return NoSuchPath();
  if (path.path == "/healthz" || path.path == "/readyz" || path.path == "/livez") {
    return http::Response{200, {{"content-type", "text/plain"}}, "ok"};
  }
  if (absl::StartsWith(path.path, "/openapi/")) return OpenApi(request, path);
  if (path.path.empty()) {
    return JsonAnswer(
        {{"paths",
          {"/api", "/apis", "/healthz", "/openapi/v2", "/openapi/v3", "/readyz", "/version"}}});
  }
  auto document = DiscoveryDocument(objects_.registry(), path.path);
  if (!document.has_value()) return NoSuchPath();
  return JsonAnswer(*document);
}

absl::StatusOr<http::Response> ApiRequests::OpenApi(const http::Request& request,
                                                    const ApiPath& path) const {
  const Registry& registry = objects_.registry();
  if (path.path == "/openapi/v2") {
    const Json document = OpenApiV2(registry);
    if (!absl::StrContains(Header(request, "accept"), "proto-openapi.spec.v2")) {
      return JsonAnswer(document);
    }
    ASHLAR_ASSIGN_OR_RETURN(std::string bytes, OpenApiV2Protobuf(document));
    return http::Response{200, {{"content-type", kProtobufV2}}, std::move(bytes)};
  }
  if (path.path == "/openapi/v3") return JsonAnswer(OpenApiV3Index(registry));
  absl::string_view rest = path.path;
  std::string group;
  if (absl::ConsumePrefix(&rest, "/openapi/v3/apis/")) {
    const size_t slash = rest.find('/');
    if (slash == absl::string_view::npos) return NoSuchPath();
    group = std::string(rest.substr(0, slash));
    rest.remove_prefix(slash + 1);
  } else if (!absl::ConsumePrefix(&rest, "/openapi/v3/api/")) {
    return NoSuchPath();
  }
  ASHLAR_ASSIGN_OR_RETURN(Json document, OpenApiV3(registry, group, std::string(rest)));
  return JsonAnswer(document);
}

absl::Status ApiRequests::Resource(const http::Request& request, const ApiPath& path,
                                   const WriterPtr& writer) {
  ResourcePtr resource = objects_.registry().Find(path.group, path.version, path.plural);
  if (resource == nullptr) return NoSuchPath();
  if (!resource->info.namespaced && !path.space.empty()) return NoSuchPath();
  ASHLAR_ASSIGN_OR_RETURN(Form form, FormOf(Header(request, "accept")));
  const std::string include = path.Query("includeObject");
  Call call = {request,
               path,
               resource,
               {path.space, path.name},
               {form, include.empty() ? "Metadata" : include, objects_.clock().Now()}};
  const bool read = request.method == "GET" || request.method == "HEAD";
  if (read && (path.old_watch || path.Flag("watch"))) return Watch(call, writer);
  ASHLAR_ASSIGN_OR_RETURN(http::Response response,
                          path.name.empty() ? OnCollection(call) : OnObject(call));
  writer->Send(std::move(response));
  return absl::OkStatus();
}

absl::StatusOr<http::Response> ApiRequests::OnCollection(const Call& call) {
  const std::string& method = call.request.method;
  if (method == "GET" || method == "HEAD") return List(call);
  if (method == "POST") return Create(call);
  if (method == "DELETE") return DeleteAll(call);
  return MethodNotAllowed(call.resource->info, method);
}

absl::StatusOr<http::Response> ApiRequests::OnObject(const Call& call) {
  if (call.resource->info.namespaced && call.key.space.empty()) return NoSuchPath();
  const std::string& subresource = call.path.subresource;
  if (!subresource.empty() && !(subresource == "status" && call.resource->has_status)) {
    return NoSuchPath();
  }
  const std::string& method = call.request.method;
  if (method == "GET" || method == "HEAD") {
    ASHLAR_ASSIGN_OR_RETURN(ObjectPtr object, objects_.Get(*call.resource, call.key));
    return JsonAnswer(EncodeObject(*call.resource, *object, call.encoding));
  }
  if (method == "PUT") return Update(call);
  if (method == "PATCH") return Patch(call);
  if (method == "DELETE" && subresource.empty()) return Delete(call);
  return MethodNotAllowed(call.resource->info, method);
}

absl::StatusOr<http::Response> ApiRequests::List(const Call& call) {
  ASHLAR_ASSIGN_OR_RETURN(Selection selection, SelectionOf(call.path, *call.resource));
  ASHLAR_ASSIGN_OR_RETURN(PageRequest wanted, PageRequestOf(call.path));
  Page page = objects_.store().List(call.resource->Storage(), call.key.space);
  ListMeta meta;
  // Later pages show the present but keep the version of the first: a watch from there repeats
  // what a page has already, and misses nothing.
  meta.version = wanted.version == 0 ? page.version : wanted.version;
  std::vector<ObjectPtr> objects;
  for (ObjectPtr& object : page.objects) {
    if (wanted.version != 0 && KeyOf(*object) <= wanted.after) continue;
    if (!selection.labels.Matches(*object) || !selection.fields.Matches(*object)) continue;
    if (wanted.limit != 0 && objects.size() == wanted.limit) {
      if (meta.next.empty()) meta.next = ContinueToken(KeyOf(*objects.back()), meta.version);
      ++meta.remaining;
      continue;
    }
    objects.push_back(std::move(object));
  }
  return JsonAnswer(EncodeList(*call.resource, objects, meta, call.encoding));
}

http::Response ApiRequests::Answer(const Call& call, const Written& written, int status) const {
  http::Response response =
      JsonAnswer(EncodeObject(*call.resource, *written.object, call.encoding), status);
  std::string warnings;
  for (const std::string& warning : written.warnings) {
    absl::StrAppend(&warnings, warnings.empty() ? "" : ", ", "299 - ", DumpJson(Json(warning)));
  }
  if (!warnings.empty()) response.headers["warning"] = warnings;
  return response;
}

absl::StatusOr<http::Response> ApiRequests::Create(const Call& call) {
  ASHLAR_ASSIGN_OR_RETURN(WriteOptions options, WriteOptionsOf(call.request, call.path));
  ASHLAR_ASSIGN_OR_RETURN(Json body, Body(call.request));
  std::string space = call.key.space;
  if (call.resource->info.namespaced && space.empty()) {
    space = JsonString(body, {"metadata", "namespace"});
  }
  ASHLAR_ASSIGN_OR_RETURN(Written written,
                          objects_.Create(*call.resource, space, std::move(body), options));
  return Answer(call, written, 201);
}

absl::StatusOr<http::Response> ApiRequests::Update(const Call& call) {
  ASHLAR_ASSIGN_OR_RETURN(WriteOptions options, WriteOptionsOf(call.request, call.path));
  ASHLAR_ASSIGN_OR_RETURN(Json body, Body(call.request));
  ASHLAR_ASSIGN_OR_RETURN(Written written,
                          objects_.Update(*call.resource, call.key, std::move(body), options));
  return Answer(call, written, 200);
}

absl::StatusOr<http::Response> ApiRequests::Patch(const Call& call) {
  ASHLAR_ASSIGN_OR_RETURN(PatchType type, PatchTypeOf(call.request, *call.resource));
  ASHLAR_ASSIGN_OR_RETURN(WriteOptions options, WriteOptionsOf(call.request, call.path));
  if (type == PatchType::kApply && call.path.Query("fieldManager").empty()) {
    return BadRequest("fieldManager is required for apply patch");
  }
  if (type != PatchType::kApply && options.force) {
    return BadRequest("force may only be set for apply patch");
  }
  ASHLAR_ASSIGN_OR_RETURN(Json body, Body(call.request));
  ASHLAR_ASSIGN_OR_RETURN(Written written,
                          objects_.Patch(*call.resource, call.key, type, body, options));
  return Answer(call, written, written.created ? 201 : 200);
}

absl::StatusOr<http::Response> ApiRequests::Delete(const Call& call) {
  ASHLAR_ASSIGN_OR_RETURN(RemoveOptions options, RemoveOptionsOf(call.request, call.path));
  ASHLAR_ASSIGN_OR_RETURN(Written written, objects_.Remove(*call.resource, call.key, options));
  if (written.removed) return JsonAnswer(SuccessStatus(*call.resource, *written.object));
  return Answer(call, written, 200);
}

absl::StatusOr<http::Response> ApiRequests::DeleteAll(const Call& call) {
  ASHLAR_ASSIGN_OR_RETURN(RemoveOptions options, RemoveOptionsOf(call.request, call.path));
  ASHLAR_ASSIGN_OR_RETURN(Selection selection, SelectionOf(call.path, *call.resource));
  if (call.resource->info.namespaced && call.key.space.empty()) {
    return MethodNotAllowed(call.resource->info, "deletecollection over all namespaces");
  }
  Page page = objects_.store().List(call.resource->Storage(), call.key.space);
  std::vector<ObjectPtr> removed;
  for (const ObjectPtr& object : page.objects) {
    if (!selection.labels.Matches(*object) || !selection.fields.Matches(*object)) continue;
    auto one = objects_.Remove(*call.resource, KeyOf(*object), options);
    if (!one.ok() && !absl::IsNotFound(one.status())) return one.status();
    if (one.ok()) removed.push_back(one->object);
  }
  return JsonAnswer(EncodeList(*call.resource, removed, {page.version, "", 0}, call.encoding));
}

absl::Status ApiRequests::Watch(const Call& call, const WriterPtr& writer) {
  ASHLAR_ASSIGN_OR_RETURN(Selection selection, SelectionOf(call.path, *call.resource));
  WatchRequest watch;
  watch.resource = call.resource;
  watch.space = call.key.space;
  watch.name = call.key.name;
  watch.labels = std::move(selection.labels);
  watch.fields = std::move(selection.fields);
  watch.encoding = call.encoding;
  watch.bookmarks = call.path.Flag("allowWatchBookmarks");
  const bool initial = call.path.Flag("sendInitialEvents");
  watch.mark_initial_end = initial && watch.bookmarks;
  const std::string version = call.path.Query("resourceVersion");
  if (!initial && !version.empty() && version != "0") {
    int64_t number = 0;
    if (!absl::SimpleAtoi(version, &number) || number < 0) {
      return BadRequest(absl::StrCat("resourceVersion: \"", version, "\" is not a version"));
    }
    watch.version = number;
  }
  absl::Duration timeout = kLongestWatch;
  int64_t seconds = 0;
  if (absl::SimpleAtoi(call.path.Query("timeoutSeconds"), &seconds) && seconds > 0) {
    timeout = std::min(timeout, absl::Seconds(seconds));
  }
  watch.deadline = objects_.clock().Now() + timeout;
  return watches_.Start(std::move(watch), writer);
}

}  // namespace ashlar::standalone
