#include "lib/kube/http_client.h"

#include <algorithm>
#include <map>
#include <optional>
#include <random>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/kube/api_error.h"
#include "lib/kube/object.h"
#include "lib/kube/rate_limiter.h"
#include "lib/kube/resource_path.h"
#include "lib/kube/token_source.h"
#include "lib/kube/watch_decoder.h"

namespace ashlar::kube {
namespace {

constexpr int kMaxAttempts = 6;
constexpr int kMaxUpdateConflicts = 5;
constexpr const char* kVerbs[] = {"get", "list", "create", "update", "apply", "delete", "watch"};

// One request with what is known of it beyond HTTP.
struct Exchange {
  const char* verb;
  std::string what;  // begins every error message
  http::Request request;
  bool repeatable = false;  // doing it twice does no harm
};

std::string Describe(const char* verb, const KindInfo& kind, absl::string_view name) {
  return absl::StrCat(verb, " ", kind.plural, kind.group.empty() ? "" : ".", kind.group,
                      name.empty() ? "" : " ", name);
}

class HttpClient final : public Client {
 public:
  HttpClient(std::unique_ptr<http::Client> http, std::string token, std::string token_file,
             Clock& clock, HttpClientOptions options, metrics::Registry* registry)
      : http_(std::move(http)),
        tokens_(std::move(token), std::move(token_file), clock),
        clock_(clock),
        options_(std::move(options)),
        limiter_(options_.requests_per_second, options_.burst, clock) {
    for (const char* verb : kVerbs) {
      for (const char* result : {"ok", "error"}) {
        counters_[{verb, result}] =
            registry == nullptr
                ? nullptr
                : &registry->GetCounter("ashlar_kube_requests_total",
                                        "Requests to the Kubernetes API, by outcome.",
                                        {{"verb", verb}, {"result", result}});
      }
    }
  }

  absl::StatusOr<Json> Get(const CallContext&, const KindInfo&, const ObjectKey&) override;
  absl::StatusOr<ListResult> List(const CallContext&, const KindInfo&, const ListOptions&) override;
  absl::StatusOr<Json> Create(const CallContext&, const KindInfo&, const Json& object) override;
  absl::StatusOr<Json> Update(const CallContext&, const KindInfo&, const Json& object,
                              Subresource) override;
  absl::StatusOr<Json> Apply(const CallContext&, const KindInfo&, const Json& object,
                             const ApplyOptions&) override;
  absl::Status Delete(const CallContext&, const KindInfo&, const ObjectKey&,
                      const DeleteOptions&) override;
  absl::Status Watch(const CallContext&, const KindInfo&, const WatchOptions&,
                     absl::FunctionRef<absl::Status(WatchEvent)> event) override;
  absl::StatusOr<bool> Serves(const CallContext&, const KindInfo&) override;

 private:
  // The body of a good answer, or the error that is left after the retries.
  absl::StatusOr<Json> Do(const CallContext& outer, Exchange exchange);
  absl::StatusOr<http::Response> SendOnce(const CallContext& context, const Exchange& exchange);
  absl::Status SetHeaders(http::Request& request);
  void Count(const char* verb, bool ok);
  absl::Status ListChunks(const CallContext&, const KindInfo&, const ListOptions&, int chunk,
                          ListResult& result);
  absl::StatusOr<Json> Put(const CallContext&, const KindInfo&, const Json& object, Subresource);

  const std::unique_ptr<http::Client> http_;
  TokenSource tokens_;
  Clock& clock_;
  const HttpClientOptions options_;
  RateLimiter limiter_;
  std::map<std::pair<std::string, std::string>, metrics::Counter*> counters_;
};

void HttpClient::Count(const char* verb, bool ok) {
  if (metrics::Counter* counter = counters_.at({verb, ok ? "ok" : "error"})) counter->Increment();
}

absl::Status HttpClient::SetHeaders(http::Request& request) {
  ASHLAR_ASSIGN_OR_RETURN(const std::string token, tokens_.Token());
  if (!token.empty()) request.headers["Authorization"] = absl::StrCat("Bearer ", token);
  request.headers["User-Agent"] = options_.user_agent;
  request.headers["Accept"] = "application/json";
  return absl::OkStatus();
}

absl::StatusOr<http::Response> HttpClient::SendOnce(const CallContext& context,
                                                    const Exchange& exchange) {
  ASHLAR_RETURN_IF_ERROR(limiter_.Wait(context));
  http::Request request = exchange.request;
  ASHLAR_RETURN_IF_ERROR(SetHeaders(request));
  auto response = http_->Send(context, request);
  Count(exchange.verb, response.ok() && response->status < 400);
  return response;
}

// How long to wait before the next attempt; nullopt: the answer stands.
std::optional<absl::Duration> RetryDelay(const absl::StatusOr<http::Response>& response,
                                         bool repeatable, int attempt) {
  const absl::Duration backoff = absl::Milliseconds(100) * (1 << std::min(attempt - 1, 5));
  if (!response.ok()) {
    if (repeatable && absl::IsUnavailable(response.status())) return backoff;
    return std::nullopt;
  }
  const int status = response->status;
  if (status == 429 || status >= 500) {
    const auto asked = RetryAfter(*response);
    if (asked && (repeatable || status == 429 || status == 503)) return std::max(*asked, backoff);
    if (repeatable && status != 501) return backoff;
  }
  return std::nullopt;
}

absl::StatusOr<Json> HttpClient::Do(const CallContext& outer, Exchange exchange) {
  const CallContext context = outer.Until(clock_.Now() + options_.request_timeout);
  bool token_renewed = false;
  for (int attempt = 1;; ++attempt) {
    const auto response = SendOnce(context, exchange);
    if (response.ok() && response->status < 400) {
      auto body = ParseJson(response->body);
      if (!body.ok())
        return absl::UnavailableError(
            absl::StrCat(exchange.what, ": the answer is ", body.status().message()));
      return body;
    }
    if (response.ok() && response->status == 401 && !token_renewed && tokens_.Expire()) {
      token_renewed = true;
      continue;
    }
    const absl::Status error = response.ok() ? ErrorOf(*response, exchange.what)
                                             : Annotate(response.status(), exchange.what);
    const auto delay = RetryDelay(response, exchange.repeatable, attempt);
    if (!delay || attempt == kMaxAttempts) return error;
    const absl::Status slept = SleepFor(clock_, context, *delay);
    if (absl::IsCancelled(slept)) return slept;
    if (!slept.ok()) return error;
  }
}

absl::StatusOr<Json> HttpClient::Get(const CallContext& context, const KindInfo& kind,
                                     const ObjectKey& key) {
  return Do(context, {.verb = "get",
                      .what = Describe("get", kind, key.ToString()),
                      .request = {.target = ObjectPath(kind, key)},
                      .repeatable = true});
}

absl::StatusOr<ListResult> HttpClient::List(const CallContext& context, const KindInfo& kind,
                                            const ListOptions& options) {
  ListResult result;
  absl::Status listed = ListChunks(context, kind, options, options_.list_chunk, result);
  if (absl::IsOutOfRange(listed)) {
    // The server forgot the snapshot that the chunks come from: all at once, then.
    result = {};
    listed = ListChunks(context, kind, options, 0, result);
  }
  if (!listed.ok()) return listed;
  return result;
}

absl::Status HttpClient::ListChunks(const CallContext& context, const KindInfo& kind,
                                    const ListOptions& options, int chunk, ListResult& result) {
  std::string go_on;
  do {
    const std::string target = WithQuery(CollectionPath(kind, options.space),
                                         {{"labelSelector", options.label_selector},
                                          {"fieldSelector", options.field_selector},
                                          {"limit", chunk > 0 ? absl::StrCat(chunk) : ""},
                                          {"continue", go_on}});
    ASHLAR_ASSIGN_OR_RETURN(Json body, Do(context, {.verb = "list",
                                                    .what = Describe("list", kind, options.space),
                                                    .request = {.target = target},
                                                    .repeatable = true}));
    result.resource_version = JsonString(body, {"metadata", "resourceVersion"});
    go_on = JsonString(body, {"metadata", "continue"});
    auto items = body.find("items");
    if (items == body.end() || !items->is_array()) continue;
    for (Json& item : *items) {
      if (!item.is_object() || KeyOf(item).name.empty()) {
        LogError("skipped an item of a list that is no object with a name", {{"kind", kind.kind}});
        continue;
      }
      item["apiVersion"] = kind.ApiVersion();
      item["kind"] = kind.kind;
      result.items.push_back(std::move(item));
    }
  } while (!go_on.empty());
  return absl::OkStatus();
}

// For writes that carry the whole object: the server refuses applied managedFields.
std::string BodyOf(const KindInfo& kind, Json object) {
  object["apiVersion"] = kind.ApiVersion();
  object["kind"] = kind.kind;
  if (object.contains("metadata") && object["metadata"].is_object())
    object["metadata"].erase("managedFields");
  return DumpJson(object);
}

absl::StatusOr<Json> HttpClient::Create(const CallContext& context, const KindInfo& kind,
                                        const Json& object) {
  const ObjectKey key = KeyOf(object);
  return Do(context, {.verb = "create",
                      .what = Describe("create", kind, key.ToString()),
                      .request = {.method = "POST",
                                  .target = WithQuery(CollectionPath(kind, key.space),
                                                      {{"fieldManager", options_.user_agent}}),
                                  .headers = {{"Content-Type", "application/json"}},
                                  .body = BodyOf(kind, object)}});
}

absl::StatusOr<Json> HttpClient::Update(const CallContext& context, const KindInfo& kind,
                                        const Json& object, Subresource subresource) {
  if (!VersionOf(object).empty()) return Put(context, kind, object, subresource);
  // Servers refuse an update of a custom resource without version; "in any case" means: of whatever
  // version is there.
  for (int conflicts = 0;; ++conflicts) {
    ASHLAR_ASSIGN_OR_RETURN(const Json present, Get(context, kind, KeyOf(object)));
    Json next = object;
    next["metadata"]["resourceVersion"] = VersionOf(present);
    auto updated = Put(context, kind, next, subresource);
    if (!absl::IsAborted(updated.status()) || conflicts == kMaxUpdateConflicts) return updated;
  }
}

absl::StatusOr<Json> HttpClient::Put(const CallContext& context, const KindInfo& kind,
                                     const Json& object, Subresource subresource) {
  const ObjectKey key = KeyOf(object);
  const bool status = subresource == Subresource::kStatus;
  return Do(context,
            {.verb = "update",
             .what = Describe(status ? "update status of" : "update", kind, key.ToString()),
             .request = {.method = "PUT",
                         .target = WithQuery(ObjectPath(kind, key) + (status ? "/status" : ""),
                                             {{"fieldManager", options_.user_agent}}),
                         .headers = {{"Content-Type", "application/json"}},
                         .body = BodyOf(kind, object)}});
}

absl::StatusOr<Json> HttpClient::Apply(const CallContext& context, const KindInfo& kind,
                                       const Json& object, const ApplyOptions& options) {
  const ObjectKey key = KeyOf(object);
  const bool status = options.subresource == Subresource::kStatus;
  return Do(context,
            {.verb = "apply",
             .what = Describe(status ? "apply status of" : "apply", kind, key.ToString()),
             .request = {.method = "PATCH",
                         .target = WithQuery(ObjectPath(kind, key) + (status ? "/status" : ""),
                                             {{"fieldManager", options.field_manager},
                                              {"force", options.force ? "true" : ""}}),
                         .headers = {{"Content-Type", "application/apply-patch+yaml"}},
                         .body = BodyOf(kind, object)},
             .repeatable = true});
}

absl::StatusOr<bool> HttpClient::Serves(const CallContext& context, const KindInfo& kind) {
  const auto list = Do(context, {.verb = "get",
                                 .what = Describe("discover", kind, ""),
                                 .request = {.target = VersionPath(kind)},
                                 .repeatable = true});
  if (absl::IsNotFound(list.status())) return false;
  ASHLAR_RETURN_IF_ERROR(list.status());
  const Json* resources = FindJson(*list, {"resources"});
  if (resources == nullptr || !resources->is_array()) return false;
  return std::any_of(resources->begin(), resources->end(), [&](const Json& resource) {
    return JsonString(resource, {"name"}) == kind.plural &&
           JsonString(resource, {"kind"}) == kind.kind;
  });
}

absl::Status HttpClient::Delete(const CallContext& context, const KindInfo& kind,
                                const ObjectKey& key, const DeleteOptions& options) {
  Json body{{"apiVersion", "v1"}, {"kind", "DeleteOptions"}};
  if (!options.uid.empty()) body["preconditions"]["uid"] = options.uid;
  if (!options.resource_version.empty())
    body["preconditions"]["resourceVersion"] = options.resource_version;
  return Do(context, {.verb = "delete",
                      .what = Describe("delete", kind, key.ToString()),
                      .request = {.method = "DELETE",
                                  .target = ObjectPath(kind, key),
                                  .headers = {{"Content-Type", "application/json"}},
                                  .body = DumpJson(body)},
                      .repeatable = true})
      .status();
}

// Watches end at different times, so that a restarted server is not asked by all at once.
std::string WatchSeconds() {
  thread_local std::minstd_rand random{std::random_device{}()};
  return absl::StrCat(std::uniform_int_distribution<int>(240, 300)(random));
}

absl::Status HttpClient::Watch(const CallContext& context, const KindInfo& kind,
                               const WatchOptions& options,
                               absl::FunctionRef<absl::Status(WatchEvent)> event) {
  if (options.resource_version.empty())
    return absl::InvalidArgumentError("watch: resourceVersion is required");
  ASHLAR_RETURN_IF_ERROR(limiter_.Wait(context));
  http::Request request{.target = WithQuery(CollectionPath(kind, options.space),
                                            {{"watch", "1"},
                                             {"allowWatchBookmarks", "true"},
                                             {"labelSelector", options.label_selector},
                                             {"fieldSelector", options.field_selector},
                                             {"resourceVersion", options.resource_version},
                                             {"timeoutSeconds", WatchSeconds()}})};
  ASHLAR_RETURN_IF_ERROR(SetHeaders(request));
  bool began = false;
  absl::Status told;  // by the server or by `event`, not by the connection
  const absl::Time start = clock_.Now();
  const absl::Status ended = http_->StreamLines(
      context, request,
      [&](absl::string_view line) -> absl::Status {
        began = true;
        auto decoded = DecodeWatchLine(line, kind);
        if (!decoded.ok()) return told = decoded.status();
        if (!*decoded) return absl::OkStatus();
        return told = event(**std::move(decoded));
      },
      [&](const http::Response& response) {
        if (response.status == 401) tokens_.Expire();
        return told = ErrorOf(response, Describe("watch", kind, options.space));
      });
  Count("watch", ended.ok());
  // A stream that worked and then broke or fell silent is an end like any other: the caller watches
  // again from its last version.
  const bool worked = began || clock_.Now() - start > absl::Seconds(30);
  if (absl::IsUnavailable(ended) && told.ok() && worked) return absl::OkStatus();
  return ended;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Client>> MakeHttpClient(const Connection& connection, Clock& clock,
                                                       HttpClientOptions options,
                                                       metrics::Registry* registry) {
  ASHLAR_ASSIGN_OR_RETURN(std::unique_ptr<http::Client> http, http::MakeClient(connection.http));
  return MakeHttpClient(std::move(http), connection.token, connection.token_file, clock,
                        std::move(options), registry);
}

std::unique_ptr<Client> MakeHttpClient(std::unique_ptr<http::Client> http, std::string token,
                                       std::string token_file, Clock& clock,
                                       HttpClientOptions options, metrics::Registry* registry) {
  return std::make_unique<HttpClient>(std::move(http), std::move(token), std::move(token_file),
                                      clock, std::move(options), registry);
}

}  // namespace ashlar::kube
