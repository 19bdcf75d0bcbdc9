#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "lib/yaml/scalar.h"
#include "lib/yaml/yaml.h"

namespace ashlar {
namespace {

// Whether `text` may stand without quotes. Rather too few do than one that is read as something
// else.
bool IsPlain(absl::string_view text) {
  if (text.empty() || text.back() == ' ' || text.back() == ':') return false;
  if (!absl::ascii_isalpha(text[0]) && text[0] != '/') return false;
  for (char c : text) {
    if (c < ' ' || c > '~') return false;
  }
  if (absl::StrContains(text, ": ") || absl::StrContains(text, " #")) return false;
  // To some readers these are booleans.
  for (absl::string_view word : {"y", "Y", "n", "N"}) {
    if (text == word) return false;
  }
  return yaml::ResolvePlainScalar(text).is_string();
}

std::string Scalar(const Json& value) {
  if (value.is_string() && IsPlain(value.get_ref<const std::string&>()))
    return value.get<std::string>();
  return DumpJson(value);
}

bool IsBlock(const Json& value) { return value.is_structured() && !value.empty(); }

// `started`: the line has begun already, behind a dash.
void Write(const Json& value, int indent, bool started, std::string& out) {
  const auto margin = [&] {
    if (!started) out.append(static_cast<size_t>(indent), ' ');
    started = false;
  };
  if (value.is_object()) {
    for (const auto& [key, member] : value.items()) {
      margin();
      absl::StrAppend(&out, Scalar(Json(key)), ":");
      if (!IsBlock(member)) {
        absl::StrAppend(&out, " ", Scalar(member), "\n");
        continue;
      }
      out += "\n";
      Write(member, member.is_array() ? indent : indent + 2, false, out);
    }
    return;
  }
  for (const Json& element : value) {
    margin();
    out += "- ";
    if (IsBlock(element))
      Write(element, indent + 2, true, out);
    else
      absl::StrAppend(&out, Scalar(element), "\n");
  }
}

}  // namespace

std::string FormatYaml(const Json& value) {
  if (!IsBlock(value)) return absl::StrCat(Scalar(value), "\n");
  std::string out;
  Write(value, 0, false, out);
  return out;
}

}  // namespace ashlar
