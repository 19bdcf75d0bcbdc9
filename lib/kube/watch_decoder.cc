#include "lib/kube/watch_decoder.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "lib/base/log.h"
#include "lib/kube/api_error.h"
#include "lib/kube/object.h"

namespace ashlar::kube {
namespace {

std::optional<WatchEvent::Type> TypeOf(const std::string& text) {
  if (text == "ADDED") return WatchEvent::Type::kAdded;
  if (text == "MODIFIED") return WatchEvent::Type::kModified;
  if (text == "DELETED") return WatchEvent::Type::kDeleted;
  if (text == "BOOKMARK") return WatchEvent::Type::kBookmark;
  return std::nullopt;
}

}  // namespace

absl::StatusOr<std::optional<WatchEvent>> DecodeWatchLine(absl::string_view line,
                                                          const KindInfo& kind) {
  if (absl::StripAsciiWhitespace(line).empty()) return std::nullopt;
  auto skip = [&](absl::string_view why) {
    LogWarning("skipped a watch event", {{"kind", kind.kind}, {"reason", why}});
    return std::nullopt;
  };
  auto event = ParseJson(line);
  if (!event.ok()) return skip(event.status().message());
  const std::string type_name = JsonString(*event, {"type"});
  const Json* object = FindJson(*event, {"object"});
  if (type_name == "ERROR")
    return ErrorOf(object == nullptr ? Json() : *object, absl::StrCat("watch ", kind.plural));
  const auto type = TypeOf(type_name);
  if (!type) return skip(absl::StrCat("unknown type \"", type_name, "\""));
  if (object == nullptr || VersionOf(*object).empty())
    return skip("no object with resourceVersion");
  if (*type != WatchEvent::Type::kBookmark && KeyOf(*object).name.empty())
    return skip("the object has no name");
  return WatchEvent{*type, std::move((*event)["object"])};
}

}  // namespace ashlar::kube
