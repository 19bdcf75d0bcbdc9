// AttributeTable: what may change of the volumes of this node, in memory and in one small file for
// each volume that has other than the defaults. Thread-safe; calls for one volume must not overlap
// (the volume manager sees to that).
//
// As with the journal's records, a file outlives the death of the process and needs no fsync: after
// a power cut nothing is in use, and the controller gives what is missing again before long.
#pragma once

#include <map>
#include <string>

#include "absl/status/status.h"
#include "lib/base/mutex.h"
#include "lib/system/record_folder.h"
#include "node-agent/limits/volume_attributes.h"

namespace ashlar::node_agent {

class AttributeTable {
 public:
  explicit AttributeTable(std::string directory) : folder_(std::move(directory)) {}

  // Reads the files. What cannot be read is logged and left out.
  absl::Status Load();
  // The defaults, if nothing else was put.
  VolumeAttributes Get(const std::string& volume) const;
  // Saved first, then visible.
  absl::Status Put(const std::string& volume, const VolumeAttributes& attributes);
  // Back to the defaults; absent is OK.
  absl::Status Erase(const std::string& volume);
  // Whether any volume has limits.
  bool AnyLimits() const;

 private:
  sys::RecordFolder folder_;
  mutable Mutex mu_;
  std::map<std::string, VolumeAttributes> all_ ABSL_GUARDED_BY(mu_);
};

}  // namespace ashlar::node_agent
