// Label and field selectors, as the Kubernetes API has them in URLs (labelSelector=,
// fieldSelector=) and in objects (metav1.LabelSelector). Values; thread-safe once made.
#pragma once

#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ashlar/k8s/meta.pb.h"
#include "lib/base/json.h"

namespace ashlar::api {

class LabelSelector {
 public:
  // Matches everything.
  LabelSelector() = default;

  // "a=b, c in (d,e), !f, g notin (h), i > 5". Empty matches everything. InvalidArgument quotes
  // the part that is not understood.
  static absl::StatusOr<LabelSelector> Parse(absl::string_view text);
  // InvalidArgument for an unknown operator, values that the operator does not take, and keys or
  // values that no label can have.
  static absl::StatusOr<LabelSelector> Make(const k8s::LabelSelector& selector);

  // `labels` is metadata.labels: an object, or null. As in Kubernetes, != and notin also match an
  // object without the label.
  bool Matches(const Json& labels) const;
  bool Matches(const google::protobuf::Map<std::string, std::string>& labels) const;
  bool empty() const { return requirements_.empty(); }

 private:
  friend class LabelSelectorParser;
  enum class Operator { kIn, kNotIn, kExists, kDoesNotExist, kGreater, kLess };
  struct Requirement {
    std::string key;
    Operator op = Operator::kExists;
    std::vector<std::string> values;
  };
  static absl::Status Check(const Requirement& requirement);
  // `find` gives the label of a name, or nullptr.
  bool MatchesAll(absl::FunctionRef<const std::string*(const std::string&)> find) const;

  std::vector<Requirement> requirements_;
};

class FieldSelector {
 public:
  struct Requirement {
    std::string path;  // such as metadata.name
    bool equal = true;
    std::string value;
  };

  FieldSelector() = default;
  // "metadata.name=a,status.phase!=Running", with \, \= and \\ inside values. InvalidArgument
  // quotes the part that is not understood.
  static absl::StatusOr<FieldSelector> Parse(absl::string_view text);

  // An absent field is equal to "". Numbers and booleans are compared as text.
  bool Matches(const Json& object) const;
  // For servers that allow some paths only.
  const std::vector<Requirement>& requirements() const { return requirements_; }

 private:
  std::vector<Requirement> requirements_;
};

}  // namespace ashlar::api
