// What a pool is asked to be, and what it is. Values.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/json.h"
#include "node-agent/inventory/drive_scanner.h"
#include "node-agent/storage/storage_backend.h"

namespace ashlar::node_agent {

struct DirectorySource {
  std::string path;
  int64_t capacity_bytes = 0;  // 0: all of the filesystem
  bool operator==(const DirectorySource&) const = default;
};

// Which drives may carry the pool; all that is set must hold.
struct DeviceSource {
  std::vector<std::string> serials;  // serial or wwid
  std::vector<std::string> paths;    // shell patterns
  std::vector<std::string> models;   // shell patterns
  std::vector<std::string> transports;
  int64_t min_size_bytes = 0;
  int64_t max_size_bytes = 0;  // 0: no limit
  bool operator==(const DeviceSource&) const = default;
};

enum class BackendKind { kFile, kDirectory, kLvm, kPartition, kNamespace, kWholeDrive };

// Of volumes that are carved from now on; each stripe and each mirror lies on a drive of its own.
struct LvmOptions {
  int32_t stripes = 1;
  int32_t mirrors = 0;  // further copies
  bool operator==(const LvmOptions&) const = default;
};

struct PoolSpec {
  std::string name;
  std::string uid;
  BackendKind backend = BackendKind::kFile;
  std::optional<DirectorySource> directory;
  std::optional<DeviceSource> devices;
  bool sparse = false;  // bytes are taken as they are written: File: sparse images; LVM: thin
  int64_t reserve_bytes = 0;
  int32_t overprovision_percent = 100;
  std::vector<std::string> wipe = {};   // serials or wwids of drives that may be wiped
  std::vector<std::string> drain = {};  // serials or wwids of drives that shall leave the pool
  LvmOptions lvm;
  int64_t inline_volume_max_bytes = 0;  // 0: pods may not ask for inline volumes
  bool operator==(const PoolSpec&) const = default;
};

struct PoolStatus {
  std::string name;
  std::string uid;
  BackendKind backend = BackendKind::kFile;
  bool ready = false;
  std::string reason;  // CamelCase, empty when ready
  std::string message;
  PoolUsage usage;
  int volumes = 0;
  std::vector<std::string> devices;  // ids of drives, or the directory
};

absl::string_view BackendName(BackendKind backend);  // "File", "LVM": as Pool.spec.backend
absl::StatusOr<BackendKind> BackendFromName(absl::string_view name);

// InvalidArgument names the field, its value and what is accepted.
absl::Status ValidatePoolSpec(const PoolSpec& spec);
bool Matches(const DeviceSource& source, const Drive& drive);

Json PoolSpecToJson(const PoolSpec& spec);
absl::StatusOr<PoolSpec> PoolSpecFromJson(const Json& json);

// The UUID of the filesystem of a pool's drive: the pool's uid if that is a UUID, else one made
// from it.
std::string FilesystemUuid(const std::string& pool_uid);

}  // namespace ashlar::node_agent
