// What the agent knows of a ResourceClaim (resource.k8s.io) that holds devices of this node.
// Values.
//
// The kubelet prepares the devices of each driver by themselves, so each has a phase of its own:
//
//              Ensure               Prepare
//   (nothing) ────────► told ──────preparing──────► prepared
//       ▲                │ ▲                           │
//       └─────Remove─────┘ └────────unpreparing────────┘
//                                   Unprepare
//
// Whatever may be there of a claim is there from preparing to unpreparing: a step that failed, or
// that a dead process left, is repeated by the next Prepare, and taken back by the next Unprepare.
// After a reboot nothing is mounted and every claim is told.
#pragma once

#include <map>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/json.h"

namespace ashlar::node_agent {

inline constexpr char kNvmeDriver[] = "nvme.ashlar.dev";
inline constexpr char kGpuDriver[] = "gpu.ashlar.dev";

struct ClaimVolume {
  std::string volume_id;
  std::string path;  // where containers see it: a directory, or a device node
  bool read_only = false;
  bool existing = false;  // it was there before the claim, with what is on it
  bool operator==(const ClaimVolume&) const = default;
};
struct ClaimGpu {
  std::string uuid;
  bool operator==(const ClaimGpu&) const = default;
};
// A part of a GPU, made when the claim is prepared (gpu/partition/gpu_partitions.h).
struct ClaimGpuPartition {
  std::string gpu;  // UUID
  std::string profile;
  int start = 0, size = 0;   // memory slices
  int64_t keep_seconds = 0;  // after the claim's end
  int power_watts = 0;       // that the GPU may draw meanwhile; 0: as it was
  bool operator==(const ClaimGpuPartition&) const = default;
};

struct ClaimDevice {
  std::string driver;
  std::string request;  // NAME, or NAME/SUBREQUEST
  std::string pool, device, share_id;
  std::variant<ClaimVolume, ClaimGpu, ClaimGpuPartition> what;

  // NAME of `request`: what the kubelet and pods know.
  std::string request_name() const { return request.substr(0, request.find('/')); }
  bool operator==(const ClaimDevice&) const = default;
};

// One allocation: what does not change while it is prepared.
struct ClaimFacts {
  std::string uid, space, name;
  std::vector<ClaimDevice> devices;
  bool operator==(const ClaimFacts&) const = default;
};

enum class ClaimPhase { kTold, kPreparing, kPrepared, kUnpreparing };

struct ClaimRecord {
  ClaimFacts facts;
  std::vector<std::string> pods;  // uids of those that it is reserved for, as the controller told
  std::map<std::string, ClaimPhase> phases;  // by driver; absent: told
  std::string boot_id;                       // of the boot in which `phases` are true

  ClaimPhase phase(const std::string& driver) const;
  // Whether nothing of it can be there.
  bool idle() const;
};

// A device of a claim, as the controller and the kubelet are told of it.
struct ClaimDeviceStatus {
  ClaimDevice device;
  std::vector<std::string> cdi_devices;  // once it is prepared: VENDOR/CLASS=NAME
  std::string problem;                   // why it cannot be prepared or used; empty: nothing
  std::string mig_device;                // UUID of a part of a GPU that is made
  bool operator==(const ClaimDeviceStatus&) const = default;
};
struct ClaimStatus {
  std::string uid;
  bool prepared = false;  // some of it is, or may be
  std::vector<ClaimDeviceStatus> devices;
  bool operator==(const ClaimStatus&) const = default;
};

// InvalidArgument names what a claim cannot be: its uid no name of a file, a device of a driver
// that has no such devices, two volumes at one path.
absl::Status ValidateClaim(const ClaimFacts& facts);

Json RecordToJson(const ClaimRecord& record);
// InvalidArgument names what is missing or unknown.
absl::StatusOr<ClaimRecord> ClaimRecordFromJson(const Json& json);

}  // namespace ashlar::node_agent
