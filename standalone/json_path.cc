#include "standalone/json_path.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"

namespace ashlar::standalone {

class JsonPathParser {
 public:
  explicit JsonPathParser(absl::string_view text) : text_(text) {}

  absl::StatusOr<JsonPath> Parse() {
    JsonPath path;
    if (!text_.empty() && text_[0] == '{' && text_.back() == '}') {
      text_ = text_.substr(1, text_.size() - 2);
    }
    Take('$');
    if (text_ == "." || text_.empty()) return Error("a field");
    while (at_ < text_.size()) {
      JsonPath::Step step;
      ASHLAR_RETURN_IF_ERROR(ParseStep(step));
      path.steps_.push_back(std::move(step));
    }
    return path;
  }

 private:
  using Kind = JsonPath::Kind;

  absl::Status ParseStep(JsonPath::Step& step) {
    if (Take('[')) {
      ASHLAR_RETURN_IF_ERROR(ParseBracket(step));
      return Take(']') ? absl::OkStatus() : Error("]");
    }
    if (!Take('.')) return Error(". or [");
    if (Take('*')) {
      step.kind = Kind::kAll;
      return absl::OkStatus();
    }
    if (at_ < text_.size() && text_[at_] == '[') return absl::OkStatus();
    step.field = Name();
    return step.field.empty() ? Error("a field name") : absl::OkStatus();
  }

  absl::Status ParseBracket(JsonPath::Step& step) {
    if (Take('*')) {
      step.kind = Kind::kAll;
      return absl::OkStatus();
    }
    if (Take('?')) return ParseFilter(step);
    if (at_ < text_.size() && (text_[at_] == '\'' || text_[at_] == '"')) {
      ASHLAR_ASSIGN_OR_RETURN(step.field, Quoted());
      return absl::OkStatus();
    }
    const size_t from = at_;
    while (at_ < text_.size() && (absl::ascii_isdigit(text_[at_]) || text_[at_] == '-')) ++at_;
    step.kind = Kind::kIndex;
    if (!absl::SimpleAtoi(text_.substr(from, at_ - from), &step.index)) {
      return Error("an index, a quoted name, * or ?(");
    }
    return absl::OkStatus();
  }

  absl::Status ParseFilter(JsonPath::Step& step) {
    step.kind = Kind::kFilter;
    if (!Take('(') || !Take('@')) return Error("(@");
    while (Take('.')) {
      step.filter_path.push_back(Name());
      if (step.filter_path.back().empty()) return Error("a field name");
    }
    Skip();
    for (absl::string_view op : {"==", "!="}) {
      if (text_.substr(at_, 2) == op) {
        at_ += 2;
        step.op = std::string(op);
        ASHLAR_RETURN_IF_ERROR(ParseOperand(step));
        break;
      }
    }
    Skip();
    return Take(')') ? absl::OkStatus() : Error("== or != and a value, then )");
  }

  absl::Status ParseOperand(JsonPath::Step& step) {
    Skip();
    if (at_ < text_.size() && (text_[at_] == '\'' || text_[at_] == '"')) {
      ASHLAR_ASSIGN_OR_RETURN(step.operand, Quoted());
      return absl::OkStatus();
    }
    const size_t from = at_;
    while (at_ < text_.size() && text_[at_] != ')' && text_[at_] != ' ') ++at_;
    auto value = ParseJson(text_.substr(from, at_ - from));
    if (!value.ok() || !value->is_primitive()) return Error("a string, number, true or false");
    step.operand = *std::move(value);
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> Quoted() {
    const char quote = text_[at_++];
    std::string out;
    while (at_ < text_.size() && text_[at_] != quote) {
      if (text_[at_] == '\\' && at_ + 1 < text_.size()) ++at_;
      out += text_[at_++];
    }
    if (!Take(quote)) return Error("a closing quote");
    return out;
  }

  std::string Name() {
    std::string out;
    while (at_ < text_.size()) {
      char c = text_[at_];
      if (c == '\\' && at_ + 1 < text_.size()) {
        c = text_[++at_];
      } else if (!absl::ascii_isalnum(c) && c != '_' && c != '-' && c != '/') {
        break;
      }
      out += c;
      ++at_;
    }
    return out;
  }
  void Skip() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  }
  bool Take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  absl::Status Error(absl::string_view wanted) const {
    return absl::InvalidArgumentError(
        absl::StrCat("JSONPath \"", text_, "\": at position ", at_, ": expected ", wanted));
  }

  absl::string_view text_;
  size_t at_ = 0;
};

absl::StatusOr<JsonPath> JsonPath::Parse(absl::string_view text) {
  return JsonPathParser(text).Parse();
}

void JsonPath::Apply(const Step& step, const Json& at, std::vector<const Json*>& out) {
  if (step.kind == Kind::kField) {
    if (step.field.empty()) return out.push_back(&at);  // the dot before a bracket
    if (!at.is_object()) return;
    if (auto it = at.find(step.field); it != at.end()) out.push_back(&*it);
    return;
  }
  if (step.kind == Kind::kIndex) {
    if (!at.is_array()) return;
    const auto size = static_cast<int64_t>(at.size());
    const int64_t index = step.index < 0 ? size + step.index : step.index;
    if (index >= 0 && index < size) out.push_back(&at[static_cast<size_t>(index)]);
    return;
  }
  if (!at.is_structured()) return;
  for (const Json& item : at) {
    if (step.kind == Kind::kAll) {
      out.push_back(&item);
      continue;
    }
    const Json* value = &item;
    for (const std::string& key : step.filter_path) {
      auto it = value->is_object() ? value->find(key) : value->end();
      value = value->is_object() && it != value->end() ? &*it : nullptr;
      if (value == nullptr) break;
    }
    if (value == nullptr) continue;
    if (step.op.empty() || (*value == step.operand) == (step.op == "==")) out.push_back(&item);
  }
}

std::vector<const Json*> JsonPath::Find(const Json& root) const {
  std::vector<const Json*> found = {&root};
  for (const Step& step : steps_) {
    std::vector<const Json*> next;
    for (const Json* at : found) Apply(step, *at, next);
    found = std::move(next);
  }
  return found;
}

}  // namespace ashlar::standalone
