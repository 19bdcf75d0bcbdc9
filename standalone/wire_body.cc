#include "standalone/wire_body.h"

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "google/protobuf/util/json_util.h"
#include "kubernetes_wire.pb.h"
#include "lib/base/status_macros.h"
#include "standalone/api_error.h"

namespace ashlar::standalone {
namespace {

std::unique_ptr<google::protobuf::Message> MakeMessage(const std::string& kind) {
  if (kind == "Namespace") return std::make_unique<kubernetes_wire::Namespace>();
  if (kind == "ConfigMap") return std::make_unique<kubernetes_wire::ConfigMap>();
  if (kind == "Secret") return std::make_unique<kubernetes_wire::Secret>();
  if (kind == "DeleteOptions") return std::make_unique<kubernetes_wire::DeleteOptions>();
  return nullptr;
}

}  // namespace

absl::StatusOr<Json> DecodeWireBody(absl::string_view body) {
  kubernetes_wire::Unknown unknown;
  if (!absl::ConsumePrefix(&body, absl::string_view("k8s\0", 4)) ||
      !unknown.ParseFromArray(body.data(), static_cast<int>(body.size()))) {
    return BadRequest("the body is not a Kubernetes protobuf object");
  }
  const std::string& kind = unknown.type_meta().kind();
  auto message = MakeMessage(kind);
  if (message == nullptr) {
    return UnsupportedMediaType(absl::StrCat(kWireMediaType, " of kind ", kind),
                                "application/json, application/yaml");
  }
  std::string text;
  if (!message->ParseFromString(unknown.raw()) ||
      !google::protobuf::util::MessageToJsonString(*message, &text).ok()) {
    return BadRequest(absl::StrCat("the body is not a protobuf ", kind));
  }
  ASHLAR_ASSIGN_OR_RETURN(Json object, ParseJson(text));
  object["apiVersion"] = unknown.type_meta().api_version();
  object["kind"] = kind;
  return object;
}

}  // namespace ashlar::standalone
