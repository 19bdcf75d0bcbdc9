// Any bytes as one line of a watch: never an event that a cache could not use.
#include "lib/base/log.h"
#include "lib/kube/core_kinds.h"
#include "lib/kube/object.h"
#include "lib/kube/watch_decoder.h"
#include "test/fuzz/fuzz_target.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const bool quiet = ashlar::SetLogLevel("error");
  static_cast<void>(quiet);
  const auto event =
      ashlar::kube::DecodeWatchLine(ashlar::fuzz::Text(data, size), ashlar::kube::kPod);
  if (!event.ok() || !event->has_value()) return 0;
  const ashlar::kube::WatchEvent& seen = **event;
  ashlar::fuzz::Require(!ashlar::kube::VersionOf(seen.object).empty(), "an event has a version");
  ashlar::fuzz::Require(seen.type == ashlar::kube::WatchEvent::Type::kBookmark ||
                            !ashlar::kube::KeyOf(seen.object).name.empty(),
                        "an object has a name");
  return 0;
}
