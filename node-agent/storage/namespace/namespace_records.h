// NamespaceRecords: what is known of a Namespace pool's volumes, in the state directory, one file a
// volume. A record is saved before what it says is done:
//
//   reserved ──► making ──► volume ──► wiping ──► (no record)
//      │           ▲  │                   ▲
//      └► creating ┘  └───────────────────┘ crash, error
//
//   reserved  a place is chosen; nothing is created or written, a namespace may be attached
//   creating  Create was sent, or is about to be; its namespace is not known yet
//   making    the namespace is known, and written to
//   wiping    erased, then detached and deleted as far as it was attached or created for the volume
//
// Beside them what subsystems have refused to create. Used under one lock.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "lib/system/nvme_status.h"
#include "node-agent/storage/namespace/nvme_subsystems.h"
#include "node-agent/storage/volume_facts.h"

namespace ashlar::node_agent {

enum class NamespacePhase { kReserved, kCreating, kMaking, kVolume, kWiping };

struct NamespaceRecord {
  VolumeFacts facts;
  NamespacePhase phase = NamespacePhase::kReserved;
  std::string nqn;
  std::string serial;  // for people
  uint32_t nsid = 0;   // 0: to be created
  std::string identity;
  int64_t size_bytes = 0;
  bool created = false;               // for this volume: it goes with it
  bool attached = false;              // for this volume: it is detached after it
  std::vector<uint32_t> before = {};  // creating: ids that the subsystem had
  bool operator==(const NamespaceRecord&) const = default;
};

// A Create that a controller refused.
struct NamespaceRefusal {
  sys::NvmeStatus status = 0;
  int64_t size_bytes = 0;         // that was asked for
  int64_t unallocated_bytes = 0;  // that the controller told
  std::string firmware;
  absl::Time when;
  bool operator==(const NamespaceRefusal&) const = default;
};

class NamespaceRecords {
 public:
  explicit NamespaceRecords(std::string directory) : directory_(std::move(directory)) {}

  // DataLoss: one is damaged; its namespace may hold a volume.
  absl::Status Load();
  // Durable when it returns.
  absl::Status Save(const NamespaceRecord& record);
  absl::Status Remove(const std::string& id);

  // By the volume's id.
  const std::map<std::string, NamespaceRecord>& all() const { return records_; }
  const NamespaceRecord* Find(const std::string& id) const;
  // Of the namespace; null: none.
  const NamespaceRecord* Of(const NvmeSubsystem& subsystem, const NvmeNamespaceState& space) const;

  absl::Status SaveRefusal(const std::string& nqn, const NamespaceRefusal& refusal);
  // The refusal as far as it still holds: until the controller tells another capacity or has
  // another firmware, and, where it did not say that a repetition is in vain, for 10 minutes.
  // Null: none.
  const NamespaceRefusal* RefusalOf(const NvmeSubsystem& subsystem, absl::Time now) const;

 private:
  std::string Path(const std::string& id) const;

  const std::string directory_;
  std::map<std::string, NamespaceRecord> records_;
  std::map<std::string, NamespaceRefusal> refusals_;  // by nqn
};

}  // namespace ashlar::node_agent
