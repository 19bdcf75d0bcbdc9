#include "lib/kube/testing/flaky_client.h"

#include <atomic>
#include <memory>

#include "lib/base/status_macros.h"
#include "lib/kube/object.h"

namespace ashlar::kube {

void FlakyClient::SetFault(Fault fault) {
  MutexLock lock(mu_);
  fault_ = std::move(fault);
}

void FlakyClient::FailNext(std::string verb, absl::Status status, int count) {
  auto left = std::make_shared<std::atomic<int>>(count);
  SetFault([verb = std::move(verb), status = std::move(status), left](
               absl::string_view called, const KindInfo&, const ObjectKey&) {
    return called == verb && left->fetch_sub(1) > 0 ? status : absl::OkStatus();
  });
}

absl::Status FlakyClient::Check(absl::string_view verb, const KindInfo& kind,
                                const ObjectKey& key) {
  Fault fault;
  {
    MutexLock lock(mu_);
    fault = fault_;
  }
  return fault ? fault(verb, kind, key) : absl::OkStatus();
}

absl::StatusOr<Json> FlakyClient::Get(const CallContext& context, const KindInfo& kind,
                                      const ObjectKey& key) {
  ASHLAR_RETURN_IF_ERROR(Check("get", kind, key));
  return behind_.Get(context, kind, key);
}

absl::StatusOr<ListResult> FlakyClient::List(const CallContext& context, const KindInfo& kind,
                                             const ListOptions& options) {
  ASHLAR_RETURN_IF_ERROR(Check("list", kind, {options.space, ""}));
  return behind_.List(context, kind, options);
}

absl::StatusOr<Json> FlakyClient::Create(const CallContext& context, const KindInfo& kind,
                                         const Json& object) {
  ASHLAR_RETURN_IF_ERROR(Check("create", kind, KeyOf(object)));
  return behind_.Create(context, kind, object);
}

absl::StatusOr<Json> FlakyClient::Update(const CallContext& context, const KindInfo& kind,
                                         const Json& object, Subresource subresource) {
  ASHLAR_RETURN_IF_ERROR(Check("update", kind, KeyOf(object)));
  return behind_.Update(context, kind, object, subresource);
}

absl::StatusOr<Json> FlakyClient::Apply(const CallContext& context, const KindInfo& kind,
                                        const Json& object, const ApplyOptions& options) {
  ASHLAR_RETURN_IF_ERROR(Check("apply", kind, KeyOf(object)));
  return behind_.Apply(context, kind, object, options);
}

absl::Status FlakyClient::Delete(const CallContext& context, const KindInfo& kind,
                                 const ObjectKey& key, const DeleteOptions& options) {
  ASHLAR_RETURN_IF_ERROR(Check("delete", kind, key));
  return behind_.Delete(context, kind, key, options);
}

absl::Status FlakyClient::Watch(const CallContext& context, const KindInfo& kind,
                                const WatchOptions& options,
                                absl::FunctionRef<absl::Status(WatchEvent)> event) {
  ASHLAR_RETURN_IF_ERROR(Check("watch", kind, {options.space, ""}));
  return behind_.Watch(context, kind, options, event);
}

absl::StatusOr<bool> FlakyClient::Serves(const CallContext& context, const KindInfo& kind) {
  ASHLAR_RETURN_IF_ERROR(Check("discover", kind, {}));
  return behind_.Serves(context, kind);
}

}  // namespace ashlar::kube
