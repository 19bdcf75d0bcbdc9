// What LVM says of a volume group, and how volumes are written into it. Pure functions and values.
//
// A volume is a logical volume whose name is made from its id. Its facts lie in its tags; while it
// bears the tag kPartialTag it is none: it is being made or being removed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "node-agent/storage/pool_types.h"
#include "node-agent/storage/volume_facts.h"

namespace ashlar::node_agent {

constexpr char kPartialTag[] = "ashlar.partial";
constexpr char kThinPool[] = "pool";  // name of the logical volume that thin volumes lie in

struct PhysicalVolume {
  std::string device;  // "/dev/nvme0n1"; of a missing one whatever LVM calls it
  std::string uuid;
  std::string group;              // empty: of none
  std::vector<std::string> tags;  // of the group
  bool missing = false;
  bool allocatable = false;  // new extents may come from it
  int64_t extents = 0;
  int64_t used_extents = 0;
};

struct LogicalVolume {
  std::string name;
  bool hidden = false;  // a part of another one
  std::string uuid;
  std::vector<std::string> tags;
  int64_t size_bytes = 0;
  int minor = -1;  // of its device-mapper device; negative: not active
  bool read_only = false;
  std::string health;  // what LVM finds wrong with it; empty: nothing
  std::string pool;    // that it is thin in; empty: it is not thin
  std::string layout;  // "linear", "raid,raid1", "thin,pool"
  // Of a thin pool: how full it is.
  double data_percent = 0, metadata_percent = 0;
  int64_t metadata_bytes = 0;

  bool has_tag(absl::string_view tag) const;
  // A volume of ours, whole or partial.
  bool is_volume() const;
  std::string device() const;  // "/dev/dm-3"; empty: not active
};

struct VolumeGroup {
  std::string name, uuid;
  std::vector<std::string> tags;
  int64_t extent_bytes = 0;
  std::vector<PhysicalVolume> pvs;
  std::vector<LogicalVolume> lvs;

  const LogicalVolume* Find(absl::string_view lv) const;
  bool missing_drives() const;
};

// Of `lvm fullreport --reportformat json --units b --nosuffix` with the fields that LvmTool asks
// for. InvalidArgument says what is wrong with it.
absl::StatusOr<VolumeGroup> ParseGroup(absl::string_view json);
// Of `lvm pvs` likewise. A drive of which LVM knows nothing is left out.
absl::StatusOr<std::vector<PhysicalVolume>> ParsePhysicalVolumes(absl::string_view json);

// Tags that hold the facts; LVM accepts few characters in a tag, and at most 1024 of them.
std::vector<std::string> TagsOfFacts(const VolumeFacts& facts);
absl::StatusOr<VolumeFacts> FactsOfTags(const std::vector<std::string>& tags);
// "ashlar.uid=..." of a pool.
std::string UidTag(absl::string_view pool_uid);

std::string GroupName(const std::string& pool_uid);
std::string VolumeName(const std::string& id);

}  // namespace ashlar::node_agent
