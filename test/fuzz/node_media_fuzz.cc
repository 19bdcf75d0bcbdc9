// Any text as mountinfo, as a record of the journal, and as the head of a filesystem.
#include "lib/base/json.h"
#include "lib/system/mount_info.h"
#include "node-agent/volume/superblock.h"
#include "node-agent/volume/volume_record.h"
#include "test/fuzz/fuzz_target.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using ashlar::fuzz::Require;
  namespace node = ashlar::node_agent;
  const absl::string_view text = ashlar::fuzz::Text(data, size);
  if (const auto mounts = ashlar::sys::ParseMountInfo(text); mounts.ok())
    for (const ashlar::sys::MountEntry& mount : *mounts) mount.read_only();
  if (const auto json = ashlar::ParseJson(text); json.ok()) {
    if (const auto record = node::RecordFromJson(*json); record.ok()) {
      const auto again = node::RecordFromJson(node::RecordToJson(*record));
      Require(again.ok(), "a record that was read can be written");
      Require(node::RecordToJson(*again) == node::RecordToJson(*record), "and means the same");
    }
  }
  std::string head(text.substr(0, node::kSuperblockBytes));
  head.resize(node::kSuperblockBytes);
  for (const char* fs : {"ext4", "xfs"})
    if (const auto state = node::ParseSuperblock(fs, head); state.ok())
      Require(state->size_bytes >= 0, "a size is not negative");
  return 0;
}
