// EventSink: what a person should notice about an object, told as Kubernetes Events. Thread-safe.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "lib/base/call_context.h"
#include "lib/kube/client.h"
#include "lib/kube/event_recorder.h"

namespace ashlar::controller {

class EventSink {
 public:
  enum class Type { kNormal, kWarning };

  // Both must outlive the sink.
  EventSink(kube::Client& client, kube::EventRecorder& recorder)
      : client_(client), recorder_(recorder) {}

  // `object` is one that was read: with apiVersion, kind, name and uid. Does not block; an event
  // that cannot be delivered is lost, as events are.
  void Publish(Type type, const Json& object, absl::string_view reason, absl::string_view message);

  // The same on a claim of which only the name is known. It is read first, because people look for
  // events by uid; one that is gone is told nothing.
  void PublishOnClaim(const CallContext& context, Type type, const api::ObjectKey& claim,
                      absl::string_view reason, absl::string_view message);

 private:
  kube::Client& client_;
  kube::EventRecorder& recorder_;
};

}  // namespace ashlar::controller
