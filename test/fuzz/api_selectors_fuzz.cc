// Any text as label selector, field selector, JSONPath or path of a request.
#include "standalone/api_path.h"
#include "standalone/json_path.h"
#include "standalone/selector.h"
#include "test/fuzz/fuzz_target.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using ashlar::standalone::FieldSelector;
  using ashlar::standalone::JsonPath;
  using ashlar::standalone::LabelSelector;
  using ashlar::standalone::ParseApiPath;
  static const ashlar::Json& object =
      *new ashlar::Json({{"metadata", {{"name", "a"}, {"labels", {{"tier", "fast"}, {"n", "7"}}}}},
                         {"list", {{{"type", "Ready"}, {"status", "True"}}, 3, nullptr}}});
  const absl::string_view text = ashlar::fuzz::Text(data, size);
  if (auto labels = LabelSelector::Parse(text); labels.ok()) labels->Matches(object);
  if (auto fields = FieldSelector::Parse(text, {"metadata.name", "list"}); fields.ok()) {
    fields->Matches(object);
  }
  if (auto path = JsonPath::Parse(text); path.ok()) {
    ashlar::fuzz::Require(path->Find(object).size() <= 100, "a path does not multiply values");
  }
  ParseApiPath(text).status().IgnoreError();
  return 0;
}
