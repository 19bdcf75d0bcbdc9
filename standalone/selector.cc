#include "standalone/selector.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "lib/base/status_macros.h"

namespace ashlar::standalone {

// Recursive descent over the grammar of k8s.io/apimachinery/pkg/labels (its documentation).
class LabelSelectorParser {
 public:
  explicit LabelSelectorParser(absl::string_view text) : text_(text) {}

  absl::StatusOr<LabelSelector> Parse() {
    LabelSelector selector;
    Skip();
    while (at_ < text_.size()) {
      LabelSelector::Requirement requirement;
      ASHLAR_RETURN_IF_ERROR(ParseRequirement(requirement));
      selector.requirements_.push_back(std::move(requirement));
      Skip();
      if (at_ == text_.size()) break;
      if (!Take(',')) return Error("a comma");
      Skip();
      if (at_ == text_.size()) return Error("a requirement after the comma");
    }
    return selector;
  }

 private:
  using Op = LabelSelector::Op;

  absl::Status ParseRequirement(LabelSelector::Requirement& out) {
    if (Take('!')) {
      out.op = Op::kAbsent;
      out.key = Word();
      return out.key.empty() ? Error("a label key after !") : absl::OkStatus();
    }
    out.key = Word();
    if (out.key.empty()) return Error("a label key");
    Skip();
    if (at_ == text_.size() || text_[at_] == ',') return absl::OkStatus();
    if (TakeText("!=")) {
      out.op = Op::kNotIn;
    } else if (TakeText("==") || Take('=')) {
      out.op = Op::kIn;
    } else if (Take('>')) {
      out.op = Op::kGreater;
    } else if (Take('<')) {
      out.op = Op::kLess;
    } else {
      return ParseSet(out);
    }
    out.values.push_back(Word());
    int64_t number = 0;
    if ((out.op == Op::kGreater || out.op == Op::kLess) &&
        !absl::SimpleAtoi(out.values[0], &number)) {
      return Error("an integer");
    }
    return absl::OkStatus();
  }

  absl::Status ParseSet(LabelSelector::Requirement& out) {
    const std::string word = Word();
    if (word != "in" && word != "notin") return Error("one of =, ==, !=, in, notin, >, <");
    out.op = word == "in" ? Op::kIn : Op::kNotIn;
    if (!Take('(')) return Error("( and a list of values");
    do {
      out.values.push_back(Word());
    } while (Take(','));
    return Take(')') ? absl::OkStatus() : Error(")");
  }

  static bool InWord(char c) {
    return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.' || c == '/';
  }
  std::string Word() {
    Skip();
    const size_t from = at_;
    while (at_ < text_.size() && InWord(text_[at_])) ++at_;
    return std::string(text_.substr(from, at_ - from));
  }
  void Skip() {
    while (at_ < text_.size() && absl::ascii_isspace(text_[at_])) ++at_;
  }
  bool Take(char c) {
    Skip();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool TakeText(absl::string_view what) {
    if (text_.substr(at_, what.size()) != what) return false;
    at_ += what.size();
    return true;
  }
  absl::Status Error(absl::string_view wanted) const {
    return absl::InvalidArgumentError(
        absl::StrCat("label selector \"", text_, "\": at position ", at_, ": expected ", wanted));
  }

  absl::string_view text_;
  size_t at_ = 0;
};

absl::StatusOr<LabelSelector> LabelSelector::Parse(absl::string_view text) {
  return LabelSelectorParser(text).Parse();
}

bool LabelSelector::Holds(const Requirement& requirement, const Json* labels) {
  const std::string* value = nullptr;
  if (labels != nullptr && labels->is_object()) {
    auto it = labels->find(requirement.key);
    if (it != labels->end() && it->is_string()) value = &it->get_ref<const std::string&>();
  }
  auto listed = [&] {
    return std::find(requirement.values.begin(), requirement.values.end(), *value) !=
           requirement.values.end();
  };
  switch (requirement.op) {
    case Op::kIn:
      return value != nullptr && listed();
    case Op::kNotIn:
      return value == nullptr || !listed();
    case Op::kExists:
      return value != nullptr;
    case Op::kAbsent:
      return value == nullptr;
    case Op::kGreater:
    case Op::kLess: {
      int64_t have = 0;
      int64_t bound = 0;
      if (value == nullptr || !absl::SimpleAtoi(*value, &have) ||
          !absl::SimpleAtoi(requirement.values[0], &bound)) {
        return false;
      }
      return requirement.op == Op::kGreater ? have > bound : have < bound;
    }
  }
  return false;
}

bool LabelSelector::Matches(const Json& object) const {
  const Json* labels = FindJson(object, {"metadata", "labels"});
  return std::all_of(requirements_.begin(), requirements_.end(),
                     [&](const Requirement& r) { return Holds(r, labels); });
}

absl::StatusOr<FieldSelector> FieldSelector::Parse(absl::string_view text,
                                                   const std::vector<std::string>& known) {
  FieldSelector selector;
  for (absl::string_view part : absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    const size_t at = part.find('=');
    if (at == absl::string_view::npos || at == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("field selector \"", part, "\": expected field=value or field!=value"));
    }
    Term term;
    absl::string_view field = part.substr(0, at);
    absl::string_view value = part.substr(at + 1);
    if (field.back() == '!') {
      term.equal = false;
      field.remove_suffix(1);
    } else if (!value.empty() && value.front() == '=') {
      value.remove_prefix(1);
    }
    term.field = std::string(absl::StripAsciiWhitespace(field));
    term.value = std::string(absl::StripAsciiWhitespace(value));
    if (std::find(known.begin(), known.end(), term.field) == known.end()) {
      return absl::InvalidArgumentError(absl::StrCat("field label not supported: \"", term.field,
                                                     "\"; supported are ",
                                                     absl::StrJoin(known, ", ")));
    }
    selector.terms_.push_back(std::move(term));
  }
  return selector;
}

namespace {

// What a field selector compares: a scalar as text, anything else as "".
std::string FieldText(const Json& object, absl::string_view path) {
  const Json* at = &object;
  for (absl::string_view key : absl::StrSplit(path, '.')) {
    if (!at->is_object()) return "";
    auto it = at->find(std::string(key));
    if (it == at->end()) return "";
    at = &*it;
  }
  if (at->is_string()) return at->get<std::string>();
  if (at->is_boolean() || at->is_number()) return DumpJson(*at);
  return "";
}

}  // namespace

bool FieldSelector::Matches(const Json& object) const {
  return std::all_of(terms_.begin(), terms_.end(), [&](const Term& term) {
    return (FieldText(object, term.field) == term.value) == term.equal;
  });
}

std::string FieldSelector::Name() const {
  for (const Term& term : terms_) {
    if (term.equal && term.field == "metadata.name") return term.value;
  }
  return "";
}

}  // namespace ashlar::standalone
