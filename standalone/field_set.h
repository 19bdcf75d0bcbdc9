// FieldSet: a set of field paths, as managedFields keep them (FieldsV1): a tree whose edges are
// "f:name", "k:{keys of a list item}" and "v:value of a set item". A value.
#pragma once

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "lib/base/json.h"

namespace ashlar::standalone {

struct FieldSet {
  bool member = false;  // the path to this node is in the set
  std::map<std::string, FieldSet> children;

  bool empty() const { return !member && children.empty(); }
  // nullptr if the set holds nothing at or below the edge.
  const FieldSet* Child(const std::string& edge) const;

  // InvalidArgument if the JSON is not of this form.
  static absl::StatusOr<FieldSet> FromJson(const Json& fields_v1);
  Json ToJson() const;

  void Add(const FieldSet& other);
  void Remove(const FieldSet& other);
  // Removes the path and everything below it.
  void RemoveTree(std::initializer_list<std::string> path);
  FieldSet Intersection(const FieldSet& other) const;

  // The paths of the members, as messages name them: .spec.conditions[type="Ready"].status.
  std::vector<std::string> Paths() const;

  friend bool operator==(const FieldSet&, const FieldSet&) = default;
};

}  // namespace ashlar::standalone
