// Any text: what is a quantity has a canonical form that means the same and is stable.
#include "lib/api/quantity.h"
#include "lib/api/rfc3339.h"
#include "test/fuzz/fuzz_target.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using ashlar::api::Quantity;
  using ashlar::fuzz::Require;
  const absl::string_view text = ashlar::fuzz::Text(data, size);
  if (const auto time = ashlar::api::ParseRfc3339(text); time.ok()) {
    const auto again = ashlar::api::ParseRfc3339(ashlar::api::FormatRfc3339(*time));
    Require(again.ok() && *again == *time, "a time reads back as the same");
  }
  const auto quantity = Quantity::Parse(text);
  if (!quantity.ok()) return 0;
  const auto again = Quantity::Parse(quantity->ToString());
  Require(again.ok() && *again == *quantity, "the canonical form means the same");
  Require(Quantity::Parse(again->ToString())->ToString() == again->ToString(), "it is stable");
  Require(again->Value() == quantity->Value(), "the integer is the same");
  return 0;
}
