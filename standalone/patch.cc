#include "standalone/patch.h"

#include <algorithm>
#include <exception>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "lib/base/status_macros.h"
#include "standalone/api_error.h"
#include "standalone/json_depth.h"
#include "standalone/schema_node.h"

namespace ashlar::standalone {
namespace {

constexpr size_t kMaxOperations = 10'000;
constexpr size_t kMaxBytes = 4 * 1024 * 1024;
constexpr size_t kMaxCopied = 64 * 1024 * 1024;  // looked at, over all copies of one patch
constexpr char kSetOrder[] = "$setElementOrder/";
constexpr char kDeletePrimitives[] = "$deleteFromPrimitiveList/";

absl::Status CheckOperation(const Json& operation) {
  const Json* path = FindJson(operation, {"path"});
  if (!operation.is_object() || path == nullptr || !path->is_string()) {
    return absl::InvalidArgumentError("expected an object with op and path");
  }
  if (std::count(path->get_ref<const std::string&>().begin(),
                 path->get_ref<const std::string&>().end(), '/') > kMaxJsonDepth) {
    return absl::InvalidArgumentError("the path is too long");
  }
  return absl::OkStatus();
}

// A copy can make a document larger and deeper with each operation.
absl::Status CheckGrowth(const Json& document, size_t& copied) {
  if (DeeperThan(document, kMaxJsonDepth)) return BadRequest("JSON patch: nested too deeply");
  const size_t bytes = DumpJson(document).size();
  copied += bytes;
  return bytes > kMaxBytes || copied > kMaxCopied
             ? BadRequest("JSON patch: the copies are too large")
             : absl::OkStatus();
}

Json MergeObject(Json live, const Json& patch, const SchemaNode& schema);

// Removes the instructions from something that is only added.
Json WithoutDirectives(const Json& patch) {
  if (patch.is_array()) {
    Json out = Json::array();
    for (const Json& item : patch) {
      if (item.is_object() && item.contains("$patch")) continue;
      out.push_back(WithoutDirectives(item));
    }
    return out;
  }
  if (!patch.is_object()) return patch;
  Json out = Json::object();
  for (const auto& [key, value] : patch.items()) {
    if (key[0] == '$' || value.is_null()) continue;
    out[key] = WithoutDirectives(value);
  }
  return out;
}

Json* FindByKey(Json& list, const std::string& key, const Json& value) {
  for (Json& item : list) {
    if (item.is_object() && item.contains(key) && item[key] == value) return &item;
  }
  return nullptr;
}

Json MergeKeyedList(Json live, const Json& patch, const std::string& key,
                    const SchemaNode& schema) {
  for (const Json& item : patch) {
    if (!item.is_object()) continue;
    const std::string directive = JsonString(item, {"$patch"});
    if (directive == "replace") return WithoutDirectives(patch);
    if (!item.contains(key)) continue;
    const Json& value = item[key];
    if (directive == "delete") {
      Json rest = Json::array();
      for (Json& old : live) {
        if (!(old.is_object() && old.contains(key) && old[key] == value)) {
          rest.push_back(std::move(old));
        }
      }
      live = std::move(rest);
    } else if (Json* old = FindByKey(live, key, value)) {
      *old = MergeObject(std::move(*old), item, schema.Item());
    } else {
      live.push_back(WithoutDirectives(item));
    }
  }
  return live;
}

Json MergeList(Json live, const Json& patch, const SchemaNode& schema) {
  const std::string key = schema.PatchMergeKey();
  if (key.empty() || !live.is_array()) return WithoutDirectives(patch);
  if (key != "$value") return MergeKeyedList(std::move(live), patch, key, schema);
  for (const Json& item : patch) {
    if (std::find(live.begin(), live.end(), item) == live.end()) live.push_back(item);
  }
  return live;
}

void DeletePrimitives(Json& list, const Json& values) {
  if (!list.is_array() || !values.is_array()) return;
  Json rest = Json::array();
  for (Json& item : list) {
    if (std::find(values.begin(), values.end(), item) == values.end()) {
      rest.push_back(std::move(item));
    }
  }
  list = std::move(rest);
}

// Puts the items of a list into the order that the client saw; others stay behind them.
void OrderList(Json& list, const Json& order, const SchemaNode& schema) {
  if (!list.is_array() || !order.is_array()) return;
  const std::string key = schema.PatchMergeKey();
  auto rank = [&](const Json& item) {
    for (size_t i = 0; i < order.size(); ++i) {
      const bool keyed =
          item.is_object() && order[i].is_object() && item.contains(key) && order[i].contains(key);
      if (keyed ? item[key] == order[i][key] : item == order[i]) return i;
    }
    return order.size();
  };
  std::vector<std::pair<size_t, Json>> ranked;
  for (Json& item : list) ranked.emplace_back(rank(item), std::move(item));
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  list = Json::array();
  for (auto& [unused, item] : ranked) list.push_back(std::move(item));
}

void RetainKeys(Json& object, const Json& keys) {
  if (!keys.is_array()) return;
  Json rest = Json::object();
  for (const auto& [key, value] : object.items()) {
    if (std::find(keys.begin(), keys.end(), Json(key)) != keys.end()) rest[key] = value;
  }
  object = std::move(rest);
}

Json MergeObject(Json live, const Json& patch, const SchemaNode& schema) {
  const std::string directive = JsonString(patch, {"$patch"});
  if (directive == "replace") return WithoutDirectives(patch);
  if (directive == "delete") return Json::object();
  if (!live.is_object()) live = Json::object();
  if (auto keys = patch.find("$retainKeys"); keys != patch.end()) RetainKeys(live, *keys);
  for (const auto& [key, value] : patch.items()) {
    if (absl::StartsWith(key, kDeletePrimitives)) {
      const std::string name = key.substr(sizeof(kDeletePrimitives) - 1);
      if (live.contains(name)) DeletePrimitives(live[name], value);
    } else if (key[0] == '$') {
      continue;
    } else if (value.is_null()) {
      live.erase(key);
    } else if (value.is_object() && live.contains(key)) {
      live[key] = MergeObject(std::move(live[key]), value, schema.Property(key));
    } else if (value.is_array() && live.contains(key)) {
      live[key] = MergeList(std::move(live[key]), value, schema.Property(key));
    } else {
      live[key] = WithoutDirectives(value);
    }
  }
  for (const auto& [key, order] : patch.items()) {
    if (!absl::StartsWith(key, kSetOrder)) continue;
    const std::string name = key.substr(sizeof(kSetOrder) - 1);
    if (live.contains(name)) OrderList(live[name], order, schema.Property(name));
  }
  return live;
}

}  // namespace

absl::StatusOr<Json> JsonPatch(const Json& object, const Json& operations) {
  if (!operations.is_array()) return BadRequest("JSON patch: expected a list of operations");
  if (operations.size() > kMaxOperations) {
    return BadRequest(absl::StrCat("JSON patch: ", operations.size(), " operations, ",
                                   kMaxOperations, " are allowed"));
  }
  Json out = object;
  size_t copied = 0;
  for (size_t i = 0; i < operations.size(); ++i) {
    const Json& operation = operations[i];
    ASHLAR_RETURN_IF_ERROR(
        Annotate(CheckOperation(operation), absl::StrCat("JSON patch [", i, "]")));
    try {
      out.patch_inplace(Json::array({operation}));
    } catch (const std::exception& error) {
      return BadRequest(
          absl::StrCat("JSON patch [", i, "] ", DumpJson(operation), ": ", error.what()));
    }
    const std::string op = JsonString(operation, {"op"});
    if (op == "copy" || op == "move") {
      ASHLAR_RETURN_IF_ERROR(CheckGrowth(out, copied));
    }
  }
  if (DeeperThan(out, kMaxJsonDepth)) return BadRequest("JSON patch: nested too deeply");
  return out;
}

absl::StatusOr<Json> MergePatch(const Json& object, const Json& patch) {
  if (!patch.is_object()) return BadRequest("merge patch: expected an object");
  Json out = object;
  out.merge_patch(patch);
  return out;
}

absl::StatusOr<Json> StrategicMergePatch(const Json& object, const Json& patch,
                                         const Json& schema) {
  if (!patch.is_object()) return BadRequest("strategic merge patch: expected an object");
  return MergeObject(object, patch, SchemaNode(&schema));
}

}  // namespace ashlar::standalone
