// ObjectWriter: how the reconcilers write objects of one kind: by server-side apply under the name
// "ashlar-controller", only for the incarnation that was read, and so that the next read sees it.
// Thread-safe.
#pragma once

#include <functional>

#include "absl/status/statusor.h"
#include "lib/kube/client.h"

namespace ashlar::controller {

inline constexpr char kFieldManager[] = "ashlar-controller";
// Holds a deletion until what the agents hold for the object is gone.
inline constexpr char kAgentFinalizer[] = "ashlar.dev/agent";

class ObjectWriter {
 public:
  // `written` takes in what the server answered to a write (Informer::Put).
  ObjectWriter(kube::Client& client, api::KindInfo kind, std::function<void(const Json&)> written);

  // Applies the finalizer and, unless it is null, `spec`: every field of it that the controller
  // owns.
  absl::StatusOr<Json> ApplyOwned(const CallContext& context, const Json& object, const Json& spec);
  // Applies the whole status. NotFound: the object is gone.
  absl::StatusOr<Json> ApplyStatus(const CallContext& context, const Json& object,
                                   const Json& status);
  // Makes the object if there is none of the name; AlreadyExists otherwise.
  absl::StatusOr<Json> Create(const CallContext& context, const Json& object);
  // Takes the finalizer off, so that the deletion ends. OK if the object or it is gone already.
  // Aborted: its spec is another by now.
  absl::Status RemoveFinalizer(const CallContext& context, const Json& object);

 private:
  absl::StatusOr<Json> Apply(const CallContext& context, const Json& object, const char* field,
                             const Json& value, kube::Subresource subresource);

  kube::Client& client_;
  const api::KindInfo kind_;
  const std::function<void(const Json&)> written_;
};

bool HasAgentFinalizer(const Json& object);

}  // namespace ashlar::controller
