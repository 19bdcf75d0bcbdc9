// When the filesystem of a volume is trimmed. Pure.
#pragma once

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "node-agent/limits/volume_attributes.h"

namespace ashlar::node_agent {

// The first time after `after` at which the volume is due: once a day or a week, at a time of its
// own that follows from its name, so that the volumes of a cluster are spread over the period and a
// restart of the agent changes nothing. Nothing: never.
std::optional<absl::Time> NextTrim(absl::string_view volume, TrimSchedule schedule,
                                   absl::Time after);

}  // namespace ashlar::node_agent
