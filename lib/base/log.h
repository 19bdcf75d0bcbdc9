// The log: one JSON object a line on standard error, with a time, a level, a message and fields.
// Thread-safe. Secrets never go in: callers pass fields by name, never whole requests (lib/rpc
// strips those).
//
//   LogInfo("volume carved", {{"volume", id}, {"bytes", size}, {"request", context.request_id}});
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <type_traits>

#include "absl/strings/string_view.h"

namespace ashlar {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

class LogField {
 public:
  LogField(absl::string_view key, absl::string_view value) : key_(key), text_(value) {}
  LogField(absl::string_view key, const std::string& value) : key_(key), text_(value) {}
  LogField(absl::string_view key, const char* value) : key_(key), text_(value) {}
  LogField(absl::string_view key, bool value)
      : key_(key), text_(value ? "true" : "false"), literal_(true) {}
  template <class T, class = std::enable_if_t<std::is_integral_v<T> || std::is_floating_point_v<T>>>
  LogField(absl::string_view key, T value)
      : key_(key), text_(std::to_string(value)), literal_(true) {}

  absl::string_view key() const { return key_; }
  absl::string_view text() const { return text_; }
  bool literal() const { return literal_; }  // a number or a boolean: written without quotes

 private:
  absl::string_view key_;
  std::string text_;
  bool literal_ = false;
};

using LogFields = std::initializer_list<LogField>;

void Log(LogLevel level, absl::string_view message, LogFields fields = {});

inline void LogDebug(absl::string_view message, LogFields fields = {}) {
  Log(LogLevel::kDebug, message, fields);
}
inline void LogInfo(absl::string_view message, LogFields fields = {}) {
  Log(LogLevel::kInfo, message, fields);
}
inline void LogWarning(absl::string_view message, LogFields fields = {}) {
  Log(LogLevel::kWarning, message, fields);
}
inline void LogError(absl::string_view message, LogFields fields = {}) {
  Log(LogLevel::kError, message, fields);
}

// What is below the level is not written. The start value is kInfo.
void SetLogLevel(LogLevel level);
// Accepts debug, info, warning, error; false otherwise and nothing changes.
bool SetLogLevel(absl::string_view name);

// Whether Log writes lines of this level: for callers whose fields are costly to make.
bool LogEnabled(LogLevel level);

// The line that Log would write, without its time: for tests of the format.
std::string FormatLogLine(absl::string_view message, LogFields fields);

}  // namespace ashlar
