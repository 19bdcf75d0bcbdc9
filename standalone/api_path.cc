#include "standalone/api_path.h"

#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "lib/base/status_macros.h"
#include "standalone/api_error.h"

namespace ashlar::standalone {
namespace {

absl::StatusOr<std::string> Decode(absl::string_view text, bool plus_is_space) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus_is_space) {
      out += ' ';
    } else if (text[i] != '%') {
      out += text[i];
    } else if (i + 2 < text.size() && absl::ascii_isxdigit(text[i + 1]) &&
               absl::ascii_isxdigit(text[i + 2])) {
      out += absl::HexStringToBytes(text.substr(i + 1, 2));
      i += 2;
    } else {
      return BadRequest(absl::StrCat("broken escape in \"", text, "\""));
    }
  }
  return out;
}

// parts: what follows /api/v1 or /apis/GROUP/VERSION.
void ParseResource(std::vector<std::string> parts, ApiPath& out) {
  if (!parts.empty() && parts[0] == "watch") {
    out.old_watch = true;
    parts.erase(parts.begin());
  }
  if (parts.size() >= 3 && parts[0] == "namespaces") {
    // /namespaces/NAME/status and /finalize belong to the namespace itself.
    const bool own = parts.size() == 3 && (parts[2] == "status" || parts[2] == "finalize");
    if (!own) {
      out.space = parts[1];
      parts.erase(parts.begin(), parts.begin() + 2);
    }
  }
  if (parts.empty() || parts.size() > 3) return;
  out.is_resource = true;
  out.plural = parts[0];
  if (parts.size() > 1) out.name = parts[1];
  if (parts.size() > 2) out.subresource = parts[2];
}

}  // namespace

std::string ApiPath::Query(const std::string& key) const {
  auto it = query.find(key);
  return it == query.end() ? "" : it->second;
}

bool ApiPath::Flag(const std::string& key) const {
  const std::string value = Query(key);
  return value == "1" || absl::AsciiStrToLower(value) == "true";
}

absl::StatusOr<ApiPath> ParseApiPath(absl::string_view target) {
  ApiPath out;
  const size_t question = target.find('?');
  if (question != absl::string_view::npos) {
    for (absl::string_view pair :
         absl::StrSplit(target.substr(question + 1), '&', absl::SkipEmpty())) {
      std::pair<absl::string_view, absl::string_view> parts =
          absl::StrSplit(pair, absl::MaxSplits('=', 1));
      ASHLAR_ASSIGN_OR_RETURN(std::string key, Decode(parts.first, true));
      ASHLAR_ASSIGN_OR_RETURN(out.query[key], Decode(parts.second, true));
    }
  }
  std::vector<std::string> parts;
  for (absl::string_view raw : absl::StrSplit(target.substr(0, question), '/', absl::SkipEmpty())) {
    ASHLAR_ASSIGN_OR_RETURN(std::string part, Decode(raw, false));
    absl::StrAppend(&out.path, "/", part);
    parts.push_back(std::move(part));
  }
  if (parts.size() > 2 && parts[0] == "api") {
    out.version = parts[1];
    ParseResource({parts.begin() + 2, parts.end()}, out);
  } else if (parts.size() > 3 && parts[0] == "apis") {
    out.group = parts[1];
    out.version = parts[2];
    ParseResource({parts.begin() + 3, parts.end()}, out);
  }
  return out;
}

}  // namespace ashlar::standalone
