// SchemaNode: a place in an OpenAPI v3 schema, for walking values along it. It borrows the schema;
// a place where nothing is known behaves as x-kubernetes-preserve-unknown-fields.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "lib/base/json.h"

namespace ashlar::standalone {

class SchemaNode {
 public:
  explicit SchemaNode(const Json* schema) : schema_(schema) {}

  SchemaNode Property(const std::string& key) const;
  // Whether the key is named in properties (and is not one of additionalProperties).
  bool Named(const std::string& key) const;
  SchemaNode Item() const;

  bool AtomicMap() const;
  bool AtomicList() const;  // neither a map nor a set
  // The path element of an item of a map list ("k:{...}") or a set ("v:...").
  std::string ItemEdge(const Json& item) const;
  // InvalidArgument if the item of a map list lacks a key without a default.
  absl::Status CheckKeys(const Json& item) const;

  // What a strategic merge patch merges items by; "" if the list is replaced, "$value" if it is a
  // set of primitives.
  std::string PatchMergeKey() const;

 private:
  const Json* Find(const char* key) const;
  std::vector<std::string> MapKeys() const;

  const Json* schema_;  // nullptr: nothing is known
};

}  // namespace ashlar::standalone
