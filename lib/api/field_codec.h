// What the code made by protoc-gen-ashlar is built of: one reader and one writer per type of field.
// Only generated code includes this; everything else uses codec.h. Thread-safe, no state.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/map.h"
#include "google/protobuf/repeated_field.h"
#include "google/protobuf/timestamp.pb.h"
#include "lib/api/codec.h"
#include "lib/base/json.h"
#include "lib/base/status_macros.h"

namespace ashlar::api::codec {

// Where a value stands. It lives on the stack of the readers, so that a path costs nothing until an
// error names it.
class Path {
 public:
  Path() = default;
  Path(const Path& parent, absl::string_view key) : parent_(&parent), key_(key) {}
  Path(const Path& parent, size_t index) : parent_(&parent), index_(static_cast<int64_t>(index)) {}
  // Such as status.nodes[3].capacity.
  std::string ToString() const;

 private:
  const Path* parent_ = nullptr;
  absl::string_view key_;
  int64_t index_ = -1;
};

// InvalidArgument: `<path>: Invalid value: <value>: <accepted>`, with a long value cut.
absl::Status Refuse(const Path& path, const Json& value, absl::string_view accepted);

// The member, or nullptr if it is absent or null, which mean the same to Kubernetes.
const Json* Present(const Json& object, const char* key);

absl::Status CheckObject(const Json& json, const Path& path);
absl::Status CheckArray(const Json& json, const Path& path);
// apiVersion and kind, where they are given, must be those of `kind`.
absl::Status CheckKind(const Json& json, const KindInfo& kind);
void PutKind(Json& base, const KindInfo& kind);

absl::StatusOr<std::string> ReadString(const Json& json, const Path& path);
absl::StatusOr<bool> ReadBool(const Json& json, const Path& path);
absl::StatusOr<int32_t> ReadInt32(const Json& json, const Path& path);
absl::StatusOr<int64_t> ReadInt64(const Json& json, const Path& path);
// A quantity as an integer, rounded up.
absl::StatusOr<int64_t> ReadQuantity(const Json& json, const Path& path);
absl::StatusOr<google::protobuf::Timestamp> ReadTime(const Json& json, const Path& path);
absl::Status ReadStrings(const Json& json, const Path& path,
                         google::protobuf::RepeatedPtrField<std::string>& out);
absl::Status ReadMap(const Json& json, const Path& path,
                     google::protobuf::Map<std::string, std::string>& out);

// Specialised for every message by the generated code.
template <class T>
absl::Status ReadMessage(const Json& json, const Path& path, T& out);

template <class T>
absl::Status ReadMessages(const Json& json, const Path& path,
                          google::protobuf::RepeatedPtrField<T>& out) {
  ASHLAR_RETURN_IF_ERROR(CheckArray(json, path));
  for (size_t i = 0; i < json.size(); ++i)
    ASHLAR_RETURN_IF_ERROR(ReadMessage(json[i], Path(path, i), *out.Add()));
  return absl::OkStatus();
}

template <class T>
void PutScalar(Json& base, const char* key, bool present, const T& value) {
  if (present)
    base[key] = value;
  else
    base.erase(key);
}
// A quantity or time that `base` has already in other words ("1024Mi") keeps its words.
void PutQuantity(Json& base, const char* key, bool present, int64_t value);
void PutTime(Json& base, const char* key, bool present, const google::protobuf::Timestamp& value);
void PutStrings(Json& base, const char* key, bool present,
                const google::protobuf::RepeatedPtrField<std::string>& values);
void PutMap(Json& base, const char* key, bool present,
            const google::protobuf::Map<std::string, std::string>& values);

template <class T>
void PutMessage(Json& base, const char* key, bool present, const T& value) {
  if (!present) {
    base.erase(key);
    return;
  }
  Json& member = base[key];
  if (!member.is_object()) member = Json::object();
  MergeIntoJson(value, member);
}

// The element of `list` that has the same values as `like` under every key, or nullptr.
Json* FindByKeys(Json& list, const Json& like, const std::vector<const char*>& keys);

// An element of a map list is merged into the one with the same keys. An element of an atomic list
// replaces the one in its place, unless both say the same.
template <class T>
void PutMessages(Json& base, const char* key, bool present,
                 const google::protobuf::RepeatedPtrField<T>& values,
                 const std::vector<const char*>& keys) {
  if (!present) {
    base.erase(key);
    return;
  }
  Json old = base.contains(key) && base[key].is_array() ? std::move(base[key]) : Json::array();
  Json list = Json::array();
  for (int i = 0; i < values.size(); ++i) {
    Json element = ToJson(values[i]);
    const size_t at = static_cast<size_t>(i);
    if (!keys.empty()) {
      if (Json* same = FindByKeys(old, element, keys); same != nullptr) {
        MergeIntoJson(values[i], *same);
        element = *same;
      }
    } else if (at < old.size()) {
      T before;
      if (ReadMessage(old[at], Path(), before).ok() && ToJson(before) == element) element = old[at];
    }
    list.push_back(std::move(element));
  }
  base[key] = std::move(list);
}

}  // namespace ashlar::api::codec
