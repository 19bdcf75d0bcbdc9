// What the code made by protoc-gen-ashlar needs besides field_codec.h for maps of messages and for
// parts that may be any JSON. Only generated code includes this. Thread-safe, no state.
#pragma once

#include <string>

#include "lib/api/field_codec.h"

namespace ashlar::api::codec {

template <class T>
absl::Status ReadMessageMap(const Json& json, const Path& path,
                            google::protobuf::Map<std::string, T>& out) {
  ASHLAR_RETURN_IF_ERROR(CheckObject(json, path));
  for (const auto& [key, value] : json.items())
    ASHLAR_RETURN_IF_ERROR(ReadMessage(value, Path(path, key), out[key]));
  return absl::OkStatus();
}

// An entry is merged into the one of the same name.
template <class T>
void PutMessageMap(Json& base, const char* key, bool present,
                   const google::protobuf::Map<std::string, T>& values) {
  if (!present) {
    base.erase(key);
    return;
  }
  Json& old = base[key];
  Json object = Json::object();
  for (const auto& [name, value] : values) {
    Json& entry = object[name];
    if (old.is_object() && old.contains(name)) entry = std::move(old[name]);
    MergeIntoJson(value, entry);
  }
  old = std::move(object);
}

inline absl::StatusOr<std::string> ReadJsonText(const Json& json, const Path&) {
  return DumpJson(json);
}

// Text that is no JSON is written as a string.
inline void PutJsonText(Json& base, const char* key, bool present, const std::string& text) {
  if (!present) {
    base.erase(key);
    return;
  }
  absl::StatusOr<Json> parsed = ParseJson(text);
  base[key] = parsed.ok() ? *std::move(parsed) : Json(text);
}

}  // namespace ashlar::api::codec
