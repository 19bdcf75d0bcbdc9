#include "lib/kube/testing/field_ownership.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace ashlar::kube {
namespace {

using Path = std::vector<std::string>;

// The key by which the elements of `list` are told apart; empty if the list is atomic.
std::string ListKey(const Json& list) {
  for (const char* key : {"type", "node", "id", "name", "uid"}) {
    const bool all = std::all_of(list.begin(), list.end(), [&](const Json& element) {
      return element.is_object() && element.contains(key) && element[key].is_string();
    });
    if (all && !list.empty()) return key;
  }
  return "";
}

bool IsSet(const Path& path) {
  return path.size() == 2 && path[0] == "metadata" && path[1] == "finalizers";
}

std::string ElementName(const std::string& key, const Json& element) {
  return absl::StrCat("[", key, "=", element[key].get<std::string>(), "]");
}

// Every leaf of `value` with its path: scalars, atomic lists, empty objects, members of sets.
void Flatten(const Json& value, Path& path, std::map<Path, Json>& leaves) {
  auto below = [&](std::string step, const Json& child) {
    path.push_back(std::move(step));
    Flatten(child, path, leaves);
    path.pop_back();
  };
  if (value.is_object() && !value.empty()) {
    for (const auto& [name, child] : value.items()) below(name, child);
    return;
  }
  const std::string key = value.is_array() ? ListKey(value) : "";
  if (!key.empty()) {
    for (const Json& element : value) below(ElementName(key, element), element);
  } else if (value.is_array() && IsSet(path)) {
    for (const Json& element : value) {
      path.push_back(absl::StrCat("[=", element.get<std::string>(), "]"));
      leaves[path] = element;
      path.pop_back();
    }
  } else {
    leaves[path] = value;
  }
}

std::map<Path, Json> Leaves(const Json& value) {
  std::map<Path, Json> leaves;
  Path path;
  Flatten(value, path, leaves);
  return leaves;
}

// The element of `list` that the step [key=value] names, or end.
Json::iterator FindElement(Json& list, const std::string& step) {
  const size_t equals = step.find('=');
  const std::string key = step.substr(1, equals - 1);
  const std::string value = step.substr(equals + 1, step.size() - equals - 2);
  return std::find_if(list.begin(), list.end(), [&](const Json& element) {
    return key.empty() ? element == value
                       : element.is_object() && element.contains(key) && element[key] == value;
  });
}

// True if the leaf is the key by which its element of a list is found: "node" of [node=n1].
bool IsKeyOfElement(const Path& path) {
  if (path.size() < 2) return false;
  const std::string& element = path[path.size() - 2];
  return absl::StartsWith(element, absl::StrCat("[", path.back(), "="));
}

// Takes the leaf at path[depth..] out of `value`; true if `value` is empty then.
bool Remove(Json& value, const Path& path, size_t depth) {
  if (value.is_object()) {
    auto it = value.find(path[depth]);
    if (it == value.end()) return false;
    if (depth + 1 == path.size() || Remove(*it, path, depth + 1)) value.erase(it);
    return value.empty();
  }
  if (value.is_array()) {
    auto it = FindElement(value, path[depth]);
    if (it == value.end()) return false;
    if (depth + 1 == path.size() || Remove(*it, path, depth + 1)) value.erase(it);
    return value.empty();
  }
  return false;
}

void Merge(Json& into, const Json& from, Path& path) {
  auto merge_below = [&](std::string step, Json& a, const Json& b) {
    path.push_back(std::move(step));
    Merge(a, b, path);
    path.pop_back();
  };
  if (into.is_object() && from.is_object()) {
    for (const auto& [name, child] : from.items()) {
      if (into.contains(name)) {
        merge_below(name, into[name], child);
      } else {
        into[name] = child;
      }
    }
    return;
  }
  const std::string key = from.is_array() ? ListKey(from) : "";
  if (into.is_array() && from.is_array() && (!key.empty() || IsSet(path))) {
    for (const Json& element : from) {
      const std::string step = key.empty() ? absl::StrCat("[=", element.get<std::string>(), "]")
                                           : ElementName(key, element);
      auto it = FindElement(into, step);
      if (it == into.end()) {
        into.push_back(element);
      } else {
        merge_below(step, *it, element);
      }
    }
    return;
  }
  into = from;
}

bool Identifies(const Path& path) {
  static const std::set<Path> kIdentity = {
      {"apiVersion"}, {"kind"}, {"metadata", "name"}, {"metadata", "namespace"}};
  return kIdentity.contains(path);
}

}  // namespace

absl::StatusOr<Json> FieldOwnership::Apply(const Json& live, const Json& applied,
                                           const std::string& manager, bool force) {
  const std::map<Path, Json> wanted = Leaves(applied);
  const std::map<Path, Json> present = Leaves(live);
  for (auto& [other, paths] : owned_) {
    if (other == manager) continue;
    for (const auto& [path, value] : wanted) {
      if (Identifies(path) || !paths.contains(path)) continue;
      auto now = present.find(path);
      if (now != present.end() && now->second == value) continue;  // owned together
      if (!force) {
        return absl::AbortedError(
            absl::StrCat("conflict with manager \"", other, "\": .", absl::StrJoin(path, ".")));
      }
      paths.erase(path);
    }
  }
  Json next = live;
  std::set<Path>& mine = owned_[manager];
  std::vector<Path> in_order(mine.begin(), mine.end());
  // An element is found by its key as long as there is anything of it.
  std::stable_partition(in_order.begin(), in_order.end(),
                        [](const Path& path) { return !IsKeyOfElement(path); });
  for (const Path& path : in_order) {
    const bool others = std::any_of(owned_.begin(), owned_.end(), [&](const auto& entry) {
      return entry.first != manager && entry.second.contains(path);
    });
    if (!wanted.contains(path) && !others && !Identifies(path)) Remove(next, path, 0);
  }
  Path path;
  Merge(next, applied, path);
  mine.clear();
  for (const auto& [leaf, value] : wanted) mine.insert(leaf);
  return next;
}

void FieldOwnership::NoteUpdate(const Json& before, const Json& after) {
  const std::map<Path, Json> old = Leaves(before);
  const std::map<Path, Json> now = Leaves(after);
  for (auto& [manager, paths] : owned_) {
    for (auto it = paths.begin(); it != paths.end();) {
      auto was = old.find(*it);
      auto is = now.find(*it);
      const bool same = was != old.end() && is != now.end() && was->second == is->second;
      it = same ? std::next(it) : paths.erase(it);
    }
  }
}

}  // namespace ashlar::kube
