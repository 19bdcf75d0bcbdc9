#include "standalone/typed.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"
#include "standalone/schema_node.h"

namespace ashlar::standalone {
namespace {

// The items of a map or set list by their edges ("k:..." or "v:..."), in order.
std::vector<std::pair<std::string, const Json*>> Items(const Json& list, const SchemaNode& schema) {
  std::vector<std::pair<std::string, const Json*>> items;
  for (const Json& item : list) items.emplace_back(schema.ItemEdge(item), &item);
  return items;
}

bool Descends(const Json& value, const SchemaNode& schema) {
  return (value.is_object() && !schema.AtomicMap()) || (value.is_array() && !schema.AtomicList());
}

void AddFields(const Json& value, const SchemaNode& schema, FieldSet& out) {
  if (!Descends(value, schema)) {
    out.member = true;
    return;
  }
  if (value.is_array()) {
    for (const auto& [edge, item] : Items(value, schema)) {
      FieldSet& below = out.children[edge];
      below.member = true;
      AddFields(*item, schema.Item(), below);
    }
    return;
  }
  for (const auto& [key, child] : value.items()) {
    FieldSet& below = out.children["f:" + key];
    AddFields(child, schema.Property(key), below);
    const bool empty = child.is_null() || (child.is_object() && child.empty()) ||
                       (child.is_array() && child.empty());
    if (empty || !schema.Named(key)) below.member = true;
  }
}

// Everything that exists in `value`, its containers too.
void AddExisting(const Json& value, const SchemaNode& schema, FieldSet& out) {
  out.member = true;
  if (!Descends(value, schema)) return;
  if (value.is_array()) {
    for (const auto& [edge, item] : Items(value, schema)) {
      AddExisting(*item, schema.Item(), out.children[edge]);
    }
    return;
  }
  for (const auto& [key, child] : value.items()) {
    AddExisting(child, schema.Property(key), out.children["f:" + key]);
  }
}

void CompareValues(const Json* before, const Json* after, const SchemaNode& schema,
                   FieldSet& changed, FieldSet& removed);

void CompareEdge(const std::string& edge, const Json* before, const Json* after,
                 const SchemaNode& schema, FieldSet& changed, FieldSet& removed) {
  FieldSet changed_below;
  FieldSet removed_below;
  CompareValues(before, after, schema, changed_below, removed_below);
  if (!changed_below.empty()) changed.children[edge] = std::move(changed_below);
  if (!removed_below.empty()) removed.children[edge] = std::move(removed_below);
}

void CompareLists(const Json& before, const Json& after, const SchemaNode& schema,
                  FieldSet& changed, FieldSet& removed) {
  std::map<std::string, const Json*> old_items;
  for (const auto& [edge, item] : Items(before, schema)) old_items.emplace(edge, item);
  std::map<std::string, const Json*> new_items;
  for (const auto& [edge, item] : Items(after, schema)) new_items.emplace(edge, item);
  for (const auto& [edge, item] : new_items) {
    auto old = old_items.find(edge);
    CompareEdge(edge, old == old_items.end() ? nullptr : old->second, item, schema.Item(), changed,
                removed);
  }
  for (const auto& [edge, item] : old_items) {
    if (!new_items.contains(edge)) {
      CompareEdge(edge, item, nullptr, schema.Item(), changed, removed);
    }
  }
}

void CompareValues(const Json* before, const Json* after, const SchemaNode& schema,
                   FieldSet& changed, FieldSet& removed) {
  if (before == nullptr) return AddExisting(*after, schema, changed);
  if (after == nullptr) return AddExisting(*before, schema, removed);
  if (*before == *after) return;
  if (before->type() != after->type() || !Descends(*after, schema)) {
    changed.member = true;
    if (Descends(*after, schema)) AddExisting(*after, schema, changed);
    return;
  }
  if (after->is_array()) return CompareLists(*before, *after, schema, changed, removed);
  for (const auto& [key, child] : after->items()) {
    auto old = before->find(key);
    CompareEdge("f:" + key, old == before->end() ? nullptr : &*old, &child, schema.Property(key),
                changed, removed);
  }
  for (const auto& [key, child] : before->items()) {
    if (!after->contains(key)) {
      CompareEdge("f:" + key, &child, nullptr, schema.Property(key), changed, removed);
    }
  }
}

Json MergeValues(const Json& live, const Json& applied, const SchemaNode& schema);

Json MergeLists(const Json& live, const Json& applied, const SchemaNode& schema) {
  Json merged = live;
  std::map<std::string, size_t> positions;
  for (size_t i = 0; i < merged.size(); ++i) positions.emplace(schema.ItemEdge(merged[i]), i);
  for (const auto& [edge, item] : Items(applied, schema)) {
    auto it = positions.find(edge);
    if (it == positions.end()) {
      positions.emplace(edge, merged.size());
      merged.push_back(*item);
    } else {
      merged[it->second] = MergeValues(merged[it->second], *item, schema.Item());
    }
  }
  return merged;
}

Json MergeValues(const Json& live, const Json& applied, const SchemaNode& schema) {
  if (live.type() != applied.type() || !Descends(applied, schema)) return applied;
  if (applied.is_array()) return MergeLists(live, applied, schema);
  Json merged = live;
  for (const auto& [key, child] : applied.items()) {
    auto it = merged.find(key);
    if (it == merged.end()) {
      merged[key] = child;
    } else {
      *it = MergeValues(*it, child, schema.Property(key));
    }
  }
  return merged;
}

// False: the value is to go entirely.
bool RemoveFields(Json& value, const FieldSet& fields, const FieldSet* kept,
                  const SchemaNode& schema) {
  if (fields.member && (kept == nullptr || kept->empty())) return false;
  if (!value.is_structured() || fields.children.empty()) return true;
  const bool was_empty = value.empty();
  Json out = value.is_array() ? Json::array() : Json::object();
  auto visit = [&](const std::string& edge, Json& child, const SchemaNode& below, auto&& keep) {
    const FieldSet* drop = fields.Child(edge);
    const FieldSet* others = kept == nullptr ? nullptr : kept->Child(edge);
    if (drop == nullptr || RemoveFields(child, *drop, others, below)) keep(std::move(child));
  };
  if (value.is_array()) {
    if (schema.AtomicList()) return true;
    for (Json& item : value) {
      visit(schema.ItemEdge(item), item, schema.Item(),
            [&](Json child) { out.push_back(std::move(child)); });
    }
  } else {
    for (auto& [key, item] : value.items()) {
      visit("f:" + key, item, schema.Property(key),
            [&, name = key](Json child) { out[name] = std::move(child); });
    }
  }
  value = std::move(out);
  return !value.empty() || was_empty || (kept != nullptr && kept->member);
}

absl::Status CheckListsAt(const Json& value, const SchemaNode& schema, const std::string& path) {
  if (value.is_object()) {
    for (const auto& [key, child] : value.items()) {
      ASHLAR_RETURN_IF_ERROR(
          CheckListsAt(child, schema.Property(key), absl::StrCat(path, ".", key)));
    }
  } else if (value.is_array() && !schema.AtomicList()) {
    std::map<std::string, int> seen;
    for (const Json& item : value) {
      ASHLAR_RETURN_IF_ERROR(Annotate(schema.CheckKeys(item), path));
      const std::string edge = schema.ItemEdge(item);
      if (seen[edge]++ > 0) {
        return absl::InvalidArgumentError(
            absl::StrCat(path, ": duplicate entries for key [", edge.substr(2), "]"));
      }
      ASHLAR_RETURN_IF_ERROR(CheckListsAt(item, schema.Item(), absl::StrCat(path, "[]")));
    }
  }
  return absl::OkStatus();
}

}  // namespace

Json WithMetadata(Json schema) {
  const Json texts = {{"type", "object"}, {"additionalProperties", {{"type", "string"}}}};
  const Json owners = {{"type", "array"},
                       {"x-kubernetes-list-type", "map"},
                       {"x-kubernetes-list-map-keys", {"uid"}},
                       {"x-kubernetes-patch-merge-key", "uid"},
                       {"items", {{"type", "object"}, {"x-kubernetes-map-type", "atomic"}}}};
  const Json finalizers = {{"type", "array"},
                           {"x-kubernetes-list-type", "set"},
                           {"x-kubernetes-patch-strategy", "merge"},
                           {"items", {{"type", "string"}}}};
  schema["properties"]["metadata"] = {{"type", "object"},
                                      {"properties",
                                       {{"name", {{"type", "string"}}},
                                        {"namespace", {{"type", "string"}}},
                                        {"labels", texts},
                                        {"annotations", texts},
                                        {"ownerReferences", owners},
                                        {"finalizers", finalizers}}}};
  schema["properties"]["apiVersion"] = {{"type", "string"}};
  schema["properties"]["kind"] = {{"type", "string"}};
  return schema;
}

absl::Status CheckLists(const Json& value, const Json& schema) {
  return CheckListsAt(value, SchemaNode(&schema), "");
}

FieldSet FieldsOf(const Json& value, const Json& schema) {
  FieldSet set;
  AddFields(value, SchemaNode(&schema), set);
  return set;
}

Difference Compare(const Json* before, const Json& after, const Json& schema) {
  Difference difference;
  CompareValues(before, &after, SchemaNode(&schema), difference.changed, difference.removed);
  difference.changed.member = false;
  return difference;
}

Json Merge(const Json& live, const Json& applied, const Json& schema) {
  return MergeValues(live, applied, SchemaNode(&schema));
}

Json Without(const Json& value, const FieldSet& fields, const FieldSet& kept, const Json& schema) {
  Json out = value;
  RemoveFields(out, fields, &kept, SchemaNode(&schema));
  return out;
}

}  // namespace ashlar::standalone
