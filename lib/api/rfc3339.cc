#include "lib/api/rfc3339.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace ashlar::api {
namespace {

// The years 0000 to 9999 in UTC.
const absl::Time kFirst = absl::FromCivil(absl::CivilYear(0), absl::UTCTimeZone());
const absl::Time kEnd = absl::FromCivil(absl::CivilYear(10000), absl::UTCTimeZone());

// The shape dddd-dd-ddTdd:dd:dd, which absl::ParseTime alone would read more generously.
bool HasShape(absl::string_view text) {
  constexpr absl::string_view kShape = "0000-00-00T00:00:00";
  if (text.size() <= kShape.size()) return false;
  for (size_t i = 0; i < kShape.size(); ++i) {
    const bool ok = kShape[i] == '0'   ? absl::ascii_isdigit(text[i])
                    : kShape[i] == 'T' ? absl::ascii_toupper(text[i]) == 'T'
                                       : text[i] == kShape[i];
    if (!ok) return false;
  }
  return text.back() == 'Z' || text.back() == 'z' || absl::ascii_isdigit(text.back());
}

}  // namespace

absl::StatusOr<absl::Time> ParseRfc3339(absl::string_view text) {
  absl::Time time;
  std::string error;
  // A zone can move a time out of the years that can be written.
  if (!HasShape(text) ||
      !absl::ParseTime(absl::RFC3339_full, absl::AsciiStrToUpper(text), &time, &error) ||
      time < kFirst || time >= kEnd) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text.substr(0, 64),
                     "\" is not a time; accepted is RFC 3339, such as 2006-01-02T15:04:05Z"));
  }
  return time;
}

std::string FormatRfc3339(absl::Time time) {
  return absl::FormatTime("%E4Y-%m-%d%ET%H:%M:%E*SZ", time, absl::UTCTimeZone());
}

std::string FormatRfc3339Micro(absl::Time time) {
  return absl::FormatTime("%E4Y-%m-%d%ET%H:%M:%E6SZ", time, absl::UTCTimeZone());
}

}  // namespace ashlar::api
