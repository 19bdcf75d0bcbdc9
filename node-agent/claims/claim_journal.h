// ClaimJournal: one small record per claim, in a directory of their own. Records outlive the death
// of the process at any instruction; after a power cut a record may be gone or the one before: the
// controller then tells the claim again. Thread-safe for different claims.
#pragma once

#include <string>
#include <vector>

#include "lib/system/record_folder.h"
#include "node-agent/claims/claim_record.h"

namespace ashlar::node_agent {

class ClaimJournal {
 public:
  explicit ClaimJournal(std::string directory) : folder_(std::move(directory)) {}

  absl::Status Save(const ClaimRecord& record);
  absl::Status Remove(const std::string& uid);
  // Makes the directory if it is absent. What cannot be read is logged and left out.
  absl::StatusOr<std::vector<ClaimRecord>> Load();

 private:
  sys::RecordFolder folder_;
};

}  // namespace ashlar::node_agent
