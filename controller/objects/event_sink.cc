#include "controller/objects/event_sink.h"

#include "lib/kube/core_kinds.h"

namespace ashlar::controller {

void EventSink::Publish(Type type, const Json& object, absl::string_view reason,
                        absl::string_view message) {
  recorder_.Record(kube::ReferenceTo(object),
                   type == Type::kNormal ? kube::EventType::kNormal : kube::EventType::kWarning,
                   reason, message);
}

void EventSink::PublishOnClaim(const CallContext& context, Type type, const api::ObjectKey& claim,
                               absl::string_view reason, absl::string_view message) {
  const auto object = client_.Get(context, kube::kPersistentVolumeClaim, claim);
  if (object.ok()) Publish(type, *object, reason, message);
}

}  // namespace ashlar::controller
