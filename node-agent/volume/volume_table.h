// VolumeTable: the records of all volumes in memory and in the journal, and which of them a call is
// working on. Thread-safe.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/mutex.h"
#include "node-agent/storage/storage_backend.h"
#include "node-agent/volume/journal.h"

namespace ashlar::node_agent {

// What is wrong with a volume. The reasons are those of VolumeState in proto/ashlar/agent/v1.
struct VolumeTrouble {
  std::string reason;  // empty: nothing
  std::string message;
  bool operator==(const VolumeTrouble&) const = default;
};

struct VolumeEntry {
  VolumeRecord record;
  // What the medium had at the last look; absent while the pool is not ready or the image is gone.
  std::optional<StoredVolume> stored;
  // With what is staged and published, at the last look.
  VolumeTrouble trouble = {};
};

class VolumeTable {
 public:
  // `boot_id` is written into every record.
  VolumeTable(Journal& journal, std::string boot_id)
      : journal_(journal), boot_id_(std::move(boot_id)) {}

  // While a Claim lives no other claim on the volume is given.
  class Claim {
   public:
    Claim(VolumeTable& table, std::string id) : table_(&table), id_(std::move(id)) {}
    Claim(Claim&& other) noexcept : table_(std::exchange(other.table_, nullptr)), id_(other.id_) {}
    ~Claim();

   private:
    VolumeTable* table_;
    std::string id_;
  };
  // Aborted: another call has it.
  absl::StatusOr<Claim> Acquire(const std::string& id);

  std::optional<VolumeEntry> Get(const std::string& id);
  std::vector<VolumeEntry> All();

  // The one way in which a volume's state changes: saved first, then visible. Call with a claim.
  absl::Status Put(VolumeEntry& entry);
  absl::Status Erase(const std::string& id);
  // Into memory alone: what was just read from the journal.
  void Insert(VolumeEntry entry);

  const std::string& boot_id() const { return boot_id_; }

 private:
  Journal& journal_;
  const std::string boot_id_;
  Mutex mu_;
  std::map<std::string, VolumeEntry> entries_ ABSL_GUARDED_BY(mu_);
  std::set<std::string> claimed_ ABSL_GUARDED_BY(mu_);
};

}  // namespace ashlar::node_agent
