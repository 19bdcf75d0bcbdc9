// Resource: a kind as it is served: its names, schema, columns and selectable fields, read from a
// CustomResourceDefinition (apiextensions.k8s.io/v1) or, for the kinds that are built in, from a
// definition of the same form. Immutable once made, shared by pointer.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/api/kind_info.h"
#include "lib/base/json.h"
#include "lib/schema/schema.h"
#include "standalone/json_path.h"

namespace ashlar::standalone {

struct Column {
  std::string name;
  std::string type;  // string, integer, number, boolean, date
  std::string format;
  std::string description;
  int64_t priority = 0;
  JsonPath path;
};

struct Resource {
  api::KindInfo info;
  std::string singular;
  std::string list_kind;
  std::vector<std::string> short_names;
  std::vector<std::string> categories;
  bool has_status = false;  // the status subresource
  bool counts_generation = false;
  bool custom = false;  // from a CustomResourceDefinition
  Json schema;          // of the whole object, without metadata
  Json typed;           // the same with metadata, see typed.h
  std::optional<schema::Schema> checks;
  std::vector<Column> columns;
  std::vector<std::string> fields;  // that a field selector may name

  // Where the store keeps the objects: the same for every version of the kind.
  std::string Storage() const { return info.group + "/" + info.plural; }
};

using ResourcePtr = std::shared_ptr<const Resource>;

// One for each served version. InvalidArgument names the field of the definition that is wrong.
absl::StatusOr<std::vector<ResourcePtr>> ResourcesOf(const Json& definition, bool custom);

}  // namespace ashlar::standalone
