// InventoryFeed: what this node has, with a revision that grows when it changes, for those who
// wait for changes. Looks at drives every few seconds, and at pools and volumes then and after
// every change of ours. Thread-safe.
#pragma once

#include <memory>
#include <thread>
#include <vector>

#include "lib/base/call_context.h"
#include "lib/base/clock.h"
#include "node-agent/pool/pool_set.h"
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
  uint64_t revision = 0;
};

// Whether a reader of `before` should be told of `after`. Free bytes of a filesystem that a pool
// shares change all the time: less than 1 % of the capacity (at least 16 MiB) is no news.
bool IsNews(const InventorySnapshot& before, const InventorySnapshot& after);

class InventoryFeed {
 public:
  InventoryFeed(DriveScanner& scanner, PoolSet& pools, VolumeManager& volumes, Clock& clock,
                absl::Duration period = absl::Seconds(5))
      : scanner_(scanner), pools_(pools), volumes_(volumes), clock_(clock), period_(period) {}
  ~InventoryFeed() { Stop(); }

  // Looks once, so that there is a snapshot when it returns, then keeps looking in a thread.
  void Start();
  void Stop();
  // Something of ours changed: look at pools and volumes soon.
  void Poke();

  std::shared_ptr<const InventorySnapshot> Latest();
  // Waits until the revision differs from `revision` or until `until`, and returns the latest. With
  // revision 0, of a reader that begins, the answer shows all that was poked before the call.
  // Cancelled or DeadlineExceeded when the context ends.
  absl::StatusOr<std::shared_ptr<const InventorySnapshot>> Await(const CallContext& context,
                                                                 uint64_t revision,
                                                                 absl::Time until);

 private:
  void Run(const std::stop_token& stop);
  void LookAtDrives(const CallContext& context);
  void Publish();

  DriveScanner& scanner_;
  PoolSet& pools_;
  VolumeManager& volumes_;
  Clock& clock_;
  const absl::Duration period_;
  std::vector<DriveReport> drives_;  // of the looking thread
  Mutex mu_;
  CondVar changed_;
  uint64_t pokes_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t answered_pokes_ ABSL_GUARDED_BY(mu_) = 0;  // which `latest_` shows
  std::shared_ptr<const InventorySnapshot> latest_ ABSL_GUARDED_BY(mu_);
  std::jthread thread_;
};

}  // namespace ashlar::node_agent
