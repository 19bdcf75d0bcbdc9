// VolumeObjects: Volume objects as CSI's controller service needs them: written to the API server,
// then waited for. Every function may be repeated; a repeat goes on where the last one ended.
// Thread-safe. Statuses of the Kubernetes client are passed on with the volume's name.
#pragma once

#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "ashlar/v1alpha1/volume.pb.h"
#include "csi/mutable_parameters.h"
#include "lib/base/clock.h"
#include "lib/kube/client.h"
#include "lib/runtime/informer.h"
#include "lib/runtime/object_waiter.h"

namespace ashlar::csi_driver {

class VolumeObjects {
 public:
  // All must outlive this object. `volumes` is an informer of the kind Volume.
  VolumeObjects(kube::Client& client, runtime::Informer& volumes, Clock& clock);

  // False until the objects have been read once: until then only Find tells the truth.
  bool Synced() const { return volumes_.Synced(); }

  // The object as it is now, or made from `wanted` if there is none.
  absl::StatusOr<v1alpha1::Volume> FindOrCreate(const CallContext& context,
                                                const v1alpha1::Volume& wanted);

  // NotFound, with the name.
  absl::StatusOr<v1alpha1::Volume> Find(const CallContext& context, const std::string& name);

  // Waits until the volume is carved with the size that its spec asks for. The refusal of
  // DecideCarve; DeadlineExceeded with what is missing, a little before the context's deadline, so
  // that the caller hears why; Aborted if the object vanishes or is replaced.
  absl::StatusOr<v1alpha1::Volume> AwaitCarved(const CallContext& context,
                                               const v1alpha1::Volume& volume);

  // Makes spec.size `bytes`, or what is carved if that is more: an earlier, larger request that did
  // not come about is taken back. The object after that.
  absl::StatusOr<v1alpha1::Volume> Resize(const CallContext& context, const std::string& name,
                                          int64_t bytes);
  // Makes spec.size what is carved again, if the spec is still that of `refused` and the volume has
  // not grown since.
  absl::Status TakeBackGrowth(const CallContext& context, const v1alpha1::Volume& refused);

  // Sets the annotation to what `wanted` makes of the object as it is; "" removes it, an error is
  // returned and changes nothing.
  absl::Status SetAnnotation(
      const CallContext& context, const std::string& name, const std::string& annotation,
      absl::FunctionRef<absl::StatusOr<std::string>(const v1alpha1::Volume&)> wanted);
  // Writes what may change of a volume in use; nothing if it is so already. The object after that.
  absl::StatusOr<v1alpha1::Volume> Modify(const CallContext& context, const std::string& name,
                                          const MutableParameters& parameters);
  // Waits until the volume's node has taken spec.limits and spec.trim. The refusal of DecideModify;
  // otherwise as AwaitCarved.
  absl::StatusOr<v1alpha1::Volume> AwaitModified(const CallContext& context,
                                                 const v1alpha1::Volume& volume);

  // Deletes the object and waits until it is gone. Absent is success. DeadlineExceeded says what
  // holds it.
  absl::Status Remove(const CallContext& context, const std::string& name);

  // All objects, by name.
  std::vector<v1alpha1::Volume> List() const;

 private:
  absl::StatusOr<Json> Get(const CallContext& context, const std::string& name);
  struct Progress {
    bool pending = true;
    absl::Status why;
  };
  // Waits until `decide` says that the object, as it became after `volume` was written, is not
  // pending any more; `what` says for what, in the past tense.
  absl::StatusOr<v1alpha1::Volume> Await(
      const CallContext& context, const v1alpha1::Volume& volume, absl::string_view what,
      absl::FunctionRef<Progress(const v1alpha1::Volume&)> decide);
  // Writes the spec.size that `wanted` makes of the object as it is; 0: none.
  absl::StatusOr<v1alpha1::Volume> SetSize(
      const CallContext& context, const std::string& name,
      absl::FunctionRef<int64_t(const v1alpha1::Volume&)> wanted);

  kube::Client& client_;
  runtime::Informer& volumes_;
  Clock& clock_;
  runtime::ObjectWaiter waiter_;
};

}  // namespace ashlar::csi_driver
