// GpuPartitions: the parts of this machine's GPUs (MIG) that claims have or had. Makes and removes
// them, each step after its record was saved (partition_record.h draws the life of one), and
// touches nothing else: an instance that somebody else made stays, whatever it is in the way of.
// Thread-safe; one change at a time.
//
// What cannot be done has a reason in CamelCase before a colon in its message (`problem` of a part,
// messages of statuses), and how to end it after that:
//   InUse          a program uses the instance or, when its MIG mode is to change, the GPU
//   NoRoom         instances that others made are in the way
//   Taken          another claim has the place
//   NeedsReset     the MIG mode changes with a reset of the GPU only (before Hopper), or waits for
//   one NotSupported, BadRequest   the GPU cannot be divided, or not so NoPermission   the agent
//   may not GpuLost        the GPU does not answer, or is gone Busy           an earlier process of
//   the agent is still in a call of the driver DriverHung, DriverFailed, NoDriver   the driver as a
//   whole Removed        somebody else removed what the claim had Failed         anything else
// Nothing waits for ever: steps have deadlines, and what is left over is tried again in a thread.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/call_context.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "node-agent/gpu/partition/gpu_changes.h"
#include "node-agent/gpu/partition/partition_record.h"
#include "node-agent/gpu/partition/power_limits.h"

namespace ashlar::node_agent {

// Fields as in ashlar.agent.v1.ClaimGpuPartition and GpuPartitionState.
struct GpuPartitionArgs {
  std::string gpu;  // UUID
  std::string profile;
  int start = 0, size = 0;
  int64_t keep_seconds = 0;
  int power_watts = 0;
};
struct GpuPartition {
  std::string gpu, profile;
  int start = 0, size = 0;
  int gpu_instance = -1, compute_instance = -1;
  std::string mig_device;
  std::string claim;
  absl::Time kept_until = absl::UnixEpoch();  // of one that is kept
  std::string problem;
  int power_watts = 0;
  bool operator==(const GpuPartition&) const = default;
};

struct GpuPartitionsOptions {
  std::string boot_id;
  // How often that is tried again which did not go.
  absl::Duration retry = absl::Seconds(10);
  absl::Duration mode_retry = absl::Minutes(1);
  // So long after the last step the driver is let go of.
  absl::Duration rest_after = absl::Seconds(30);
};

// What a reader is shown of a record.
GpuPartition ShowPart(const PartitionRecord& record, const std::string& problem);
// Whether the part of the record, which is made, is among the instances.
bool IsThere(const v1alpha1::Mig& mig, const PartitionRecord& record);

class GpuPartitions {
 public:
  // Borrows. `tell` is called, from any thread, when List() has changed.
  GpuPartitions(GpuPartitionsOptions options, GpuChanges& gpus, PartitionJournal& journal,
                Clock& clock, std::function<void()> tell)
      : options_(std::move(options)),
        gpus_(gpus),
        journal_(journal),
        clock_(clock),
        tell_(std::move(tell)),
        powers_(options_.boot_id, options_.retry, journal, clock,
                [this](const std::string& gpu, const auto& fill) { return Change(gpu, fill); }) {}
  ~GpuPartitions() { Stop(); }

  // Reads what an earlier process left; asks no driver. Before all else.
  absl::Status Recover(const CallContext& context);
  // Starts the thread that removes what was left half made and what was kept long enough.
  void Start();
  void Stop();

  // The part, made and ready for use, of the claim: made anew, or the one that is kept there, or,
  // if the call is repeated, the one that it has. MIG mode is switched on if the GPU can do that
  // without a reset. Parts that are kept for nobody and are in the way are removed. With
  // power_watts the GPU may draw no more, as PowerOf says, until the claim is released. A call that
  // fails leaves nothing, at once or as soon as the driver answers again; it may be repeated, and
  // is listed with its problem until the claim is released. InvalidArgument: BadRequest.
  // ResourceExhausted: NoRoom. FailedPrecondition: InUse, Taken, NeedsReset, NotSupported.
  // PermissionDenied: NoPermission. Unavailable: the driver or the GPU does not answer. Internal:
  // Failed. DeadlineExceeded, Cancelled: of the context, while another change was made; nothing was
  // begun.
  absl::StatusOr<GpuPartition> Ensure(const CallContext& context, const std::string& claim,
                                      const GpuPartitionArgs& wanted);

  // The claim has no part any more, and none that could not be made. Parts with keep_seconds are
  // kept; others are removed, now or, if that does not go, later, listed with the problem.
  // Absent is OK. Errors: the context, or the journal; nothing has changed then.
  absl::Status Release(const CallContext& context, const std::string& claim);

  // All parts that were made and those that could not be, by GPU and place.
  std::vector<GpuPartition> List();

  // Something happened to GPUs: looks soon whether all parts are still there.
  void LookSoon();

 private:
  // The right to change something: one thread at a time has it.
  class Turn;
  struct Place {
    std::string gpu;
    int start = 0;
    auto operator<=>(const Place&) const = default;
  };
  struct Entry {
    PartitionRecord record;
    std::string problem;
    absl::Time retry_at = absl::InfinitePast();
  };

  // All of these need a turn.
  // Whether the claim has the part already.
  bool Has(const std::string& claim, const GpuPartitionArgs& wanted);
  absl::StatusOr<GpuPartition> EnsureInTurn(const std::string& claim,
                                            const GpuPartitionArgs& wanted);
  // What is at the wanted place. `again`: it is gone now, and the part is to be made.
  absl::StatusOr<GpuPartition> Reuse(const std::string& claim, const GpuPartitionArgs& wanted,
                                     Entry entry, bool& again);
  // Removes what no claim has and overlaps the place, or all of it on the GPU.
  absl::Status MakeWay(const GpuPartitionArgs& wanted, bool all);
  // Errors also if somebody else's instance is at the place.
  absl::Status EnsureMode(const GpuPartitionArgs& wanted);
  absl::StatusOr<GpuPartition> MakePart(PartitionRecord record);
  absl::Status MakeInstance(PartitionRecord& record);
  // Takes the part back, whatever its phase. An error is noted as its problem.
  absl::Status Undo(const Place& place);
  // The greatest limit that claims ask for on the GPU; 0: one of them asks for none, or nobody has
  // anything there.
  int PowerOf(const std::string& gpu) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // GPUs whose limit may not be what it is to be, and when that is worth a try.
  std::map<std::string, absl::Time> UnsettledPowers() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status SettlePower(const std::string& gpu);
  // Sets the GPU's mode back if the agent set it and has nothing there.
  void LeaveMode(const std::string& gpu);
  absl::Status ForgetMode(const ModeRecord& record);
  // The instances of the GPU as they are. Error: they cannot be read.
  absl::StatusOr<v1alpha1::Mig> Read(const std::string& gpu);
  // What somebody else removed is no part of ours any more.
  void LookForRemoved(const std::string& gpu);
  void Tend();
  void Run(const std::stop_token& stop);
  absl::Time NextTending() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  agent::v1::GpuChangeAnswer Change(const std::string& gpu,
                                    const std::function<void(agent::v1::ChangeGpu&)>& fill);
  absl::Status Save(const PartitionRecord& record);
  absl::Status Forget(const PartitionRecord& record);
  std::vector<Entry> Entries();

  const GpuPartitionsOptions options_;
  GpuChanges& gpus_;  // of who has the turn
  PartitionJournal& journal_;
  Clock& clock_;
  const std::function<void()> tell_;
  std::stop_source stop_;

  Mutex mu_;
  CondVar changed_;
  bool taken_ ABSL_GUARDED_BY(mu_) = false;  // the turn
  std::map<Place, Entry> entries_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, ModeRecord> modes_ ABSL_GUARDED_BY(mu_);  // by GPU
  PowerLimits powers_;
  // What could not be made, by claim and place.
  std::map<std::pair<std::string, Place>, GpuPartition> refused_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, absl::Time> mode_retry_ ABSL_GUARDED_BY(mu_);
  absl::Time look_at_ ABSL_GUARDED_BY(mu_) = absl::InfiniteFuture();
  absl::Time used_ ABSL_GUARDED_BY(mu_) = absl::InfiniteFuture();  // the driver, last
  std::jthread thread_;
};

}  // namespace ashlar::node_agent
