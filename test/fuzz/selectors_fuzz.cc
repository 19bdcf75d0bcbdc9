// Any text as a label selector and as a field selector.
#include "lib/api/selectors.h"
#include "test/fuzz/fuzz_target.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text = ashlar::fuzz::Text(data, size);
  const ashlar::Json labels = {{"a", "b"}, {"n", "7"}};
  if (const auto selector = ashlar::api::LabelSelector::Parse(text); selector.ok()) {
    selector->Matches(labels);
    ashlar::fuzz::Require(!selector->empty() || selector->Matches(labels), "empty matches all");
  }
  if (const auto selector = ashlar::api::FieldSelector::Parse(text); selector.ok())
    selector->Matches(ashlar::Json{{"metadata", labels}});
  return 0;
}
