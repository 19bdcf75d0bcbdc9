#include "lib/api/field_codec.h"

#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "lib/api/quantity.h"
#include "lib/api/rfc3339.h"

namespace ashlar::api::codec {
namespace {

using google::protobuf::Timestamp;

// google::protobuf's TimeUtil refuses nothing and knows no absl; the range is that of RFC 3339.
absl::Time ToTime(const Timestamp& stamp) {
  return absl::FromUnixSeconds(stamp.seconds()) + absl::Nanoseconds(stamp.nanos());
}

absl::StatusOr<Quantity> QuantityOf(const Json& json) {
  if (json.is_string()) return Quantity::Parse(json.get_ref<const std::string&>());
  if (json.is_number()) return Quantity::Parse(json.dump());
  return absl::InvalidArgumentError("must be a quantity, such as \"10Gi\" or a number");
}

}  // namespace

std::string Path::ToString() const {
  if (parent_ == nullptr) return "";
  if (index_ >= 0) return absl::StrCat(parent_->ToString(), "[", index_, "]");
  const std::string parent = parent_->ToString();
  return parent.empty() ? std::string(key_) : absl::StrCat(parent, ".", key_);
}

absl::Status Refuse(const Path& path, const Json& value, absl::string_view accepted) {
  std::string text = DumpJson(value);
  if (text.size() > 100) text = absl::StrCat(text.substr(0, 100), "...");
  const std::string where = path.ToString();
  return absl::InvalidArgumentError(absl::StrCat(where.empty() ? "the object" : where,
                                                 ": Invalid value: ", text, ": ", accepted));
}

const Json* Present(const Json& object, const char* key) {
  const auto it = object.find(key);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

absl::Status CheckObject(const Json& json, const Path& path) {
  return json.is_object() ? absl::OkStatus() : Refuse(path, json, "must be an object");
}

absl::Status CheckArray(const Json& json, const Path& path) {
  return json.is_array() ? absl::OkStatus() : Refuse(path, json, "must be an array");
}

absl::Status CheckKind(const Json& json, const KindInfo& kind) {
  const Path root;
  if (const Json* found = Present(json, "apiVersion"); found && *found != kind.ApiVersion())
    return Refuse(Path(root, "apiVersion"), *found, absl::StrCat("must be ", kind.ApiVersion()));
  if (const Json* found = Present(json, "kind"); found && *found != kind.kind)
    return Refuse(Path(root, "kind"), *found, absl::StrCat("must be ", kind.kind));
  return absl::OkStatus();
}

void PutKind(Json& base, const KindInfo& kind) {
  base["apiVersion"] = kind.ApiVersion();
  base["kind"] = kind.kind;
}

absl::StatusOr<std::string> ReadString(const Json& json, const Path& path) {
  if (!json.is_string()) return Refuse(path, json, "must be a string");
  return json.get<std::string>();
}

absl::StatusOr<bool> ReadBool(const Json& json, const Path& path) {
  if (!json.is_boolean()) return Refuse(path, json, "must be true or false");
  return json.get<bool>();
}

absl::StatusOr<int64_t> ReadInt64(const Json& json, const Path& path) {
  const bool too_large =
      json.is_number_unsigned() &&
      json.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  if (!json.is_number_integer() || too_large)
    return Refuse(path, json, "must be an integer of 64 bits");
  return json.get<int64_t>();
}

absl::StatusOr<int32_t> ReadInt32(const Json& json, const Path& path) {
  const absl::StatusOr<int64_t> wide = ReadInt64(json, path);
  if (!wide.ok() || *wide < std::numeric_limits<int32_t>::min() ||
      *wide > std::numeric_limits<int32_t>::max())
    return Refuse(path, json, "must be an integer of 32 bits");
  return static_cast<int32_t>(*wide);
}

absl::StatusOr<int64_t> ReadQuantity(const Json& json, const Path& path) {
  const absl::StatusOr<Quantity> quantity = QuantityOf(json);
  if (!quantity.ok()) return Refuse(path, json, quantity.status().message());
  return quantity->Value();
}

absl::StatusOr<Timestamp> ReadTime(const Json& json, const Path& path) {
  if (!json.is_string()) return Refuse(path, json, "must be a time, such as 2006-01-02T15:04:05Z");
  const absl::StatusOr<absl::Time> time = ParseRfc3339(json.get_ref<const std::string&>());
  if (!time.ok()) return Refuse(path, json, time.status().message());
  Timestamp stamp;
  stamp.set_seconds(absl::ToUnixSeconds(*time));
  stamp.set_nanos(static_cast<int32_t>(
      absl::ToInt64Nanoseconds(*time - absl::FromUnixSeconds(stamp.seconds()))));
  return stamp;
}

absl::Status ReadStrings(const Json& json, const Path& path,
                         google::protobuf::RepeatedPtrField<std::string>& out) {
  ASHLAR_RETURN_IF_ERROR(CheckArray(json, path));
  for (size_t i = 0; i < json.size(); ++i) {
    ASHLAR_ASSIGN_OR_RETURN(*out.Add(), ReadString(json[i], Path(path, i)));
  }
  return absl::OkStatus();
}

absl::Status ReadMap(const Json& json, const Path& path,
                     google::protobuf::Map<std::string, std::string>& out) {
  ASHLAR_RETURN_IF_ERROR(CheckObject(json, path));
  for (const auto& [key, value] : json.items()) {
    ASHLAR_ASSIGN_OR_RETURN(out[key], ReadString(value, Path(path, key)));
  }
  return absl::OkStatus();
}

void PutQuantity(Json& base, const char* key, bool present, int64_t value) {
  if (!present) {
    base.erase(key);
    return;
  }
  Json& member = base[key];
  const absl::StatusOr<Quantity> before = QuantityOf(member);
  // Rounding up when read is no change.
  if (before.ok() && before->Value() == value) return;
  member = FormatBytes(value);
}

void PutTime(Json& base, const char* key, bool present, const Timestamp& value) {
  if (!present) {
    base.erase(key);
    return;
  }
  Json& member = base[key];
  if (member.is_string()) {
    const absl::StatusOr<absl::Time> before = ParseRfc3339(member.get_ref<const std::string&>());
    if (before.ok() && *before == ToTime(value)) return;
  }
  member = FormatRfc3339(ToTime(value));
}

void PutStrings(Json& base, const char* key, bool present,
                const google::protobuf::RepeatedPtrField<std::string>& values) {
  PutScalar(base, key, present, Json(std::vector<std::string>(values.begin(), values.end())));
}

void PutMap(Json& base, const char* key, bool present,
            const google::protobuf::Map<std::string, std::string>& values) {
  Json object = Json::object();
  for (const auto& [name, value] : values) object[name] = value;
  PutScalar(base, key, present, object);
}

Json* FindByKeys(Json& list, const Json& like, const std::vector<const char*>& keys) {
  for (Json& element : list) {
    if (!element.is_object()) continue;
    bool same = true;
    for (const char* key : keys) {
      const Json* left = Present(element, key);
      const Json* right = Present(like, key);
      // A key that both leave out is the same.
      same = same && (left == nullptr || right == nullptr ? left == right : *left == *right);
    }
    if (same) return &element;
  }
  return nullptr;
}

}  // namespace ashlar::api::codec
