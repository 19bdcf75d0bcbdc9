#include "lib/kube/resource_path.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace ashlar::kube {
namespace {

// RFC 3986: everything but unreserved characters.
std::string Escape(absl::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (absl::ascii_isalnum(c) || c == '-' || c == '.' || c == '_' || c == '~') {
      escaped.push_back(c);
    } else {
      absl::StrAppendFormat(&escaped, "%%%02X", static_cast<unsigned char>(c));
    }
  }
  return escaped;
}

}  // namespace

std::string VersionPath(const api::KindInfo& kind) {
  return kind.group.empty() ? absl::StrCat("/api/", kind.version)
                            : absl::StrCat("/apis/", kind.group, "/", kind.version);
}

std::string CollectionPath(const api::KindInfo& kind, absl::string_view space) {
  const std::string root = VersionPath(kind);
  if (!kind.namespaced || space.empty()) return absl::StrCat(root, "/", kind.plural);
  return absl::StrCat(root, "/namespaces/", Escape(space), "/", kind.plural);
}

std::string ObjectPath(const api::KindInfo& kind, const api::ObjectKey& key) {
  return absl::StrCat(CollectionPath(kind, key.space), "/", Escape(key.name));
}

std::string WithQuery(std::string path,
                      const std::vector<std::pair<std::string, std::string>>& query) {
  char separator = '?';
  for (const auto& [name, value] : query) {
    if (value.empty()) continue;
    absl::StrAppend(&path, std::string(1, separator), name, "=", Escape(value));
    separator = '&';
  }
  return path;
}

}  // namespace ashlar::kube
