#include "lib/api/quantity.h"

#include <array>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"

namespace ashlar::api {
namespace {

using absl::int128;
constexpr int64_t kNano = 1'000'000'000;
constexpr int64_t kMaxInt = std::numeric_limits<int64_t>::max();
const int128 kMaxNano = int128(kMaxInt) * kNano;
constexpr absl::string_view kBinarySuffixes = "KMGTPE";       // 2^10, 2^20, ...
constexpr absl::string_view kDecimalSuffixes = "num kMGTPE";  // 10^-9, 10^-6, ...
// More digits behind the point than a binary suffix can make whole are not needed by anybody.
constexpr size_t kMaxBinaryFraction = 18;

struct Parts {
  bool negative = false;
  std::string whole;     // without leading zeros
  std::string fraction;  // without trailing zeros
  absl::string_view suffix;
};

struct Scale {
  Quantity::Format format = Quantity::Format::kDecimalSi;
  int decimal_exponent = 0;
  int binary_exponent = 0;
};

absl::Status Refuse(absl::string_view text, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(
      "\"", text.substr(0, 64), "\" is not a quantity: ", why,
      "; accepted is a decimal number with an optional suffix n, u, m, k, M, G, T, P, E, Ki, Mi, "
      "Gi, Ti, Pi, Ei or e<exponent>, such as 10Gi"));
}

absl::string_view TakeDigits(absl::string_view& text) {
  size_t count = 0;
  while (count < text.size() && absl::ascii_isdigit(text[count])) ++count;
  const absl::string_view digits = text.substr(0, count);
  text.remove_prefix(count);
  return digits;
}

absl::StatusOr<Parts> Split(absl::string_view text) {
  Parts parts;
  absl::string_view rest = text;
  if (!rest.empty() && (rest[0] == '-' || rest[0] == '+')) {
    parts.negative = rest[0] == '-';
    rest.remove_prefix(1);
  }
  absl::string_view whole = TakeDigits(rest);
  absl::string_view fraction;
  if (!rest.empty() && rest[0] == '.') {
    rest.remove_prefix(1);
    fraction = TakeDigits(rest);
  }
  if (whole.empty() && fraction.empty()) return Refuse(text, "it has no digits");
  while (!whole.empty() && whole.front() == '0') whole.remove_prefix(1);
  while (!fraction.empty() && fraction.back() == '0') fraction.remove_suffix(1);
  parts.whole = std::string(whole);
  parts.fraction = std::string(fraction);
  parts.suffix = rest;
  return parts;
}

absl::StatusOr<Scale> ParseSuffix(absl::string_view text, absl::string_view suffix) {
  if (suffix.empty()) return Scale{};
  if (suffix.size() == 2 && suffix[1] == 'i') {
    const size_t at = kBinarySuffixes.find(suffix[0]);
    if (at != absl::string_view::npos)
      return Scale{Quantity::Format::kBinarySi, 0, static_cast<int>(at + 1) * 10};
  }
  if (suffix.size() == 1 && suffix[0] != ' ') {
    const size_t at = kDecimalSuffixes.find(suffix[0]);
    if (at != absl::string_view::npos)
      return Scale{Quantity::Format::kDecimalSi, static_cast<int>(at) * 3 - 9, 0};
  }
  if (suffix.size() > 1 && (suffix[0] == 'e' || suffix[0] == 'E')) {
    absl::string_view digits = suffix.substr(1);
    const bool negative = digits[0] == '-';
    if (digits[0] == '-' || digits[0] == '+') digits.remove_prefix(1);
    const absl::string_view whole = TakeDigits(digits);
    int exponent = 0;
    if (whole.empty() || !digits.empty() || whole.size() > 6 || !absl::SimpleAtoi(whole, &exponent))
      return Refuse(text, absl::StrCat("suffix \"", suffix.substr(0, 32), "\" is not known"));
    return Scale{Quantity::Format::kDecimalExponent, negative ? -exponent : exponent, 0};
  }
  return Refuse(text, absl::StrCat("suffix \"", suffix.substr(0, 32), "\" is not known"));
}

// The digits as a number; they must be at most 38.
int128 ToNumber(absl::string_view digits) {
  int128 number = 0;
  for (char digit : digits) number = number * 10 + (digit - '0');
  return number;
}

// The value in 10^-9, or more than kMaxNano if it is too large.
int128 DecimalNano(const Parts& parts, int exponent) {
  std::string digits = absl::StrCat(parts.whole, parts.fraction);
  int64_t point = static_cast<int64_t>(parts.whole.size()) + exponent + 9;
  const size_t zeros = std::min(digits.find_first_not_of('0'), digits.size());
  digits.erase(0, zeros);
  point -= static_cast<int64_t>(zeros);
  if (digits.empty()) return 0;
  if (point <= 0) return 1;  // a trace of something is the least there can be
  if (point > 30) return kMaxNano + 1;
  const size_t kept = static_cast<size_t>(point);
  if (digits.size() <= kept) return ToNumber(digits + std::string(kept - digits.size(), '0'));
  const bool rest = digits.find_first_not_of('0', kept) != std::string::npos;
  return ToNumber(absl::string_view(digits).substr(0, kept)) + (rest ? 1 : 0);
}

int128 BinaryNano(const Parts& parts, int exponent) {
  if (parts.whole.size() > 19) return kMaxNano + 1;
  const int128 whole = ToNumber(parts.whole);
  if (whole > (int128(kMaxInt) >> exponent)) return kMaxNano + 1;
  int128 unit = 1;
  for (size_t i = 0; i < parts.fraction.size(); ++i) unit *= 10;
  // Two steps, so that nothing leaves 128 bits: the whole part of fraction * 2^exponent, then nanos
  // of the remainder.
  const int128 scaled = ToNumber(parts.fraction) << exponent;
  const int128 nanos = (scaled % unit) * kNano;
  const int128 rounded = nanos / unit + (nanos % unit != 0 ? 1 : 0);
  return (whole << exponent) * kNano + (scaled / unit) * kNano + rounded;
}

std::string DecimalSuffix(int exponent, Quantity::Format format) {
  if (exponent == 0) return "";
  if (format == Quantity::Format::kDecimalExponent) return absl::StrCat("e", exponent);
  return std::string(1, kDecimalSuffixes[exponent / 3 + 3]);
}

int64_t ToInt64(int128 value) { return static_cast<int64_t>(value); }

}  // namespace

Quantity Quantity::FromInt(int64_t value, Format format) {
  // -2^63 is one beyond what a quantity may be.
  return Quantity(int128(std::max(value, -kMaxInt)) * kNano, format);
}

absl::StatusOr<Quantity> Quantity::Parse(absl::string_view text) {
  ASHLAR_ASSIGN_OR_RETURN(const Parts parts, Split(text));
  ASHLAR_ASSIGN_OR_RETURN(const Scale scale, ParseSuffix(text, parts.suffix));
  const bool binary = scale.format == Format::kBinarySi;
  if (binary && parts.fraction.size() > kMaxBinaryFraction)
    return Refuse(text, "it has more than 18 digits behind the point");
  const int128 nano = binary ? BinaryNano(parts, scale.binary_exponent)
                             : DecimalNano(parts, scale.decimal_exponent);
  if (nano > kMaxNano) return Refuse(text, "it is larger than 2^63-1");
  return Quantity(parts.negative ? -nano : nano, scale.format);
}

int64_t Quantity::Value() const {
  const int128 rest = nano_ % kNano;
  return ToInt64(nano_ / kNano) + (rest > 0 ? 1 : rest < 0 ? -1 : 0);
}

double Quantity::Approximate() const { return static_cast<double>(nano_) / kNano; }

bool Quantity::IsInteger() const { return nano_ % kNano == 0; }

std::string Quantity::ToString() const {
  if (nano_ == 0) return "0";
  const bool small = nano_ > int128(-1024) * kNano && nano_ < int128(1024) * kNano;
  if (format_ == Format::kBinarySi && !small && IsInteger()) {
    int64_t value = ToInt64(nano_ / kNano);
    size_t power = 0;
    for (; value % 1024 == 0 && power < kBinarySuffixes.size(); ++power) value /= 1024;
    return power == 0 ? absl::StrCat(value)
                      : absl::StrCat(value, kBinarySuffixes.substr(power - 1, 1), "i");
  }
  int128 value = nano_;
  int exponent = -9;
  for (; value % 1000 == 0 && exponent < 18; exponent += 3) value /= 1000;
  const Format format = format_ == Format::kBinarySi ? Format::kDecimalSi : format_;
  std::string digits;
  const bool negative = value < 0;
  for (int128 rest = negative ? -value : value; rest != 0; rest /= 10)
    digits.insert(digits.begin(), static_cast<char>('0' + static_cast<int>(rest % 10)));
  return absl::StrCat(negative ? "-" : "", digits, DecimalSuffix(exponent, format));
}

std::strong_ordering Quantity::operator<=>(const Quantity& other) const {
  if (nano_ == other.nano_) return std::strong_ordering::equal;
  return nano_ < other.nano_ ? std::strong_ordering::less : std::strong_ordering::greater;
}

absl::StatusOr<Quantity> Quantity::Plus(const Quantity& other) const {
  const int128 sum = nano_ + other.nano_;
  if (sum > kMaxNano || sum < -kMaxNano)
    return absl::OutOfRangeError("the sum of the quantities is larger than 2^63-1");
  return Quantity(sum, format_);
}

absl::StatusOr<Quantity> Quantity::Minus(const Quantity& other) const {
  return Plus(Quantity(-other.nano_, other.format_));
}

absl::StatusOr<int64_t> ParseBytes(absl::string_view text) {
  ASHLAR_ASSIGN_OR_RETURN(const Quantity quantity, Quantity::Parse(text));
  if (quantity < Quantity()) return Refuse(text, "bytes cannot be negative");
  return quantity.Value();
}

std::string FormatBytes(int64_t bytes) { return Quantity::FromBytes(bytes).ToString(); }

}  // namespace ashlar::api
