#include "lib/kube/selector.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "lib/base/status_macros.h"

namespace ashlar::kube {
namespace {

// Splits at commas that are not inside parentheses.
std::vector<std::string> SplitRequirements(absl::string_view text) {
  std::vector<std::string> parts;
  std::string part;
  int depth = 0;
  for (char c : text) {
    if (c == '(') ++depth;
    if (c == ')') --depth;
    if (c == ',' && depth == 0) {
      parts.push_back(std::move(part));
      part.clear();
    } else {
      part.push_back(c);
    }
  }
  parts.push_back(std::move(part));
  return parts;
}

std::string Trim(absl::string_view text) { return std::string(absl::StripAsciiWhitespace(text)); }

// "(a, b)" as its members; false if it is not in parentheses.
bool ParseSet(absl::string_view text, std::vector<std::string>& values) {
  text = absl::StripAsciiWhitespace(text);
  if (text.size() < 2 || text.front() != '(' || text.back() != ')') return false;
  for (absl::string_view value : absl::StrSplit(text.substr(1, text.size() - 2), ','))
    values.push_back(Trim(value));
  return true;
}

bool ValidKey(absl::string_view key) {
  return !key.empty() && std::all_of(key.begin(), key.end(), [](char c) {
    return absl::ascii_isalnum(c) || c == '.' || c == '/' || c == '-' || c == '_';
  });
}

const Json* Find(const Json& object, const std::vector<std::string>& path) {
  const Json* at = &object;
  for (const std::string& step : path) {
    if (!at->is_object()) return nullptr;
    auto it = at->find(step);
    if (it == at->end()) return nullptr;
    at = &*it;
  }
  return at;
}

std::string TextOf(const Json& value) {
  return value.is_string() ? value.get<std::string>() : DumpJson(value);
}

}  // namespace

absl::StatusOr<Selector::Requirement> Selector::ParseRequirement(absl::string_view text) {
  const absl::Status bad = absl::InvalidArgumentError(
      absl::StrCat("selector requirement \"", text,
                   "\" is not understood: expected key, !key, key=value, key!=value, key in (a,b) "
                   "or key notin (a,b)"));
  Requirement made{{}, Operator::kExists, {}};
  std::string key;
  if (size_t at = text.find("!="); at != absl::string_view::npos) {
    key = Trim(text.substr(0, at));
    made.op = Operator::kNotIn;
    made.values = {Trim(text.substr(at + 2))};
  } else if (at = text.find('='); at != absl::string_view::npos) {
    key = Trim(text.substr(0, at));
    made.op = Operator::kIn;
    made.values = {Trim(absl::StripPrefix(text.substr(at + 1), "="))};
  } else if (at = text.find(" notin "); at != absl::string_view::npos) {
    key = Trim(text.substr(0, at));
    made.op = Operator::kNotIn;
    if (!ParseSet(text.substr(at + 7), made.values)) return bad;
  } else if (at = text.find(" in "); at != absl::string_view::npos) {
    key = Trim(text.substr(0, at));
    made.op = Operator::kIn;
    if (!ParseSet(text.substr(at + 4), made.values)) return bad;
  } else {
    key = Trim(text);
    if (absl::StartsWith(key, "!")) {
      made.op = Operator::kAbsent;
      key = Trim(key.substr(1));
    }
  }
  if (!ValidKey(key)) return bad;
  made.path = {key};
  return made;
}

absl::StatusOr<Selector> Selector::ParseLabels(absl::string_view text) {
  Selector made;
  if (absl::StripAsciiWhitespace(text).empty()) return made;
  for (const std::string& part : SplitRequirements(text)) {
    ASHLAR_ASSIGN_OR_RETURN(Requirement requirement, ParseRequirement(part));
    requirement.path.insert(requirement.path.begin(), {"metadata", "labels"});
    made.requirements_.push_back(std::move(requirement));
  }
  return made;
}

absl::StatusOr<Selector> Selector::ParseFields(absl::string_view text) {
  Selector made;
  if (absl::StripAsciiWhitespace(text).empty()) return made;
  for (const std::string& part : SplitRequirements(text)) {
    ASHLAR_ASSIGN_OR_RETURN(Requirement requirement, ParseRequirement(part));
    if (requirement.values.size() != 1) {
      return absl::InvalidArgumentError(absl::StrCat("field selector requirement \"", part,
                                                     "\" must be field=value or field!=value"));
    }
    requirement.path = absl::StrSplit(requirement.path.front(), '.');
    // An absent field is an empty string to a field selector.
    made.requirements_.push_back(std::move(requirement));
  }
  return made;
}

bool Selector::Matches(const Json& object) const {
  return std::all_of(requirements_.begin(), requirements_.end(), [&](const Requirement& r) {
    const Json* found = Find(object, r.path);
    if (r.op == Operator::kExists) return found != nullptr;
    if (r.op == Operator::kAbsent) return found == nullptr;
    const bool is_label = r.path.size() > 2 && r.path[1] == "labels";
    const std::string value = found == nullptr ? std::string() : TextOf(*found);
    const bool in = (found != nullptr || !is_label) &&
                    std::find(r.values.begin(), r.values.end(), value) != r.values.end();
    return in == (r.op == Operator::kIn);
  });
}

}  // namespace ashlar::kube
