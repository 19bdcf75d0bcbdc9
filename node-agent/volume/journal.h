// Journal: one small record per volume, in <state-dir>/journal/volumes. It says what this process
// was doing when it died. Which volumes exist is not read from it but from the medium.
// Thread-safe for different volumes.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/system/record_folder.h"
#include "node-agent/volume/volume_record.h"

namespace ashlar::node_agent {

class Journal {
 public:
  virtual ~Journal() = default;
  // The only way that a record changes. When it returns, the record outlives the death of the
  // process at any instruction.
  virtual absl::Status Save(const VolumeRecord& record) = 0;
  virtual absl::Status Remove(const std::string& volume_id) = 0;
  // What cannot be read is logged and left out: the medium and the kernel tell what is there.
  virtual absl::StatusOr<std::vector<VolumeRecord>> Load() = 0;
};

// Records need no fsync: everything that they add to the medium (mounts, loop devices, steps under
// way) is void after a power cut, and a record of an earlier boot, or an unreadable one, is
// replaced by what the medium holds.
class FileJournal final : public Journal {
 public:
  explicit FileJournal(std::string directory) : folder_(std::move(directory)) {}

  absl::Status Save(const VolumeRecord& record) override;
  absl::Status Remove(const std::string& volume_id) override;
  absl::StatusOr<std::vector<VolumeRecord>> Load() override;

 private:
  sys::RecordFolder folder_;
};

}  // namespace ashlar::node_agent
