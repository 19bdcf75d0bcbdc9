// Any JSON as each kind of patch, as managed fields and as a binary body.
#include "lib/base/json.h"
#include "standalone/field_set.h"
#include "standalone/patch.h"
#include "standalone/wire_body.h"
#include "test/fuzz/fuzz_target.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using ashlar::standalone::DecodeWireBody;
  using ashlar::standalone::FieldSet;
  using ashlar::standalone::JsonPatch;
  using ashlar::standalone::MergePatch;
  using ashlar::standalone::StrategicMergePatch;
  static const ashlar::Json& object =
      *new ashlar::Json({{"a", 1}, {"items", {{{"name", "x"}, {"n", 1}}}}, {"set", {"p", "q"}}});
  static const ashlar::Json& schema =
      *new ashlar::Json({{"properties",
                          {{"items", {{"x-kubernetes-patch-merge-key", "name"}}},
                           {"set", {{"x-kubernetes-patch-strategy", "merge"}}}}}});
  const absl::string_view text = ashlar::fuzz::Text(data, size);
  DecodeWireBody(text).status().IgnoreError();
  const auto patch = ashlar::ParseJson(text);
  if (!patch.ok()) return 0;
  JsonPatch(object, *patch).status().IgnoreError();
  MergePatch(object, *patch).status().IgnoreError();
  StrategicMergePatch(object, *patch, schema).status().IgnoreError();
  if (auto set = FieldSet::FromJson(*patch); set.ok()) {
    auto again = FieldSet::FromJson(set->ToJson());
    ashlar::fuzz::Require(again.ok() && *again == *set, "a set reads what it writes");
  }
  return 0;
}
