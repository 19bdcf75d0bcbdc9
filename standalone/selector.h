// Label and field selectors, as in the query of a list: "a=b,c!=d,e in (f,g),!h". Values; no
// state.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/base/json.h"

namespace ashlar::standalone {

class LabelSelector {
 public:
  // InvalidArgument names the position and what was expected. An empty text selects all.
  static absl::StatusOr<LabelSelector> Parse(absl::string_view text);
  // Whether the labels of the object, or none, satisfy every requirement.
  bool Matches(const Json& object) const;
  bool empty() const { return requirements_.empty(); }

 private:
  enum class Op { kIn, kNotIn, kExists, kAbsent, kGreater, kLess };
  struct Requirement {
    std::string key;
    Op op = Op::kExists;
    std::vector<std::string> values;
  };
  friend class LabelSelectorParser;
  static bool Holds(const Requirement& requirement, const Json* labels);

  std::vector<Requirement> requirements_;
};

class FieldSelector {
 public:
  // `known`: the fields that may be named, such as metadata.name. InvalidArgument names the field
  // that is not.
  static absl::StatusOr<FieldSelector> Parse(absl::string_view text,
                                             const std::vector<std::string>& known);
  bool Matches(const Json& object) const;
  bool empty() const { return terms_.empty(); }
  // The value that metadata.name must have, or "".
  std::string Name() const;

 private:
  struct Term {
    std::string field;
    std::string value;
    bool equal = true;
  };
  std::vector<Term> terms_;
};

}  // namespace ashlar::standalone
