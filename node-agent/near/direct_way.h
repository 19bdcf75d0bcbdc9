// Which way NVIDIA's cuFile (GPUDirect Storage) will take between a volume and GPUs, as far as can
// be seen before a program asks: from the mount that the pod sees, the device below it, what udev
// tells of that, and the way between drive and GPU. cuFile falls back to its compatibility mode,
// through the processor's memory, without a word. Keeps nothing; thread-safe.
#pragma once

#include <string>
#include <vector>

#include "lib/system/mount_info.h"
#include "node-agent/limits/volume_use.h"
#include "node-agent/near/near_drives.h"

namespace ashlar::node_agent {

// Names of modes, as in VolumeState.gpu_direct.
inline constexpr char kDirectMode[] = "GDS";
inline constexpr char kCompatibilityMode[] = "Compatibility";
inline constexpr char kUnknownMode[] = "Unknown";

struct DirectWay {
  std::string mode;     // empty: nobody asked, or no pod sees the volume
  std::string message;  // why
  bool operator==(const DirectWay&) const = default;
};

// Where the kernel and udev tell of devices.
struct DirectPlaces {
  std::string sys_root = "/sys", udev_root = "/run/udev";
};

// What a pod sees of the volume, and what lies below.
struct DirectFacts {
  bool shown = false;  // to a pod
  bool block = false;
  std::string fs_type, fs_options;  // of the mount that the pod sees
  std::string disk;                 // nvme0n1
  std::string between;              // what lies between volume and drive: dm-3 (device-mapper)
  int64_t offset_bytes = 0;         // where on the drive it begins
  bool udev_knows = false;
};
// `mounts` is of this moment.
DirectFacts ReadDirectFacts(const VolumeUse& use, const std::vector<sys::MountEntry>& mounts,
                            const DirectPlaces& places);

// `drive` is the volume's, `gpus` are UUIDs; empty: any of the node's.
DirectWay JudgeDirectWay(const DirectFacts& facts, const std::string& drive,
                         const std::vector<std::string>& gpus, const NearFacts& node);

}  // namespace ashlar::node_agent
