// TakingController: stands in for the Ashlar controller in tests of CSI's snapshots. It follows
// Snapshot and SnapshotGroup objects and takes each at once, or does with it what the test has
// said. Thread-safe.
#pragma once

#include <string>
#include <thread>

#include "lib/base/mutex.h"
#include "lib/kube/client.h"

namespace ashlar::csi_driver {

class TakingController {
 public:
  explicit TakingController(kube::Client& client);

  // From now on objects get Ready=False with this reason; "" takes them again.
  void SetReason(const std::string& reason);

 private:
  void Run(const api::KindInfo& kind, std::stop_token stop);
  void Reconcile(const api::KindInfo& kind, const Json& object);
  void Take(const api::KindInfo& kind, Json object, const std::string& reason);

  kube::Client& client_;
  Mutex mu_;
  std::string reason_ ABSL_GUARDED_BY(mu_);
  std::jthread snapshots_;
  std::jthread groups_;
};

}  // namespace ashlar::csi_driver
