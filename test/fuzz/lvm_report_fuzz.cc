// Any text as LVM's report of a group and of its drives, as the tags of a volume, and as
// thin_dump's output.
#include "absl/strings/str_split.h"
#include "node-agent/storage/lvm/lvm_report.h"
#include "node-agent/storage/lvm/thin_dump.h"
#include "test/fuzz/fuzz_target.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using ashlar::fuzz::Require;
  namespace node = ashlar::node_agent;
  const absl::string_view text = ashlar::fuzz::Text(data, size);
  if (const auto group = node::ParseGroup(text); group.ok())
    Require(group->extent_bytes > 0, "extents have a size");
  (void)node::ParsePhysicalVolumes(text);
  node::ThinDump dump;
  uint64_t end = 0;
  for (size_t at = 0; at <= text.size(); at += 64) {
    const bool read = dump.Feed(text.substr(at, 64), at + 64 > text.size()).ok();
    for (const auto& extent : dump.Take()) {
      Require(extent.bytes > 0 && extent.logical >= end, "mappings are in order");
      end = extent.logical + extent.bytes;
    }
    if (!read) break;
  }
  const std::vector<std::string> tags = absl::StrSplit(text, ',');
  if (const auto facts = node::FactsOfTags(tags); facts.ok()) {
    const auto again = node::FactsOfTags(node::TagsOfFacts(*facts));
    Require(again.ok() && *again == *facts,
            "facts that were read can be written, and mean the same");
  }
  return 0;
}
