#include <cmath>
#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "lib/base/status_macros.h"
#include "lib/yaml/scalar.h"
#include "lib/yaml/yaml.h"
#include "yaml-cpp/yaml.h"

namespace ashlar {
namespace {

constexpr int kMaxDepth = 100;
constexpr int kMaxValues = 200'000;

absl::Status Refuse(const YAML::Mark& mark, absl::string_view why) {
  return absl::InvalidArgumentError(mark.is_null()
                                        ? absl::StrCat("not usable YAML: ", why)
                                        : absl::StrCat("not usable YAML: line ", mark.line + 1,
                                                       ", column ", mark.column + 1, ": ", why));
}

class Converter {
 public:
  absl::StatusOr<Json> Convert(const YAML::Node& node, int depth) {
    if (depth > kMaxDepth) return Refuse(node.Mark(), "it has more than 100 levels");
    if (++values_ > kMaxValues) return Refuse(node.Mark(), "it has more than 200000 values");
    switch (node.Type()) {
      case YAML::NodeType::Undefined:
      case YAML::NodeType::Null:
        return Json(nullptr);
      case YAML::NodeType::Scalar:
        return Scalar(node);
      case YAML::NodeType::Sequence:
        return Sequence(node, depth);
      case YAML::NodeType::Map:
        return Map(node, depth);
    }
    return Refuse(node.Mark(), "it has a value of unknown type");
  }

 private:
  static absl::StatusOr<Json> Scalar(const YAML::Node& node) {
    const std::string& text = node.Scalar();
    const std::string& tag = node.Tag();
    if (tag == "!" || tag == "tag:yaml.org,2002:str") return Json(text);
    Json value = yaml::ResolvePlainScalar(text);
    if (value.is_number_float() && !std::isfinite(value.get<double>()))
      return Refuse(node.Mark(), absl::StrCat(text, " is not a number in JSON"));
    const bool fits = tag == "?" || tag.empty() ||
                      (tag == "tag:yaml.org,2002:int" && value.is_number_integer()) ||
                      (tag == "tag:yaml.org,2002:float" && value.is_number()) ||
                      (tag == "tag:yaml.org,2002:bool" && value.is_boolean()) ||
                      (tag == "tag:yaml.org,2002:null" && value.is_null());
    if (!fits) return Refuse(node.Mark(), absl::StrCat("tag ", tag, " is not understood here"));
    return value;
  }

  absl::StatusOr<Json> Sequence(const YAML::Node& node, int depth) {
    Json list = Json::array();
    for (const YAML::Node& element : node) {
      ASHLAR_ASSIGN_OR_RETURN(Json value, Convert(element, depth + 1));
      list.push_back(std::move(value));
    }
    return list;
  }

  absl::StatusOr<Json> Map(const YAML::Node& node, int depth) {
    Json object = Json::object();
    for (const auto& entry : node) {
      if (!entry.first.IsScalar()) return Refuse(entry.first.Mark(), "a key must be a scalar");
      const std::string& key = entry.first.Scalar();
      if (key == "<<" && entry.first.Tag() != "!")
        return Refuse(entry.first.Mark(), "merge keys (<<) are not supported");
      if (object.contains(key))
        return Refuse(entry.first.Mark(), absl::StrCat("key \"", key, "\" stands twice"));
      ASHLAR_ASSIGN_OR_RETURN(object[key], Convert(entry.second, depth + 1));
    }
    return object;
  }

  int values_ = 0;
};

}  // namespace

absl::StatusOr<std::vector<Json>> ParseYamlDocuments(absl::string_view text) {
  std::vector<Json> documents;
  try {
    for (const YAML::Node& node : YAML::LoadAll(std::string(text))) {
      ASHLAR_ASSIGN_OR_RETURN(Json document, Converter().Convert(node, 0));
      if (!document.is_null()) documents.push_back(std::move(document));
    }
  } catch (const YAML::Exception& error) {
    return Refuse(error.mark, error.msg);
  }
  return documents;
}

absl::StatusOr<Json> ParseYaml(absl::string_view text) {
  ASHLAR_ASSIGN_OR_RETURN(std::vector<Json> documents, ParseYamlDocuments(text));
  if (documents.size() > 1)
    return absl::InvalidArgumentError(
        absl::StrCat("not usable YAML: one document is expected, there are ", documents.size()));
  return documents.empty() ? Json(nullptr) : std::move(documents[0]);
}

}  // namespace ashlar
