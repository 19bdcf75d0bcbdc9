// InventoryFeed: what this node has, with a revision that grows when it changes, for those who
// wait for changes. Looks at drives when it is told that something happened to one, and in long
// periods; at pools and volumes every few seconds and after every change of ours. Thread-safe.
#pragma once

#include <memory>
#include <thread>
#include <vector>

#include "lib/base/call_context.h"
#include "lib/base/clock.h"
#include "node-agent/claims/claim_record.h"
#include "node-agent/gpu/gpu_watch.h"
#include "node-agent/inventory/nvme_reader.h"
#include "node-agent/limits/limit_keeper.h"
#include "node-agent/near/pod_questions.h"
#include "node-agent/pool/pool_set.h"
#include "node-agent/topology/machine.h"
#include "node-agent/volume/volume_manager.h"

namespace ashlar::node_agent {

struct DriveReport {
  Drive drive;
  std::string pool;  // that it carries
};

struct InventorySnapshot {
  std::vector<DriveReport> drives;
  std::vector<PoolStatus> pools;
  std::vector<VolumeStatus> volumes;
  MachineReport machine;
  std::vector<ClaimStatus> claims;
  std::vector<PodQuestion> pod_questions;
  uint64_t revision = 0;
};

// What of the node decides how near drives and GPUs are.
NearFacts NearFactsOf(const InventorySnapshot& snapshot);

// Whether a reader of `before` should be told of `after`. Free bytes of a filesystem that a pool
// shares change all the time: less than 1 % of the capacity (at least 16 MiB) is no news. Nor are
// less than 10 degrees of a drive's temperature, if the drive itself does not find it critical.
bool IsNews(const InventorySnapshot& before, const InventorySnapshot& after);

// How often drives are looked at: by those who hear of changes, as no mount by a process with
// mounts of its own is heard of, and the health only tells when it is asked; by those who don't.
constexpr absl::Duration kSlowLooks = absl::Minutes(2);
constexpr absl::Duration kFastLooks = absl::Seconds(5);

class InventoryFeed {
 public:
  // `claims` and `questions` tell of them as they are now.
  InventoryFeed(DriveScanner& scanner, NvmeReader& nvme, PoolSet& pools, VolumeManager& volumes,
                const LimitKeeper& limits, Machine& machine,
                std::function<std::vector<ClaimStatus>()> claims,
                std::function<std::vector<PodQuestion>()> questions, DirectPlaces places,
                Clock& clock)
      : scanner_(scanner),
        nvme_(nvme),
        pools_(pools),
        volumes_(volumes),
        limits_(limits),
        machine_(machine),
        claims_(std::move(claims)),
        questions_(std::move(questions)),
        places_(std::move(places)),
        clock_(clock) {}
  ~InventoryFeed() { Stop(); }

  // Looks once, so that there is a snapshot when it returns, then keeps looking in a thread; at
  // drives every `looks`.
  void Start(absl::Duration looks);
  void Stop();
  // Something of ours changed: look at pools and volumes soon.
  void Poke();
  // As Poke, and somebody waits for an answer: nothing else is waited for.
  void PokeAtOnce();
  // Something happened to a drive: look at them soon. Many calls in a second are one look.
  // `health`: what a drive tells of its health is old.
  void LookSoon(bool health);

  std::shared_ptr<const InventorySnapshot> Latest();
  // Which way cuFile will take to the volume as it is published now; empty if nobody asks.
  DirectWay DirectWayOf(const std::string& volume);
  // Waits until the revision differs from `revision` or until `until`, and returns the latest. With
  // revision 0, of a reader that begins, the answer shows all that was poked before the call.
  // Cancelled or DeadlineExceeded when the context ends.
  absl::StatusOr<std::shared_ptr<const InventorySnapshot>> Await(const CallContext& context,
                                                                 uint64_t revision,
                                                                 absl::Time until);

 private:
  void Run(const std::stop_token& stop);
  void AwaitSettled();
  // Looks at the drives if that is due.
  void LookIfDue(const CallContext& context);
  void LookAtDrives(const CallContext& context);
  void Publish();
  // Says of volumes that somebody wants to know of which way cuFile will take.
  void JudgeDirectWays(InventorySnapshot& snapshot);

  DriveScanner& scanner_;
  NvmeReader& nvme_;  // of the looking thread
  PoolSet& pools_;
  VolumeManager& volumes_;
  const LimitKeeper& limits_;
  Machine& machine_;  // of the looking thread
  const std::function<std::vector<ClaimStatus>()> claims_;
  const std::function<std::vector<PodQuestion>()> questions_;
  const DirectPlaces places_;
  Clock& clock_;
  absl::Duration looks_;
  std::vector<DriveReport> drives_;  // of the looking thread
  Mutex mu_;
  CondVar changed_;
  uint64_t pokes_ ABSL_GUARDED_BY(mu_) = 0;
  bool at_once_ ABSL_GUARDED_BY(mu_) = false;
  uint64_t answered_pokes_ ABSL_GUARDED_BY(mu_) = 0;  // which `latest_` shows
  absl::Time look_due_ ABSL_GUARDED_BY(mu_) = absl::InfiniteFuture();
  absl::Time looked_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();
  bool health_is_old_ ABSL_GUARDED_BY(mu_) = false;
  std::shared_ptr<const InventorySnapshot> latest_ ABSL_GUARDED_BY(mu_);
  std::jthread thread_;
};

}  // namespace ashlar::node_agent
