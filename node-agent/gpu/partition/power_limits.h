// PowerLimits: what GPUs may draw while parts of them are claimed, set in the driver and set back.
// A record is saved before a limit is changed for the first time; it is removed when the GPU has
// again what it had before (decision 0027). Whoever calls sees to it that one call runs at a time,
// but for NextTry.
//
//   (as it was) ── record ──► set ──► set to another ──► set back ──► record gone (as it was)
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "ashlar/agent/v1/gpu_helper.pb.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "node-agent/gpu/partition/partition_record.h"

namespace ashlar::node_agent {

class PowerLimits {
 public:
  // Makes a step, as GpuChanges does.
  using Change = std::function<agent::v1::GpuChangeAnswer(
      const std::string& gpu, const std::function<void(agent::v1::ChangeGpu&)>& fill)>;
  // Borrows.
  PowerLimits(std::string boot_id, absl::Duration retry, PartitionJournal& journal, Clock& clock,
              Change change)
      : boot_id_(std::move(boot_id)),
        retry_(retry),
        journal_(journal),
        clock_(clock),
        change_(std::move(change)) {}

  // What an earlier process left.
  absl::Status Recover(const std::vector<PowerRecord>& records);
  // Whether the GPU takes the limit.
  agent::v1::GpuChangeAnswer Check(const std::string& gpu, int watts) const;
  // The GPU has the limit, or for 0 the one that it had before. Done already: nothing is asked of
  // the driver. The answer says why it cannot be; it is to be tried again then.
  absl::StatusOr<agent::v1::GpuChangeAnswer> Settle(const std::string& gpu, int watts);
  // GPUs whose limit was changed.
  std::vector<std::string> Changed();
  // When Settle(gpu, watts) is worth a try: InfiniteFuture if there is nothing to do.
  absl::Time NextTry(const std::string& gpu, int watts);

 private:
  struct Entry {
    PowerRecord record;
    int64_t set_milliwatts = 0;  // 0: not known
    absl::Time retry_at = absl::InfinitePast();
  };
  int64_t Wanted(const Entry& entry, int watts) const;

  const std::string boot_id_;
  const absl::Duration retry_;
  PartitionJournal& journal_;
  Clock& clock_;
  const Change change_;
  Mutex mu_;
  std::map<std::string, Entry> entries_ ABSL_GUARDED_BY(mu_);  // by GPU
};

}  // namespace ashlar::node_agent
