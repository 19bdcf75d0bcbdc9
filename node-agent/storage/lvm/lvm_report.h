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
// Of a volume whose drive was named when it was made: all its extents lie on one drive.
constexpr char kOneDriveTag[] = "ashlar.one-drive";
constexpr char kThinPool[] = "pool";          // name of the logical volume that thin volumes lie in
constexpr char kOutOfData[] = "out_of_data";  // the health of a thin pool that is full
constexpr char kRefreshNeeded[] = "refresh needed";  // a mirror that is back and not used yet
constexpr char kMove[] = "pvmove0";  // hidden; there while extents are moved to other drives

struct PhysicalVolume {
  std::string device;  // "/dev/nvme0n1"; of a missing one whatever LVM calls it
  std::string uuid;
  std::string group;              // empty: of none
  std::vector<std::string> tags;  // of the group
  bool missing = false;
  bool allocatable = false;  // new extents may come from it
  int64_t extents = 0;
  int64_t used_extents = 0;
  std::string drive = {};  // id; empty: nobody told
  bool gives() const { return allocatable && !missing; }
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
  // Where its extents lie: "/dev/nvme0n1:5-24", or, in a hidden one, "v_1_rimage_0:0-19".
  std::vector<std::string> ranges;
  int stripes = 1;  // of its last segment: how many drives, or hidden volumes, that lies on
  // Of a thin pool: how full it is.
  double data_percent = 0, metadata_percent = 0;
  int64_t metadata_bytes = 0;
  int64_t thin_id = -1;  // of a thin volume: its number in the kernel's pool

  bool has_tag(absl::string_view tag) const;
  // A volume of ours, whole or partial.
  bool is_volume() const;
  // Extents that are being zeroed for a volume that grows.
  bool is_growth() const;
  bool is_mirrored() const;
  // Devices and hidden volumes of its ranges.
  std::vector<std::string> devices() const;
  std::string device() const;  // "/dev/dm-3"; empty: not active
};

struct VolumeGroup {
  std::string name, uuid;
  std::vector<std::string> tags;
  int64_t extent_bytes = 0;
  std::vector<PhysicalVolume> pvs;
  std::vector<LogicalVolume> lvs;

  const LogicalVolume* Find(absl::string_view lv) const;
  const PhysicalVolume* FindDrive(absl::string_view device) const;
  bool missing_drives() const;
  // The legs of a mirrored volume, each of which has all its bytes or, if it is striped as well,
  // its part of them.
  std::vector<const LogicalVolume*> LegsOf(const LogicalVolume& lv) const;
  // Whether the volume or a hidden part of it is being moved to another drive: LVM then refuses to
  // change it.
  bool IsMoving(const LogicalVolume& lv) const;
  // The volumes and the thin pool that have extents on the drive, themselves or in hidden parts.
  std::vector<std::string> VolumesOn(absl::string_view device) const;
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
std::string GrowthName(absl::string_view volume_name);

}  // namespace ashlar::node_agent
