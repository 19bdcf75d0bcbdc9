// ObjectWriter: how the reconcilers write objects of one kind: only over the version that was read,
// and so that the next read sees it. Thread-safe.
//
// A whole object is put, not applied: for a custom resource that costs the API server a third of a
// server-side apply (Kubernetes 1.36), and a volume's life is a handful of such writes. What
// somebody else wrote meanwhile is not lost, the write is refused (Aborted) and the reconciler
// looks again.
#pragma once

#include <functional>

#include "absl/status/statusor.h"
#include "lib/api/codec.h"
#include "lib/kube/client.h"

namespace ashlar::controller {

// Holds a deletion until what the agents hold for the object is gone.
inline constexpr char kAgentFinalizer[] = "ashlar.dev/agent";

class ObjectWriter {
 public:
  // `written` takes in what the server answered to a write (Informer::Put).
  ObjectWriter(kube::Client& client, api::KindInfo kind, std::function<void(const Json&)> written);

  // Puts the finalizer there and, unless it is null, the fields of `spec`, which the controller
  // owns. Aborted: the object is another by now. NotFound: it is gone.
  absl::StatusOr<Json> UpdateOwned(const CallContext& context, const Json& object,
                                   const Json& spec);
  // Makes `status` the status, but for fields in it that this version does not know, which stay
  // as they are. Errors as above.
  template <class Status>
  absl::StatusOr<Json> UpdateStatus(const CallContext& context, const Json& object,
                                    const Status& status) {
    Json wanted = object;
    api::MergeIntoJson(status, wanted["status"]);
    return Update(context, wanted, kube::Subresource::kStatus);
  }
  // Makes the object if there is none of the name; AlreadyExists otherwise.
  absl::StatusOr<Json> Create(const CallContext& context, const Json& object);
  // Takes the finalizer off, so that the deletion ends. OK if the object or it is gone already.
  // Aborted: its spec is another by now.
  absl::Status RemoveFinalizer(const CallContext& context, const Json& object);

 private:
  absl::StatusOr<Json> Update(const CallContext& context, const Json& object,
                              kube::Subresource subresource);

  kube::Client& client_;
  const api::KindInfo kind_;
  const std::function<void(const Json&)> written_;
};

bool HasAgentFinalizer(const Json& object);

}  // namespace ashlar::controller
