// PartitionRecord: what the agent did, or was about to do, with one part of a GPU; ModeRecord: that
// it divided the GPU; PowerRecord: that it limits what the GPU may draw. PartitionJournal keeps
// them. Values.
//
//   (none) ── Making ──► MakingCompute ──► Made ──► (claim's end) kept ──► Removing ──► (none)
//                │             │            │ somebody else removed it: (none)   ▲
//                └─────────────┴── a step failed, or the agent died ─────────────┘
//
// A record is saved before the step that it names. Its boot is part of it: instances do not outlive
// a boot, so a record of another one is void.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "lib/base/json.h"
#include "lib/system/record_folder.h"

namespace ashlar::node_agent {

enum class PartitionPhase { kMaking, kMakingCompute, kMade, kRemoving };

struct PartitionRecord {
  std::string gpu;  // UUID
  std::string profile;
  int start = 0, size = 0;  // memory slices
  PartitionPhase phase = PartitionPhase::kMaking;
  std::string claim;            // uid; empty: it is kept, or goes
  int64_t keep_seconds = 0;     // after the claim's end
  int power_watts = 0;          // that the claim wants the GPU's limit to be; 0: as it was
  absl::Time kept_until;        // of one that is kept
  std::optional<int> instance;  // from kMakingCompute on; unset: a call that made it was not heard
  int compute_instance = -1;    // from kMade on, as mig_device
  std::string mig_device;
  std::string boot_id;

  bool kept() const { return phase == PartitionPhase::kMade && claim.empty(); }
};

// The GPU's MIG mode was set by the agent, which sets it back when nothing is left.
struct ModeRecord {
  std::string gpu;
  std::string boot_id;
};

// The GPU's power limit was set by the agent, or is about to be.
struct PowerRecord {
  std::string gpu;
  std::string boot_id;
  int64_t before_milliwatts = 0;  // what is set again when nobody asks for a limit any more
};

Json RecordToJson(const PartitionRecord& record);
absl::StatusOr<PartitionRecord> PartitionFromJson(const Json& json);

class PartitionJournal {
 public:
  virtual ~PartitionJournal() = default;
  // The only ways that records change. When one returns, the record outlives the death of the
  // process at any instruction.
  virtual absl::Status Save(const PartitionRecord& record) = 0;
  virtual absl::Status Remove(const PartitionRecord& record) = 0;
  virtual absl::Status SaveMode(const ModeRecord& record) = 0;
  virtual absl::Status RemoveMode(const ModeRecord& record) = 0;
  virtual absl::Status SavePower(const PowerRecord& record) = 0;
  virtual absl::Status RemovePower(const PowerRecord& record) = 0;
  struct Records {
    std::vector<PartitionRecord> partitions;
    std::vector<ModeRecord> modes;
    std::vector<PowerRecord> powers;
  };
  virtual absl::StatusOr<Records> Load() = 0;
};

// A record for each first memory slice of a GPU. Not synced: a power cut ends the boot.
class FilePartitionJournal final : public PartitionJournal {
 public:
  explicit FilePartitionJournal(std::string directory) : folder_(std::move(directory)) {}
  absl::Status Save(const PartitionRecord& record) override;
  absl::Status Remove(const PartitionRecord& record) override;
  absl::Status SaveMode(const ModeRecord& record) override;
  absl::Status RemoveMode(const ModeRecord& record) override;
  absl::Status SavePower(const PowerRecord& record) override;
  absl::Status RemovePower(const PowerRecord& record) override;
  // What cannot be read is logged and left out: a power cut left it, and ended what it speaks of.
  absl::StatusOr<Records> Load() override;

 private:
  sys::RecordFolder folder_;
};

}  // namespace ashlar::node_agent
