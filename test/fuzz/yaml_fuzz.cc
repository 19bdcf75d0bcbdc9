// Any text: what is YAML is formatted as something that reads back as the same.
#include "lib/yaml/yaml.h"
#include "test/fuzz/fuzz_target.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto value = ashlar::ParseYaml(ashlar::fuzz::Text(data, size));
  if (!value.ok()) return 0;
  const auto again = ashlar::ParseYaml(ashlar::FormatYaml(*value));
  ashlar::fuzz::Require(again.ok(), "what is formatted can be read");
  // Through text once, so that bytes that are not UTF-8 are replaced on both sides.
  ashlar::fuzz::Require(ashlar::DumpJson(*again) == ashlar::DumpJson(*value), "it is the same");
  return 0;
}
