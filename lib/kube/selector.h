// Label and field selectors in the text form of list and watch requests: `app=x,tier in (a,b),!old`
// and `metadata.name=x,spec.nodeName!=y`. A value; thread-safe.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/base/json.h"

namespace ashlar::kube {

class Selector {
 public:
  // InvalidArgument names the requirement that is not understood. An empty text selects all.
  static absl::StatusOr<Selector> ParseLabels(absl::string_view text);
  static absl::StatusOr<Selector> ParseFields(absl::string_view text);

  bool Matches(const Json& object) const;
  bool selects_all() const { return requirements_.empty(); }

 private:
  enum class Operator { kIn, kNotIn, kExists, kAbsent };
  struct Requirement {
    std::vector<std::string> path;  // below the object
    Operator op;
    std::vector<std::string> values;
  };
  static absl::StatusOr<Requirement> ParseRequirement(absl::string_view text);

  std::vector<Requirement> requirements_;
};

}  // namespace ashlar::kube
