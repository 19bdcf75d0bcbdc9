// Any text as LVM's report of a group and of its drives, and as the tags of a volume.
#include "absl/strings/str_split.h"
#include "node-agent/storage/lvm/lvm_report.h"
#include "test/fuzz/fuzz_target.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using ashlar::fuzz::Require;
  namespace node = ashlar::node_agent;
  const absl::string_view text = ashlar::fuzz::Text(data, size);
  if (const auto group = node::ParseGroup(text); group.ok())
    Require(group->extent_bytes > 0, "extents have a size");
  (void)node::ParsePhysicalVolumes(text);
  const std::vector<std::string> tags = absl::StrSplit(text, ',');
  if (const auto facts = node::FactsOfTags(tags); facts.ok()) {
    const auto again = node::FactsOfTags(node::TagsOfFacts(*facts));
    Require(again.ok() && *again == *facts,
            "facts that were read can be written, and mean the same");
  }
  return 0;
}
