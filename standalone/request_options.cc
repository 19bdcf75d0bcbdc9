#include "standalone/request_options.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"
#include "lib/yaml/yaml.h"
#include "standalone/api_error.h"
#include "standalone/json_depth.h"
#include "standalone/wire_body.h"

namespace ashlar::standalone {
namespace {

std::string MediaType(const http::Request& request) {
  const std::string type = Header(request, "content-type");
  return std::string(absl::StripAsciiWhitespace(
      absl::AsciiStrToLower(absl::string_view(type).substr(0, type.find(';')))));
}

// Parsing itself is recursive in nlohmann's destructor and dump: refuse by brackets first.
bool TooManyOpen(absl::string_view text) {
  int open = 0;
  int deepest = 0;
  for (char c : text) {
    if (c == '{' || c == '[') deepest = std::max(deepest, ++open);
    if (c == '}' || c == ']') --open;
  }
  return deepest > 10'000;
}

}  // namespace

std::string Header(const http::Request& request, const std::string& name) {
  auto it = request.headers.find(name);
  return it == request.headers.end() ? "" : it->second;
}

absl::StatusOr<Json> Body(const http::Request& request) {
  const std::string type = MediaType(request);
  if (type == kWireMediaType) return DecodeWireBody(request.body);
  const bool yaml = absl::EndsWith(type, "yaml");
  const bool json = type.empty() || type == "*/*" || absl::EndsWith(type, "json");
  if (!yaml && !json) {
    return UnsupportedMediaType(type, "application/json, application/yaml");
  }
  if (TooManyOpen(request.body)) return BadRequest("the body is nested too deeply");
  absl::StatusOr<Json> body = yaml ? ParseYaml(request.body) : ParseJson(request.body);
  if (!body.ok()) return BadRequest(absl::StrCat("body: ", body.status().message()));
  if (DeeperThan(*body, kMaxJsonDepth)) return BadRequest("the body is nested too deeply");
  return body;
}

absl::StatusOr<WriteOptions> WriteOptionsOf(const http::Request& request, const ApiPath& path) {
  WriteOptions options;
  options.subresource = path.subresource;
  options.manager = path.Query("fieldManager");
  if (options.manager.empty()) {
    const std::string agent = Header(request, "user-agent");
    options.manager = agent.substr(0, agent.find('/'));
  }
  if (options.manager.empty()) options.manager = "unknown";
  if (options.manager.size() > 128) {
    return BadRequest("fieldManager: may not be more than 128 bytes");
  }
  const std::string dry_run = path.Query("dryRun");
  if (!dry_run.empty() && dry_run != "All") {
    return BadRequest(absl::StrCat("dryRun: \"", dry_run, "\": only All is supported"));
  }
  options.dry_run = dry_run == "All";
  const std::string validation = path.Query("fieldValidation");
  if (validation == "Strict") {
    options.validation = FieldValidation::kStrict;
  } else if (validation == "Ignore") {
    options.validation = FieldValidation::kIgnore;
  } else if (!validation.empty() && validation != "Warn") {
    return BadRequest(
        absl::StrCat("fieldValidation: \"", validation, "\": one of Ignore, Warn, Strict"));
  }
  options.force = path.Flag("force");
  return options;
}

absl::StatusOr<RemoveOptions> RemoveOptionsOf(const http::Request& request, const ApiPath& path) {
  Json body = Json::object();
  if (!request.body.empty()) {
    ASHLAR_ASSIGN_OR_RETURN(body, Body(request));
  }
  RemoveOptions options;
  options.uid = JsonString(body, {"preconditions", "uid"});
  options.resource_version = JsonString(body, {"preconditions", "resourceVersion"});
  options.propagation = JsonString(body, {"propagationPolicy"});
  if (options.propagation.empty()) options.propagation = path.Query("propagationPolicy");
  const std::string& p = options.propagation;
  if (!p.empty() && p != "Background" && p != "Foreground" && p != "Orphan") {
    return BadRequest(
        absl::StrCat("propagationPolicy: \"", p, "\": one of Background, Foreground, Orphan"));
  }
  const Json* orphan = FindJson(body, {"orphanDependents"});
  if (p.empty() && orphan != nullptr && *orphan == Json(true)) options.propagation = "Orphan";
  const Json* dry_run = FindJson(body, {"dryRun"});
  options.dry_run = path.Query("dryRun") == "All" ||
                    (dry_run != nullptr && dry_run->is_array() && !dry_run->empty());
  return options;
}

absl::StatusOr<PatchType> PatchTypeOf(const http::Request& request, const Resource& resource) {
  const std::string type = MediaType(request);
  if (type == "application/json-patch+json") return PatchType::kJson;
  if (type == "application/merge-patch+json") return PatchType::kMerge;
  if (type == "application/apply-patch+yaml") return PatchType::kApply;
  if (type == "application/strategic-merge-patch+json" && !resource.custom) {
    return PatchType::kStrategic;
  }
  return UnsupportedMediaType(
      type,
      "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml");
}

absl::StatusOr<Selection> SelectionOf(const ApiPath& path, const Resource& resource) {
  Selection selection;
  auto labels = LabelSelector::Parse(path.Query("labelSelector"));
  if (!labels.ok()) return BadRequest(labels.status().message());
  auto fields = FieldSelector::Parse(path.Query("fieldSelector"), resource.fields);
  if (!fields.ok()) return BadRequest(fields.status().message());
  return Selection{*std::move(labels), *std::move(fields)};
}

absl::StatusOr<PageRequest> PageRequestOf(const ApiPath& path) {
  PageRequest page;
  const std::string limit = path.Query("limit");
  if (!limit.empty() && !absl::SimpleAtoi(limit, &page.limit)) {
    return BadRequest(absl::StrCat("limit: \"", limit, "\" is not a number"));
  }
  const std::string token = path.Query("continue");
  if (token.empty()) return page;
  std::string text;
  absl::StatusOr<Json> json = absl::InvalidArgumentError("");
  if (absl::WebSafeBase64Unescape(token, &text)) json = ParseJson(text);
  if (!json.ok() || JsonInt(*json, {"version"}) <= 0) {
    return BadRequest("continue: not a token that this server gave");
  }
  page.version = JsonInt(*json, {"version"});
  page.after = {JsonString(*json, {"space"}), JsonString(*json, {"name"})};
  return page;
}

std::string ContinueToken(const api::ObjectKey& after, int64_t version) {
  return absl::WebSafeBase64Escape(
      DumpJson({{"version", version}, {"space", after.space}, {"name", after.name}}));
}

}  // namespace ashlar::standalone
