#include "standalone/field_set.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "lib/base/status_macros.h"

namespace ashlar::standalone {
namespace {

constexpr int kMaxDepth = 100;

absl::StatusOr<FieldSet> Decode(const Json& json, int depth) {
  if (!json.is_object() || depth > kMaxDepth) {
    return absl::InvalidArgumentError("fieldsV1: expected objects, nested less than 100 deep");
  }
  FieldSet set;
  if (json.empty() && depth > 0) set.member = true;
  for (const auto& [edge, below] : json.items()) {
    if (edge == ".") {
      set.member = true;
      continue;
    }
    if (edge.size() < 2 || edge[1] != ':' ||
        std::string("fkvi").find(edge[0]) == std::string::npos) {
      return absl::InvalidArgumentError(
          absl::StrCat("fieldsV1: \"", edge, "\" does not begin with f:, k:, v: or i:"));
    }
    ASHLAR_ASSIGN_OR_RETURN(set.children[edge], Decode(below, depth + 1));
  }
  return set;
}

std::string EdgeText(const std::string& edge) {
  const std::string rest = edge.substr(2);
  if (edge[0] == 'f') return "." + rest;
  if (edge[0] != 'k') return absl::StrCat("[", edge[0] == 'v' ? "=" : "", rest, "]");
  auto keys = ParseJson(rest);
  if (!keys.ok() || !keys->is_object()) return absl::StrCat("[", rest, "]");
  std::vector<std::string> parts;
  for (const auto& [key, value] : keys->items()) {
    parts.push_back(absl::StrCat(key, "=", DumpJson(value)));
  }
  return absl::StrCat("[", absl::StrJoin(parts, ","), "]");
}

void CollectPaths(const FieldSet& set, const std::string& prefix, std::vector<std::string>& out) {
  if (set.member && !prefix.empty()) out.push_back(prefix);
  for (const auto& [edge, below] : set.children) {
    CollectPaths(below, prefix + EdgeText(edge), out);
  }
}

}  // namespace

const FieldSet* FieldSet::Child(const std::string& edge) const {
  auto it = children.find(edge);
  return it == children.end() ? nullptr : &it->second;
}

absl::StatusOr<FieldSet> FieldSet::FromJson(const Json& fields_v1) { return Decode(fields_v1, 0); }

Json FieldSet::ToJson() const {
  Json json = Json::object();
  if (member && !children.empty()) json["."] = Json::object();
  for (const auto& [edge, below] : children) json[edge] = below.ToJson();
  return json;
}

void FieldSet::Add(const FieldSet& other) {
  member = member || other.member;
  for (const auto& [edge, below] : other.children) children[edge].Add(below);
}

void FieldSet::Remove(const FieldSet& other) {
  if (other.member) member = false;
  for (const auto& [edge, below] : other.children) {
    auto it = children.find(edge);
    if (it == children.end()) continue;
    it->second.Remove(below);
    if (it->second.empty()) children.erase(it);
  }
}

void FieldSet::RemoveTree(std::initializer_list<std::string> path) {
  FieldSet* at = this;
  for (auto edge = path.begin(); edge != path.end(); ++edge) {
    auto it = at->children.find(*edge);
    if (it == at->children.end()) return;
    if (std::next(edge) == path.end()) {
      at->children.erase(it);
      return;
    }
    at = &it->second;
  }
}

FieldSet FieldSet::Intersection(const FieldSet& other) const {
  FieldSet both;
  both.member = member && other.member;
  for (const auto& [edge, below] : children) {
    const FieldSet* theirs = other.Child(edge);
    if (theirs == nullptr) continue;
    FieldSet common = below.Intersection(*theirs);
    if (!common.empty()) both.children[edge] = std::move(common);
  }
  return both;
}

std::vector<std::string> FieldSet::Paths() const {
  std::vector<std::string> paths;
  CollectPaths(*this, "", paths);
  return paths;
}

}  // namespace ashlar::standalone
