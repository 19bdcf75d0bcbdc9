#include "lib/yaml/scalar.h"

#include <cmath>
#include <limits>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace ashlar::yaml {
namespace {

// YAML knows each word in three spellings: word, Word, WORD.
bool IsWord(absl::string_view text, absl::string_view word) {
  if (text == word || text == absl::AsciiStrToUpper(word)) return true;
  return !text.empty() && text.substr(1) == word.substr(1) &&
         text[0] == absl::ascii_toupper(word[0]);
}

std::optional<Json> Word(absl::string_view text) {
  if (text.empty() || text == "~" || IsWord(text, "null")) return Json(nullptr);
  for (absl::string_view word : {"true", "yes", "on"})
    if (IsWord(text, word)) return Json(true);
  for (absl::string_view word : {"false", "no", "off"})
    if (IsWord(text, word)) return Json(false);
  const double infinity = std::numeric_limits<double>::infinity();
  if (IsWord(text, ".inf") || text == ".Inf" || text == "+.inf") return Json(infinity);
  if (text == "-.inf" || text == "-.Inf" || text == "-.INF") return Json(-infinity);
  if (IsWord(text, ".nan") || text == ".NaN") return Json(std::numeric_limits<double>::quiet_NaN());
  return std::nullopt;
}

std::optional<uint64_t> Digits(absl::string_view digits, unsigned base) {
  if (digits.empty()) return std::nullopt;
  uint64_t value = 0;
  for (char c : digits) {
    unsigned digit = 99;
    if (absl::ascii_isdigit(c)) digit = static_cast<unsigned>(c - '0');
    if (absl::ascii_isalpha(c)) digit = static_cast<unsigned>(absl::ascii_tolower(c) - 'a') + 10;
    if (digit >= base || value > (std::numeric_limits<uint64_t>::max() - digit) / base)
      return std::nullopt;
    value = value * base + digit;
  }
  return value;
}

std::optional<uint64_t> Magnitude(absl::string_view text) {
  if (absl::ConsumePrefix(&text, "0x")) return Digits(text, 16);
  if (absl::ConsumePrefix(&text, "0o")) return Digits(text, 8);
  if (absl::ConsumePrefix(&text, "0b")) return Digits(text, 2);
  if (text.size() > 1 && text[0] == '0') return Digits(text, 8);
  return Digits(text, 10);
}

std::optional<Json> Integer(absl::string_view text) {
  const bool negative = absl::ConsumePrefix(&text, "-");
  if (!negative) absl::ConsumePrefix(&text, "+");
  const std::optional<uint64_t> magnitude = Magnitude(text);
  if (!magnitude) return std::nullopt;
  constexpr auto kMax = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  if (!negative) {
    return *magnitude <= kMax ? Json(static_cast<int64_t>(*magnitude)) : Json(*magnitude);
  }
  if (*magnitude > kMax + 1) return std::nullopt;
  return Json(static_cast<int64_t>(~*magnitude + 1));
}

// [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?
bool IsFloat(absl::string_view text) {
  size_t at = 0;
  const auto digits = [&] {
    const size_t start = at;
    while (at < text.size() && absl::ascii_isdigit(text[at])) ++at;
    return at - start;
  };
  const auto sign = [&] { at += at < text.size() && (text[at] == '-' || text[at] == '+') ? 1 : 0; };
  sign();
  size_t count = digits();
  if (at < text.size() && text[at] == '.') {
    ++at;
    count += digits();
  }
  if (count == 0) return false;
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    ++at;
    sign();
    if (digits() == 0) return false;
  }
  return at == text.size();
}

}  // namespace

Json ResolvePlainScalar(absl::string_view text) {
  if (auto word = Word(text)) return *word;
  if (auto integer = Integer(text)) return *integer;
  double number = 0;
  if (IsFloat(text) && absl::SimpleAtod(text, &number)) return number;
  return std::string(text);
}

}  // namespace ashlar::yaml
