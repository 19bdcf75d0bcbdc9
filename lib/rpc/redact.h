// Redact: a request as one line of text for the log, without secrets. Thread-safe, no state.
#pragma once

#include <string>

#include "google/protobuf/message.h"

namespace ashlar::rpc {

// Every field that its proto marks with the option (csi.v1.csi_secret), however deep, is left out,
// whatever its type. The option is found by name, so that programs without CSI need not link it. At
// most 2 KiB, the rest is cut.
std::string Redact(const google::protobuf::Message& message);

}  // namespace ashlar::rpc
