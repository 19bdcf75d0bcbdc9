// Any JSON: what a kind can be read from is written as something that reads back as the same, and a
// merge into what it came from adds nothing.
#include "google/protobuf/util/message_differencer.h"
#include "lib/api/kinds.h"
#include "test/fuzz/fuzz_target.h"

namespace {

using ashlar::Json;
using ashlar::fuzz::Require;
using google::protobuf::util::MessageDifferencer;

template <class T>
void Check(const Json& json) {
  const auto value = ashlar::api::FromJson<T>(json);
  if (!value.ok()) return;
  const auto again = ashlar::api::FromJson<T>(ashlar::api::ToJson(*value));
  Require(again.ok(), "what is written can be read");
  Require(ashlar::api::ToJson(*again) == ashlar::api::ToJson(*value), "it reads back as the same");
  Json merged = json;
  ashlar::api::MergeIntoJson(*value, merged);
  const auto after = ashlar::api::FromJson<T>(merged);
  Require(after.ok() && MessageDifferencer::Equivalent(*after, *again),
          "a merge of the same changes nothing");
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto json = ashlar::ParseJson(ashlar::fuzz::Text(data, size));
  if (!json.ok()) return 0;
  Check<ashlar::v1alpha1::Pool>(*json);
  Check<ashlar::v1alpha1::Volume>(*json);
  Check<ashlar::v1alpha1::NodeInventory>(*json);
  return 0;
}
