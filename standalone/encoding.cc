#include "standalone/encoding.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "lib/base/status_macros.h"
#include "standalone/api_error.h"

namespace ashlar::standalone {
namespace {

Json InVersion(const Resource& resource, const Json& object) {
  Json out = object;
  out["apiVersion"] = resource.info.ApiVersion();
  out["kind"] = resource.info.kind;
  return out;
}

Json Partial(const Json& object) {
  return {{"apiVersion", "meta.k8s.io/v1"},
          {"kind", "PartialObjectMetadata"},
          {"metadata", object.value("metadata", Json::object())}};
}

Json ColumnDefinitions(const Resource& resource) {
  Json columns = Json::array();
  columns.push_back({{"name", "Name"},
                     {"type", "string"},
                     {"format", "name"},
                     {"description", "The name of the object, unique in its namespace."},
                     {"priority", 0}});
  for (const Column& column : resource.columns) {
    columns.push_back({{"name", column.name},
                       {"type", column.type},
                       {"format", column.format},
                       {"description", column.description},
                       {"priority", column.priority}});
  }
  return columns;
}

Json Age(const Json& value, absl::Time now) {
  absl::Time time;
  std::string error;
  if (!value.is_string() ||
      !absl::ParseTime(absl::RFC3339_full, value.get<std::string>(), &time, &error)) {
    return "<unknown>";
  }
  return HumanDuration(now - time);
}

Json Cell(const Column& column, const Json& object, absl::Time now) {
  const std::vector<const Json*> found = column.path.Find(object);
  if (found.empty() || found[0]->is_null()) {
    return column.type == "date" ? Json("<unknown>") : Json(nullptr);
  }
  if (column.type == "date") return Age(*found[0], now);
  if (column.type == "integer" || column.type == "number" || column.type == "boolean") {
    return found[0]->is_structured() ? Json(nullptr) : *found[0];
  }
  return absl::StrJoin(found, ",", [](std::string* out, const Json* value) {
    absl::StrAppend(out, value->is_string() ? value->get<std::string>() : DumpJson(*value));
  });
}

Json Row(const Resource& resource, const Json& object, const Encoding& encoding) {
  Json cells = Json::array();
  cells.push_back(JsonString(object, {"metadata", "name"}));
  for (const Column& column : resource.columns) {
    cells.push_back(Cell(column, object, encoding.now));
  }
  Json row = {{"cells", std::move(cells)}};
  if (encoding.include_object == "Object") row["object"] = InVersion(resource, object);
  if (encoding.include_object == "Metadata" || encoding.include_object.empty()) {
    row["object"] = Partial(object);
  }
  return row;
}

Json Table(const Resource& resource, Json metadata, Json rows) {
  return {{"kind", "Table"},
          {"apiVersion", "meta.k8s.io/v1"},
          {"metadata", std::move(metadata)},
          {"columnDefinitions", ColumnDefinitions(resource)},
          {"rows", std::move(rows)}};
}

}  // namespace

absl::StatusOr<Form> FormOf(absl::string_view accept) {
  if (accept.empty()) return Form::kObject;
  for (absl::string_view range : absl::StrSplit(accept, ',', absl::SkipWhitespace())) {
    std::vector<std::string> parts = absl::StrSplit(absl::AsciiStrToLower(range), ';');
    for (std::string& part : parts) absl::StripAsciiWhitespace(&part);
    const std::string& type = parts[0];
    if (type != "application/json" && type != "*/*" && type != "application/*") continue;
    Form form = Form::kObject;
    bool known = true;
    for (size_t i = 1; i < parts.size(); ++i) {
      if (parts[i] == "as=table") form = Form::kTable;
      if (absl::StartsWith(parts[i], "as=partialobjectmetadata")) form = Form::kPartial;
      if (absl::StartsWith(parts[i], "v=") && parts[i] != "v=v1") known = false;
    }
    if (known) return form;
  }
  return NotAcceptable(absl::StrCat("only application/json is served, asked for was ", accept));
}

Json EncodeObject(const Resource& resource, const Json& object, const Encoding& encoding) {
  switch (encoding.form) {
    case Form::kObject:
      return InVersion(resource, object);
    case Form::kPartial:
      return Partial(object);
    case Form::kTable:
      break;
  }
  return Table(resource, {{"resourceVersion", JsonString(object, {"metadata", "resourceVersion"})}},
               Json::array({Row(resource, object, encoding)}));
}

Json EncodeList(const Resource& resource, const std::vector<ObjectPtr>& objects,
                const ListMeta& meta, const Encoding& encoding) {
  Json metadata = {{"resourceVersion", absl::StrCat(meta.version)}};
  if (!meta.next.empty()) {
    metadata["continue"] = meta.next;
    if (meta.remaining > 0) metadata["remainingItemCount"] = meta.remaining;
  }
  Json items = Json::array();
  for (const ObjectPtr& object : objects) {
    if (encoding.form == Form::kTable) {
      items.push_back(Row(resource, *object, encoding));
    } else {
      items.push_back(EncodeObject(resource, *object, encoding));
    }
  }
  if (encoding.form == Form::kTable) return Table(resource, std::move(metadata), std::move(items));
  const bool partial = encoding.form == Form::kPartial;
  return {{"kind", partial ? "PartialObjectMetadataList" : resource.list_kind},
          {"apiVersion", partial ? "meta.k8s.io/v1" : resource.info.ApiVersion()},
          {"metadata", std::move(metadata)},
          {"items", std::move(items)}};
}

Json EncodeBookmark(const Resource& resource, int64_t version, bool initial_end,
                    const Encoding& encoding) {
  Json metadata = {{"resourceVersion", absl::StrCat(version)}};
  if (initial_end) metadata["annotations"] = {{"k8s.io/initial-events-end", "true"}};
  if (encoding.form == Form::kTable) return Table(resource, std::move(metadata), Json::array());
  metadata["creationTimestamp"] = nullptr;
  Json object = {{"metadata", std::move(metadata)}};
  return encoding.form == Form::kPartial ? Partial(object) : InVersion(resource, object);
}

std::string HumanDuration(absl::Duration duration) {
  const int64_t seconds = absl::ToInt64Seconds(duration);
  if (seconds < -1) return "<invalid>";
  if (seconds < 0) return "0s";
  if (seconds < 2 * 60) return absl::StrCat(seconds, "s");
  const int64_t minutes = seconds / 60;
  auto pair = [](int64_t a, const char* unit, int64_t b, const char* small) {
    return b == 0 ? absl::StrCat(a, unit) : absl::StrCat(a, unit, b, small);
  };
  if (minutes < 10) return pair(minutes, "m", seconds % 60, "s");
  if (minutes < 3 * 60) return absl::StrCat(minutes, "m");
  const int64_t hours = minutes / 60;
  if (hours < 8) return pair(hours, "h", minutes % 60, "m");
  if (hours < 48) return absl::StrCat(hours, "h");
  const int64_t days = hours / 24;
  if (days < 8) return pair(days, "d", hours % 24, "h");
  if (days < 2 * 365) return absl::StrCat(days, "d");
  if (days < 8 * 365) return pair(days / 365, "y", days % 365, "d");
  return absl::StrCat(days / 365, "y");
}

}  // namespace ashlar::standalone
