// JsonPath: the part of Kubernetes' JSONPath that printer columns use: .a.b, ['a'], [0], [-1], [*],
// [?(@.type=="Ready")]. A value; thread-safe once made.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/base/json.h"

namespace ashlar::standalone {

class JsonPath {
 public:
  // InvalidArgument names the position.
  static absl::StatusOr<JsonPath> Parse(absl::string_view text);
  // What the path leads to, in order; empty if nothing. The pointers live as long as `root`.
  std::vector<const Json*> Find(const Json& root) const;

 private:
  enum class Kind { kField, kIndex, kAll, kFilter };
  struct Step {
    Kind kind = Kind::kField;
    std::string field;
    int64_t index = 0;
    std::vector<std::string> filter_path;  // after @
    std::string op;                        // ==, != or empty (exists)
    Json operand;
  };
  friend class JsonPathParser;
  static void Apply(const Step& step, const Json& at, std::vector<const Json*>& out);

  std::vector<Step> steps_;
};

}  // namespace ashlar::standalone
