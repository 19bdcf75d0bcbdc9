// Any JSON as an object of each kind, as an embedded API server takes it in; and any JSON as a
// schema.
#include "lib/api/kinds.h"
#include "lib/schema/schema.h"
#include "test/fuzz/fuzz_target.h"

namespace {

using ashlar::Json;
using ashlar::schema::Schema;

Schema SchemaOf(absl::string_view crd) {
  const Json json = *ashlar::ParseJson(crd);
  return *Schema::Compile(json["spec"]["versions"][0]["schema"]["openAPIV3Schema"]);
}

void Admit(const Schema& schema, Json object) {
  schema.Prune(object);
  ashlar::fuzz::Require(schema.Prune(object).empty(), "pruning once is enough");
  schema.ApplyDefaults(object);
  const Json once = object;
  schema.ApplyDefaults(object);
  ashlar::fuzz::Require(object == once, "defaults once are enough");
  schema.Validate(object, nullptr);
  schema.Validate(object, &once);
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Schema& volume =
      *new Schema(SchemaOf(ashlar::api::CrdJson<ashlar::v1alpha1::Volume>()));
  static const Schema& pool = *new Schema(SchemaOf(ashlar::api::CrdJson<ashlar::v1alpha1::Pool>()));
  const auto json = ashlar::ParseJson(ashlar::fuzz::Text(data, size));
  if (!json.ok()) return 0;
  Admit(volume, *json);
  Admit(pool, *json);
  if (const auto any = Schema::Compile(*json); any.ok()) Admit(*any, *json);
  return 0;
}
