#include "lib/base/json.h"

#include "absl/strings/str_cat.h"

namespace ashlar {

absl::StatusOr<Json> ParseJson(absl::string_view text) {
  try {
    return Json::parse(text.data(), text.data() + text.size());
  } catch (const Json::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat("not valid JSON: ", error.what()));
  }
}

std::string DumpJson(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

const Json* FindJson(const Json& value, std::initializer_list<absl::string_view> keys) {
  const Json* at = &value;
  for (absl::string_view key : keys) {
    if (!at->is_object()) return nullptr;
    auto it = at->find(std::string(key));
    if (it == at->end()) return nullptr;
    at = &*it;
  }
  return at;
}

std::string JsonString(const Json& value, std::initializer_list<absl::string_view> keys) {
  const Json* found = FindJson(value, keys);
  return found != nullptr && found->is_string() ? found->get<std::string>() : std::string();
}

std::vector<std::string> JsonStrings(const Json& value,
                                     std::initializer_list<absl::string_view> keys) {
  std::vector<std::string> texts;
  const Json* array = FindJson(value, keys);
  if (array == nullptr || !array->is_array()) return texts;
  for (const Json& item : *array)
    if (item.is_string()) texts.push_back(item.get<std::string>());
  return texts;
}

int64_t JsonInt(const Json& value, std::initializer_list<absl::string_view> keys,
                int64_t otherwise) {
  const Json* found = FindJson(value, keys);
  return found != nullptr && found->is_number_integer() ? found->get<int64_t>() : otherwise;
}

}  // namespace ashlar
