#include "controller/objects/object_writer.h"

#include <utility>

#include "lib/kube/object.h"

namespace ashlar::controller {
namespace {

// The same object without the finalizer; false if it has none.
bool WithoutFinalizer(Json& object) {
  const Json* finalizers = FindJson(object, {"metadata", "finalizers"});
  if (finalizers == nullptr || !finalizers->is_array()) return false;
  Json left = Json::array();
  for (const Json& finalizer : *finalizers) {
    if (finalizer != kAgentFinalizer) left.push_back(finalizer);
  }
  if (left.size() == finalizers->size()) return false;
  object["metadata"]["finalizers"] = std::move(left);
  return true;
}

Json SpecOf(const Json& object) {
  const Json* spec = FindJson(object, {"spec"});
  return spec == nullptr ? Json() : *spec;
}

}  // namespace

bool HasAgentFinalizer(const Json& object) {
  const Json* finalizers = FindJson(object, {"metadata", "finalizers"});
  if (finalizers == nullptr || !finalizers->is_array()) return false;
  for (const Json& finalizer : *finalizers) {
    if (finalizer == kAgentFinalizer) return true;
  }
  return false;
}

ObjectWriter::ObjectWriter(kube::Client& client, api::KindInfo kind,
                           std::function<void(const Json&)> written)
    : client_(client), kind_(std::move(kind)), written_(std::move(written)) {}

absl::StatusOr<Json> ObjectWriter::Update(const CallContext& context, const Json& object,
                                          kube::Subresource subresource) {
  auto answer = client_.Update(context, kind_, object, subresource);
  if (answer.ok()) written_(*answer);
  return answer;
}

absl::StatusOr<Json> ObjectWriter::UpdateOwned(const CallContext& context, const Json& object,
                                               const Json& spec) {
  Json wanted = object;
  if (!HasAgentFinalizer(object)) wanted["metadata"]["finalizers"].push_back(kAgentFinalizer);
  if (!spec.is_null()) wanted["spec"].update(spec);
  return Update(context, wanted, kube::Subresource::kNone);
}

absl::StatusOr<Json> ObjectWriter::Create(const CallContext& context, const Json& object) {
  auto answer = client_.Create(context, kind_, object);
  if (answer.ok()) written_(*answer);
  return answer;
}

absl::Status ObjectWriter::RemoveFinalizer(const CallContext& context, const Json& object) {
  const api::ObjectKey key = kube::KeyOf(object);
  const std::string uid = JsonString(object, {"metadata", "uid"});
  Json present = object;
  for (int attempt = 0;; ++attempt) {
    if (!WithoutFinalizer(present)) return absl::OkStatus();
    const auto answer = Update(context, present, kube::Subresource::kNone);
    if (answer.ok() || absl::IsNotFound(answer.status())) return absl::OkStatus();
    if (!absl::IsAborted(answer.status()) || attempt == 3) return answer.status();
    auto read = client_.Get(context, kind_, key);
    if (absl::IsNotFound(read.status())) return absl::OkStatus();
    if (!read.ok()) return read.status();
    if (JsonString(*read, {"metadata", "uid"}) != uid) return absl::OkStatus();
    // The caller decided on what it saw: if the object asks for something else, it decides anew.
    if (SpecOf(*read) != SpecOf(object)) return answer.status();
    present = *std::move(read);
  }
}

}  // namespace ashlar::controller
