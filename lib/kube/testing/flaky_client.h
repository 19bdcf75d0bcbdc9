// FlakyClient: a client in front of another one, whose calls fail when the test says so.
// Thread-safe.
#pragma once

#include <functional>
#include <string>

#include "lib/base/mutex.h"
#include "lib/kube/client.h"

namespace ashlar::kube {

class FlakyClient final : public Client {
 public:
  // Answers an error to make the call fail before it reaches the client behind, or OK to let it
  // through. `verb` is get, list, create, update, apply, delete, watch or discover; the name is
  // empty for lists, watches and discoveries.
  using Fault =
      std::function<absl::Status(absl::string_view verb, const KindInfo&, const ObjectKey&)>;

  explicit FlakyClient(Client& behind) : behind_(behind) {}

  void SetFault(Fault fault);
  // The next `count` calls of `verb` fail with `status`. Replaces any fault that was set.
  void FailNext(std::string verb, absl::Status status, int count = 1);

  absl::StatusOr<Json> Get(const CallContext&, const KindInfo&, const ObjectKey&) override;
  absl::StatusOr<ListResult> List(const CallContext&, const KindInfo&, const ListOptions&) override;
  absl::StatusOr<Json> Create(const CallContext&, const KindInfo&, const Json& object) override;
  absl::StatusOr<Json> Update(const CallContext&, const KindInfo&, const Json& object,
                              Subresource) override;
  absl::StatusOr<Json> Apply(const CallContext&, const KindInfo&, const Json& object,
                             const ApplyOptions&) override;
  absl::Status Delete(const CallContext&, const KindInfo&, const ObjectKey&,
                      const DeleteOptions&) override;
  absl::Status Watch(const CallContext&, const KindInfo&, const WatchOptions&,
                     absl::FunctionRef<absl::Status(WatchEvent)> event) override;
  absl::StatusOr<bool> Serves(const CallContext&, const KindInfo&) override;

 private:
  absl::Status Check(absl::string_view verb, const KindInfo& kind, const ObjectKey& key);

  Client& behind_;
  Mutex mu_;
  Fault fault_ ABSL_GUARDED_BY(mu_);
};

}  // namespace ashlar::kube
