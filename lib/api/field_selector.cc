#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "lib/api/selectors.h"
#include "lib/base/status_macros.h"

namespace ashlar::api {
namespace {

// Splits at commas that no backslash stands before; the backslashes stay.
std::vector<std::string> SplitAtCommas(absl::string_view text) {
  std::vector<std::string> parts(1);
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == ',') {
      parts.emplace_back();
      continue;
    }
    parts.back() += text[i];
    if (text[i] == '\\' && i + 1 < text.size()) parts.back() += text[++i];
  }
  return parts;
}

absl::StatusOr<std::string> Unescape(absl::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\') {
      const char next = i + 1 < text.size() ? text[++i] : '\0';
      if (next != '\\' && next != ',' && next != '=')
        return absl::InvalidArgumentError(absl::StrCat(
            "field selector: \"", text, "\": a backslash may stand before \\, comma and = only"));
    } else if (text[i] == '=') {
      return absl::InvalidArgumentError(
          absl::StrCat("field selector: \"", text, "\": = must be written \\="));
    }
    out += text[i];
  }
  return out;
}

std::string TextAt(const Json& object, absl::string_view path) {
  const Json* at = &object;
  for (absl::string_view key : absl::StrSplit(path, '.')) {
    at = FindJson(*at, {key});
    if (at == nullptr) return "";
  }
  if (at->is_string()) return at->get<std::string>();
  return at->is_null() ? "" : DumpJson(*at);
}

}  // namespace

absl::StatusOr<FieldSelector> FieldSelector::Parse(absl::string_view text) {
  FieldSelector selector;
  for (const std::string& part : SplitAtCommas(text)) {
    if (absl::StripAsciiWhitespace(part).empty()) continue;
    const size_t equals = part.find('=');
    const bool unequal = equals != std::string::npos && equals > 0 && part[equals - 1] == '!';
    const absl::string_view path = absl::StripAsciiWhitespace(
        absl::string_view(part).substr(0, unequal ? equals - 1 : equals));
    if (equals == std::string::npos || path.empty())
      return absl::InvalidArgumentError(absl::StrCat(
          "field selector: \"", part, "\": expected path=value, path==value or path!=value"));
    absl::string_view value = absl::string_view(part).substr(equals + 1);
    if (!unequal && !value.empty() && value[0] == '=') value.remove_prefix(1);
    ASHLAR_ASSIGN_OR_RETURN(std::string plain, Unescape(value));
    selector.requirements_.push_back({std::string(path), !unequal, std::move(plain)});
  }
  return selector;
}

bool FieldSelector::Matches(const Json& object) const {
  for (const Requirement& requirement : requirements_) {
    if ((TextAt(object, requirement.path) == requirement.value) != requirement.equal) return false;
  }
  return true;
}

}  // namespace ashlar::api
