// EventSink: what a person should notice about an object (a Kubernetes Event). Two implementations:
// kube_event_sink.h and testing/recorded_events.h. Thread-safe.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "lib/base/json.h"

namespace ashlar::controller {

class EventSink {
 public:
  enum class Type { kNormal, kWarning };

  virtual ~EventSink() = default;
  // `object` needs apiVersion, kind and metadata.name, and metadata.namespace if it has one. Does
  // not block; an event that cannot be delivered is lost, as events are.
  virtual void Publish(Type type, const Json& object, absl::string_view reason,
                       absl::string_view message) = 0;
};

}  // namespace ashlar::controller
