#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "lib/api/selectors.h"
#include "lib/base/status_macros.h"

namespace ashlar::api {
namespace {

constexpr absl::string_view kPunctuation = "=!<>(),";

// [A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])? of at most 63 characters.
bool IsName(absl::string_view text) {
  const auto inner = [](char c) {
    return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
  };
  return !text.empty() && text.size() <= 63 && absl::ascii_isalnum(text.front()) &&
         absl::ascii_isalnum(text.back()) && std::all_of(text.begin(), text.end(), inner);
}

bool IsLabelKey(absl::string_view key) {
  const size_t slash = key.find('/');
  if (slash == absl::string_view::npos) return IsName(key);
  const absl::string_view prefix = key.substr(0, slash);
  const auto dns = [](char c) {
    return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-' || c == '.';
  };
  return !prefix.empty() && prefix.size() <= 253 &&
         std::all_of(prefix.begin(), prefix.end(), dns) && IsName(key.substr(slash + 1));
}

bool IsLabelValue(absl::string_view value) { return value.empty() || IsName(value); }

absl::Status Refuse(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("label selector: ", what));
}

}  // namespace

// Reads the string form. One object reads one text.
class LabelSelectorParser {
 public:
  explicit LabelSelectorParser(absl::string_view text) : text_(text), rest_(text) {}

  absl::StatusOr<LabelSelector> Parse() {
    LabelSelector selector;
    SkipSpace();
    if (rest_.empty()) return selector;
    for (;;) {
      ASHLAR_ASSIGN_OR_RETURN(auto requirement, ParseRequirement());
      ASHLAR_RETURN_IF_ERROR(LabelSelector::Check(requirement));
      selector.requirements_.push_back(std::move(requirement));
      SkipSpace();
      if (rest_.empty()) return selector;
      if (!Take(",")) return Unexpected("a comma between requirements");
    }
  }

 private:
  using Operator = LabelSelector::Operator;

  absl::Status Unexpected(absl::string_view wanted) {
    return Refuse(absl::StrCat("\"", text_, "\": expected ", wanted, " at \"", rest_, "\""));
  }

  void SkipSpace() { rest_ = absl::StripLeadingAsciiWhitespace(rest_); }

  bool Take(absl::string_view token) {
    SkipSpace();
    if (rest_.substr(0, token.size()) != token) return false;
    rest_.remove_prefix(token.size());
    return true;
  }

  std::string Word() {
    SkipSpace();
    size_t size = 0;
    while (size < rest_.size() && !absl::ascii_isspace(rest_[size]) &&
           kPunctuation.find(rest_[size]) == absl::string_view::npos)
      ++size;
    const std::string word(rest_.substr(0, size));
    rest_.remove_prefix(size);
    return word;
  }

  absl::StatusOr<LabelSelector::Requirement> ParseRequirement() {
    LabelSelector::Requirement requirement;
    if (Take("!")) {
      requirement.op = Operator::kDoesNotExist;
      requirement.key = Word();
      return requirement;
    }
    requirement.key = Word();
    SkipSpace();
    if (rest_.empty() || rest_[0] == ',') return requirement;
    const bool not_equal = Take("!=");
    if (not_equal || Take("==") || Take("=")) {
      requirement.op = not_equal ? Operator::kNotIn : Operator::kIn;
      requirement.values = {Word()};
    } else if (Take(">") || rest_[0] == '<') {
      requirement.op = Take("<") ? Operator::kLess : Operator::kGreater;
      requirement.values = {Word()};
    } else {
      ASHLAR_RETURN_IF_ERROR(ParseSet(requirement));
    }
    return requirement;
  }

  absl::Status ParseSet(LabelSelector::Requirement& requirement) {
    const absl::string_view before = rest_;
    const std::string word = Word();
    if (word != "in" && word != "notin") {
      rest_ = before;
      return Unexpected("=, ==, !=, in, notin, < or >");
    }
    requirement.op = word == "in" ? Operator::kIn : Operator::kNotIn;
    if (!Take("(")) return Unexpected("(");
    do {
      requirement.values.push_back(Word());
    } while (Take(","));
    return Take(")") ? absl::OkStatus() : Unexpected(", or )");
  }

  absl::string_view text_;
  absl::string_view rest_;
};

absl::Status LabelSelector::Check(const Requirement& requirement) {
  if (!IsLabelKey(requirement.key))
    return Refuse(absl::StrCat("\"", requirement.key, "\" is not the name of a label"));
  for (const std::string& value : requirement.values) {
    if (!IsLabelValue(value))
      return Refuse(absl::StrCat("\"", value, "\" is not the value of a label"));
    int64_t number = 0;
    const bool compares = requirement.op == Operator::kGreater || requirement.op == Operator::kLess;
    if (compares && !absl::SimpleAtoi(value, &number))
      return Refuse(absl::StrCat("\"", value, "\" is not an integer"));
  }
  const bool takes_values =
      requirement.op != Operator::kExists && requirement.op != Operator::kDoesNotExist;
  if (takes_values && requirement.values.empty())
    return Refuse(absl::StrCat("\"", requirement.key, "\": In and NotIn need values"));
  if (!takes_values && !requirement.values.empty())
    return Refuse(
        absl::StrCat("\"", requirement.key, "\": Exists and DoesNotExist take no values"));
  return absl::OkStatus();
}

absl::StatusOr<LabelSelector> LabelSelector::Parse(absl::string_view text) {
  return LabelSelectorParser(text).Parse();
}

absl::StatusOr<LabelSelector> LabelSelector::Make(const k8s::LabelSelector& selector) {
  LabelSelector made;
  for (const auto& [key, value] : selector.match_labels())
    made.requirements_.push_back({key, Operator::kIn, {value}});
  for (const auto& expression : selector.match_expressions()) {
    Requirement requirement{expression.key(),
                            Operator::kExists,
                            {expression.values().begin(), expression.values().end()}};
    if (expression.operator_() == "In")
      requirement.op = Operator::kIn;
    else if (expression.operator_() == "NotIn")
      requirement.op = Operator::kNotIn;
    else if (expression.operator_() == "DoesNotExist")
      requirement.op = Operator::kDoesNotExist;
    else if (expression.operator_() != "Exists")
      return Refuse(absl::StrCat("operator \"", expression.operator_(),
                                 "\": must be In, NotIn, Exists or DoesNotExist"));
    made.requirements_.push_back(std::move(requirement));
  }
  for (const Requirement& requirement : made.requirements_)
    ASHLAR_RETURN_IF_ERROR(Check(requirement));
  return made;
}

bool LabelSelector::MatchesAll(
    absl::FunctionRef<const std::string*(const std::string&)> find) const {
  const auto matches = [&](const Requirement& requirement) {
    const std::string* label = find(requirement.key);
    const auto& values = requirement.values;
    const bool listed =
        label != nullptr && std::find(values.begin(), values.end(), *label) != values.end();
    int64_t left = 0;
    int64_t right = 0;
    const bool numbers = label != nullptr && values.size() == 1 &&
                         absl::SimpleAtoi(*label, &left) && absl::SimpleAtoi(values[0], &right);
    switch (requirement.op) {
      case Operator::kIn:
        return listed;
      case Operator::kNotIn:
        return !listed;
      case Operator::kExists:
        return label != nullptr;
      case Operator::kDoesNotExist:
        return label == nullptr;
      case Operator::kGreater:
        return numbers && left > right;
      case Operator::kLess:
        return numbers && left < right;
    }
    return false;
  };
  return std::all_of(requirements_.begin(), requirements_.end(), matches);
}

bool LabelSelector::Matches(const Json& labels) const {
  return MatchesAll([&](const std::string& key) -> const std::string* {
    if (!labels.is_object()) return nullptr;
    const auto found = labels.find(key);
    return found == labels.end() || !found->is_string() ? nullptr
                                                        : &found->get_ref<const std::string&>();
  });
}

bool LabelSelector::Matches(const google::protobuf::Map<std::string, std::string>& labels) const {
  return MatchesAll([&](const std::string& key) -> const std::string* {
    const auto found = labels.find(key);
    return found == labels.end() ? nullptr : &found->second;
  });
}

}  // namespace ashlar::api
