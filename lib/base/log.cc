#include "lib/base/log.h"

#include "absl/strings/str_cat.h"
#include "lib/base/json.h"
#include "spdlog/sinks/stdout_sinks.h"
#include "spdlog/spdlog.h"

namespace ashlar {
namespace {

// The one process-wide object of the project: a log line must be possible from anywhere, also while
// main still wires.
spdlog::logger& Logger() {
  static spdlog::logger& logger = *[] {
    auto* made = new spdlog::logger("ashlar", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern(R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v})",
                      spdlog::pattern_time_type::utc);
    made->flush_on(spdlog::level::debug);
    return made;
  }();
  return logger;
}

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

}  // namespace

std::string FormatLogLine(absl::string_view message, LogFields fields) {
  std::string line = absl::StrCat("\"message\":", DumpJson(std::string(message)));
  for (const LogField& field : fields) {
    if (field.text().empty()) continue;
    absl::StrAppend(
        &line, ",", DumpJson(std::string(field.key())), ":",
        field.literal() ? std::string(field.text()) : DumpJson(std::string(field.text())));
  }
  return line;
}

bool LogEnabled(LogLevel level) { return Logger().should_log(ToSpdlog(level)); }

void Log(LogLevel level, absl::string_view message, LogFields fields) {
  if (!LogEnabled(level)) return;
  Logger().log(ToSpdlog(level), "{}", FormatLogLine(message, fields));
}

void SetLogLevel(LogLevel level) { Logger().set_level(ToSpdlog(level)); }

bool SetLogLevel(absl::string_view name) {
  if (name == "debug")
    SetLogLevel(LogLevel::kDebug);
  else if (name == "info")
    SetLogLevel(LogLevel::kInfo);
  else if (name == "warning")
    SetLogLevel(LogLevel::kWarning);
  else if (name == "error")
    SetLogLevel(LogLevel::kError);
  else
    return false;
  return true;
}

}  // namespace ashlar
