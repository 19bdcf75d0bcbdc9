#include "csi/volume_objects.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "csi/carve_outcome.h"
#include "lib/api/kinds.h"
#include "lib/api/quantity.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/kube/request_id.h"

namespace ashlar::csi_driver {
namespace {

using runtime::ObjectPtr;
using v1alpha1::Volume;

const api::KindInfo& Kind() { return api::Kind<Volume>(); }

std::string UidOf(const Json& object) { return JsonString(object, {"metadata", "uid"}); }

// How much earlier than the caller's deadline to answer, so that the reason reaches it.
constexpr absl::Duration kMargin = absl::Milliseconds(300);
// For callers without a deadline.
constexpr absl::Duration kLongest = absl::Minutes(5);

CallContext WithMargin(const Clock& clock, const CallContext& context) {
  const absl::Time latest = clock.Now() + kLongest;
  return context.Until(std::min(context.deadline, latest) - kMargin);
}

}  // namespace

VolumeObjects::VolumeObjects(kube::Client& client, runtime::Informer& volumes, Clock& clock)
    : client_(client), volumes_(volumes), clock_(clock), waiter_(volumes, clock) {}

absl::StatusOr<Json> VolumeObjects::Get(const CallContext& context, const std::string& name) {
  absl::StatusOr<Json> object = client_.Get(context, Kind(), {"", name});
  if (absl::IsNotFound(object.status())) {
    return absl::NotFoundError(absl::StrCat("there is no volume ", name));
  }
  if (!object.ok()) return Annotate(object.status(), absl::StrCat("volume ", name));
  volumes_.Put(*object);
  return object;
}

absl::StatusOr<Volume> VolumeObjects::Find(const CallContext& context, const std::string& name) {
  ASHLAR_ASSIGN_OR_RETURN(const Json object, Get(context, name));
  return api::FromJson<Volume>(object);
}

absl::StatusOr<Volume> VolumeObjects::FindOrCreate(const CallContext& context,
                                                   const Volume& wanted) {
  const std::string& name = wanted.metadata().name();
  Json object = api::ToJson(wanted);
  kube::SetRequestId(context, object);
  absl::StatusOr<Json> made = client_.Create(context, Kind(), object);
  if (absl::IsAlreadyExists(made.status())) return Find(context, name);
  if (!made.ok()) return Annotate(made.status(), absl::StrCat("volume ", name));
  volumes_.Put(*made);
  return api::FromJson<Volume>(*made);
}

absl::StatusOr<Volume> VolumeObjects::AwaitCarved(const CallContext& context,
                                                  const Volume& volume) {
  return Await(context, volume, "carved", [](const Volume& now) {
    CarveOutcome outcome = DecideCarve(now);
    return Progress{outcome.kind == CarveOutcome::Kind::kPending, std::move(outcome.why)};
  });
}

absl::StatusOr<Volume> VolumeObjects::AwaitModified(const CallContext& context,
                                                    const Volume& volume) {
  return Await(context, volume, "modified", [](const Volume& now) {
    ModifyOutcome outcome = DecideModify(now);
    return Progress{outcome.kind == ModifyOutcome::Kind::kPending, std::move(outcome.why)};
  });
}

absl::StatusOr<Volume> VolumeObjects::Await(const CallContext& context, const Volume& volume,
                                            absl::string_view what,
                                            absl::FunctionRef<Progress(const Volume&)> decide) {
  const std::string& name = volume.metadata().name();
  Progress outcome = decide(volume);
  Volume seen = volume;
  const auto decided = [&](const ObjectPtr& object) {
    if (object == nullptr || UidOf(*object) != volume.metadata().uid()) {
      outcome = {false, absl::AbortedError(absl::StrCat("volume ", name, " was deleted; repeat"))};
      return true;
    }
    absl::StatusOr<Volume> parsed = api::FromJson<Volume>(*object);
    if (!parsed.ok()) {
      outcome = {false, parsed.status()};
      return true;
    }
    seen = *std::move(parsed);
    // An event that is older than the caller's own write says nothing about it.
    if (seen.metadata().generation() < volume.metadata().generation()) return false;
    outcome = decide(seen);
    return !outcome.pending;
  };
  const absl::Status waited = waiter_.Await(WithMargin(clock_, context), {"", name}, decided);
  if (absl::IsDeadlineExceeded(waited)) {
    return absl::DeadlineExceededError(
        absl::StrCat("volume ", name, " is not ", what, " yet: ", outcome.why.message()));
  }
  ASHLAR_RETURN_IF_ERROR(waited);
  ASHLAR_RETURN_IF_ERROR(outcome.why);
  return seen;
}

absl::StatusOr<Volume> VolumeObjects::SetSize(const CallContext& context, const std::string& name,
                                              absl::FunctionRef<int64_t(const Volume&)> wanted) {
  for (;;) {
    ASHLAR_ASSIGN_OR_RETURN(Json object, Get(context, name));
    ASHLAR_ASSIGN_OR_RETURN(Volume volume, api::FromJson<Volume>(object));
    const int64_t bytes = wanted(volume);
    if (bytes == 0 || volume.spec().size() == bytes) return volume;
    object["spec"]["size"] = api::FormatBytes(bytes);
    kube::SetRequestId(context, object);
    absl::StatusOr<Json> written =
        client_.Update(context, Kind(), object, kube::Subresource::kNone);
    if (absl::IsAborted(written.status())) {  // somebody else wrote: read again
      ASHLAR_RETURN_IF_ERROR(CheckContext(clock_, context));
      continue;
    }
    if (!written.ok()) return Annotate(written.status(), absl::StrCat("volume ", name));
    volumes_.Put(*written);
    return api::FromJson<Volume>(*written);
  }
}

absl::StatusOr<Volume> VolumeObjects::Modify(const CallContext& context, const std::string& name,
                                             const MutableParameters& parameters) {
  for (;;) {
    ASHLAR_ASSIGN_OR_RETURN(Json object, Get(context, name));
    ASHLAR_ASSIGN_OR_RETURN(Volume volume, api::FromJson<Volume>(object));
    if (!Apply(parameters, *volume.mutable_spec())) return volume;
    api::MergeIntoJson(volume.spec(), object["spec"]);
    kube::SetRequestId(context, object);
    absl::StatusOr<Json> written =
        client_.Update(context, Kind(), object, kube::Subresource::kNone);
    if (absl::IsAborted(written.status())) {  // somebody else wrote: read again
      ASHLAR_RETURN_IF_ERROR(CheckContext(clock_, context));
      continue;
    }
    if (!written.ok()) return Annotate(written.status(), absl::StrCat("volume ", name));
    volumes_.Put(*written);
    return api::FromJson<Volume>(*written);
  }
}

absl::Status VolumeObjects::SetAnnotation(
    const CallContext& context, const std::string& name, const std::string& annotation,
    absl::FunctionRef<absl::StatusOr<std::string>(const Volume&)> wanted) {
  for (;;) {
    ASHLAR_ASSIGN_OR_RETURN(Json object, Get(context, name));
    ASHLAR_ASSIGN_OR_RETURN(const Volume volume, api::FromJson<Volume>(object));
    ASHLAR_ASSIGN_OR_RETURN(const std::string value, wanted(volume));
    const auto& annotations = volume.metadata().annotations();
    const auto found = annotations.find(annotation);
    if (value == (found == annotations.end() ? std::string() : found->second)) {
      return absl::OkStatus();
    }
    Json& metadata = object["metadata"];
    if (value.empty()) {
      metadata["annotations"].erase(annotation);
    } else {
      metadata["annotations"][annotation] = value;
    }
    absl::StatusOr<Json> written =
        client_.Update(context, Kind(), object, kube::Subresource::kNone);
    if (absl::IsAborted(written.status())) {  // somebody else wrote: read again
      ASHLAR_RETURN_IF_ERROR(CheckContext(clock_, context));
      continue;
    }
    if (!written.ok()) return Annotate(written.status(), absl::StrCat("volume ", name));
    volumes_.Put(*written);
    return absl::OkStatus();
  }
}

absl::StatusOr<Volume> VolumeObjects::Resize(const CallContext& context, const std::string& name,
                                             int64_t bytes) {
  return SetSize(context, name, [&](const Volume& volume) {
    const int64_t carved = CarvedBytes(volume);
    // What is asked for and exists stays as it was asked for.
    return carved >= std::max(bytes, volume.spec().size()) ? int64_t{0} : std::max(bytes, carved);
  });
}

absl::Status VolumeObjects::TakeBackGrowth(const CallContext& context, const Volume& refused) {
  return SetSize(context, refused.metadata().name(),
                 [&](const Volume& volume) {
                   const bool same =
                       volume.metadata().uid() == refused.metadata().uid() &&
                       volume.metadata().generation() == refused.metadata().generation();
                   const int64_t carved = CarvedBytes(volume);
                   return same && carved < volume.spec().size() ? carved : int64_t{0};
                 })
      .status();
}

absl::Status VolumeObjects::Remove(const CallContext& context, const std::string& name) {
  const ObjectPtr before = volumes_.Get({"", name});
  std::string uid = before == nullptr ? std::string() : UidOf(*before);
  // Aborted, to be repeated, if the cache is so far behind that it shows another one of the name.
  const absl::Status deleted = client_.Delete(context, Kind(), {"", name}, {.uid = uid});
  if (!deleted.ok() && !absl::IsNotFound(deleted)) {
    return Annotate(deleted, absl::StrCat("volume ", name));
  }
  if (deleted.ok() && uid.empty()) {
    // Asked once, so that the cache, which may be behind, knows the object that it must lose.
    absl::StatusOr<Json> object = Get(context, name);
    if (!object.ok() && !absl::IsNotFound(object.status())) return object.status();
    if (object.ok()) uid = UidOf(*object);
  }
  ObjectPtr last;
  const auto gone = [&](const ObjectPtr& now) {
    last = now;
    return now == nullptr || UidOf(*now) != uid;
  };
  const absl::Status waited = waiter_.Await(WithMargin(clock_, context), {"", name}, gone);
  if (!absl::IsDeadlineExceeded(waited) || last == nullptr) return waited;
  const auto volume = api::FromJson<Volume>(*last);
  return absl::DeadlineExceededError(
      absl::StrCat("volume ", name, " is not gone yet: ",
                   volume.ok() ? DescribeConditions(*volume) : volume.status().ToString()));
}

std::vector<Volume> VolumeObjects::List() const {
  std::vector<Volume> all;
  for (const ObjectPtr& object : volumes_.List()) {
    absl::StatusOr<Volume> volume = api::FromJson<Volume>(*object);
    if (volume.ok()) {
      all.push_back(*std::move(volume));
    } else {
      LogWarning("volume object is left out of the list",
                 {{"volume", kube::KeyOf(*object).name}, {"error", volume.status().message()}});
    }
  }
  std::sort(all.begin(), all.end(), [](const Volume& a, const Volume& b) {
    return a.metadata().name() < b.metadata().name();
  });
  return all;
}

}  // namespace ashlar::csi_driver
