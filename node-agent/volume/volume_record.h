// VolumeRecord: what the journal keeps of a volume. A value.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/json.h"
#include "node-agent/storage/volume_facts.h"

namespace ashlar::node_agent {

// See the diagram in volume_manager.h.
enum class VolumePhase {
  kCarving,
  kCarved,
  kExpanding,
  kStaging,
  kStaged,
  kPublishing,
  kUnpublishing,
  kUnstaging,
  kRemoving,
};

struct Publication {
  bool read_only = false;
  bool operator==(const Publication&) const = default;
};

// How near a volume was carved to the GPUs of its pod.
struct VolumeLocality {
  std::vector<std::string> gpus;  // UUIDs; empty: it was not carved near any
  std::string level;              // NearLevel's name
  std::string pod_namespace, pod_name;
  bool operator==(const VolumeLocality&) const = default;
};

struct VolumeRecord {
  VolumeFacts facts;
  VolumePhase phase = VolumePhase::kCarved;
  std::string boot_id;       // of the boot in which it was staged
  std::string staging_path;  // while staged, staging or unstaging
  std::vector<std::string> mount_flags;
  std::string device;                               // loop device while staged
  std::map<std::string, Publication> publications;  // by target path
  std::string target_path;                          // that is being published or unpublished
  bool single_writer = false;
  bool frozen = false;   // the filesystem at staging_path may be
  bool awaited = false;  // an inline volume that its pod will ask for again, after a reboot
  // Of the last staging: what a check of the filesystem has corrected, or why it was not mounted.
  std::string corrected, broken;
  VolumeLocality locality;
  bool gpu_direct = false;  // whoever published it wants to know whether GPUDirect Storage works

  bool attached() const { return !device.empty(); }
  // Whether it is, or shall be, staged or published there.
  bool knows(const std::string& path) const {
    return staging_path == path || publications.count(path) > 0;
  }
  // Whether it is staged read-only.
  bool is_reader() const;
};

absl::string_view PhaseName(VolumePhase phase);
Json RecordToJson(const VolumeRecord& record);
// InvalidArgument names what is missing or unknown.
absl::StatusOr<VolumeRecord> RecordFromJson(const Json& json);

}  // namespace ashlar::node_agent
