// Any text as a rule, evaluated over a fixed object.
#include "lib/schema/cel.h"
#include "test/fuzz/fuzz_target.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const ashlar::Json& self = *new ashlar::Json(
      {{"n", 3}, {"s", "abc"}, {"list", {1, 2, 3}}, {"map", {{"a", 1}}}, {"q", "1Gi"}, {"f", 0.5}});
  const auto rule = ashlar::schema::Rule::Compile(ashlar::fuzz::Text(data, size));
  if (!rule.ok()) return 0;
  const auto holds = rule->Holds(self, &self);
  const auto again = rule->Holds(self, &self);
  ashlar::fuzz::Require(holds.status() == again.status() && (!holds.ok() || *holds == *again),
                        "the result is the same every time");
  return 0;
}
