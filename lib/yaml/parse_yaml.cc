#include <cmath>
#include <map>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"
#include "lib/yaml/scalar.h"
#include "lib/yaml/yaml.h"
#include "yaml-cpp/eventhandler.h"
#include "yaml-cpp/exceptions.h"
#include "yaml-cpp/parser.h"

namespace ashlar {
namespace {

constexpr size_t kMaxDepth = 100;
constexpr int kMaxValues = 200'000;

// Leaves the parser, which knows no other way to stop. Caught in this file.
[[noreturn]] void Refuse(const YAML::Mark& mark, const std::string& why) {
  throw YAML::ParserException(mark, why);
}

Json ScalarValue(const YAML::Mark& mark, const std::string& tag, const std::string& text) {
  if (tag == "!" || tag == "tag:yaml.org,2002:str") return Json(text);
  Json value = yaml::ResolvePlainScalar(text);
  if (value.is_number_float() && !std::isfinite(value.get<double>()))
    Refuse(mark, absl::StrCat(text, " is not a number in JSON"));
  const bool fits = tag == "?" || tag.empty() ||
                    (tag == "tag:yaml.org,2002:int" && value.is_number_integer()) ||
                    (tag == "tag:yaml.org,2002:float" && value.is_number()) ||
                    (tag == "tag:yaml.org,2002:bool" && value.is_boolean()) ||
                    (tag == "tag:yaml.org,2002:null" && value.is_null());
  if (!fits) Refuse(mark, absl::StrCat("tag ", tag, " is not understood here"));
  return value;
}

// Builds JSON of the parser's events, and not of its tree of nodes: so an alias is counted when it
// is unfolded, and a document that does not get the parser any further is seen.
class JsonBuilder final : public YAML::EventHandler {
 public:
  std::vector<Json> TakeDocuments() { return std::move(documents_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    // yaml-cpp 0.7 answers some errors with empty documents without end.
    if (mark.pos == last_start_)
      Refuse(mark, "something stands here that is not part of a document");
    last_start_ = mark.pos;
    anchors_.clear();
    document_ = Json(nullptr);
  }

  void OnDocumentEnd() override {
    if (!document_.is_null()) documents_.push_back(std::move(document_));
  }

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (WantsKey()) Refuse(mark, "a key must be a scalar");
    Put(mark, anchor, Json(nullptr), 1);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) Refuse(mark, "the alias stands inside of what it refers to");
    if (WantsKey()) Refuse(mark, "a key must be a scalar");
    Put(mark, 0, found->second.value, found->second.count);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& text) override {
    if (!WantsKey()) return Put(mark, anchor, ScalarValue(mark, tag, text), 1);
    Frame& frame = frames_.back();
    if (text == "<<" && tag != "!") Refuse(mark, "merge keys (<<) are not supported");
    if (frame.value.contains(text)) Refuse(mark, absl::StrCat("key \"", text, "\" stands twice"));
    frame.key = text;
    frame.has_key = true;
    if (anchor != 0) anchors_[anchor] = {Json(text), 1};
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open(mark, anchor, Json::array());
  }
  void OnSequenceEnd() override { Close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Open(mark, anchor, Json::object());
  }
  void OnMapEnd() override { Close(); }

 private:
  // A list or map that is not at its end yet.
  struct Frame {
    YAML::Mark mark;
    YAML::anchor_t anchor;
    Json value;
    int count = 1;  // values in it, with itself
    bool has_key = false;
    std::string key;
  };
  struct Anchored {
    Json value;
    int count;
  };

  bool WantsKey() const {
    return !frames_.empty() && frames_.back().value.is_object() && !frames_.back().has_key;
  }

  void Open(const YAML::Mark& mark, YAML::anchor_t anchor, Json value) {
    if (WantsKey()) Refuse(mark, "a key must be a scalar");
    if (frames_.size() >= kMaxDepth) Refuse(mark, "it has more than 100 levels");
    frames_.push_back({mark, anchor, std::move(value)});
  }

  void Close() {
    Frame frame = std::move(frames_.back());
    frames_.pop_back();
    Put(frame.mark, frame.anchor, std::move(frame.value), frame.count);
  }

  void Put(const YAML::Mark& mark, YAML::anchor_t anchor, Json value, int count) {
    if (anchor != 0) anchors_[anchor] = {value, count};
    if (frames_.empty()) {
      document_ = std::move(value);
      return;
    }
    Frame& frame = frames_.back();
    frame.count += count;
    if (frame.count > kMaxValues) Refuse(mark, "it has more than 200000 values");
    if (frame.value.is_array()) {
      frame.value.push_back(std::move(value));
    } else {
      frame.value[frame.key] = std::move(value);
      frame.has_key = false;
    }
  }

  std::vector<Json> documents_;
  Json document_;
  std::vector<Frame> frames_;
  std::map<YAML::anchor_t, Anchored> anchors_;
  int last_start_ = -1;
};

}  // namespace

absl::StatusOr<std::vector<Json>> ParseYamlDocuments(absl::string_view text) {
  JsonBuilder builder;
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::Exception& error) {
    const YAML::Mark& mark = error.mark;
    const std::string where =
        mark.is_null() ? ""
                       : absl::StrCat("line ", mark.line + 1, ", column ", mark.column + 1, ": ");
    return absl::InvalidArgumentError(absl::StrCat("not usable YAML: ", where, error.msg));
  }
  return builder.TakeDocuments();
}

absl::StatusOr<Json> ParseYaml(absl::string_view text) {
  ASHLAR_ASSIGN_OR_RETURN(std::vector<Json> documents, ParseYamlDocuments(text));
  if (documents.size() > 1)
    return absl::InvalidArgumentError(
        absl::StrCat("not usable YAML: one document is expected, there are ", documents.size()));
  return documents.empty() ? Json(nullptr) : std::move(documents[0]);
}

}  // namespace ashlar
