// CarvingController: stands in for the Ashlar controller in tests of the CSI side. It follows
// Volume objects and carves each at once, or does with it what the test has said. Thread-safe.
#pragma once

#include <map>
#include <string>
#include <thread>

#include "ashlar/v1alpha1/volume.pb.h"
#include "lib/base/mutex.h"
#include "lib/kube/client.h"

namespace ashlar::csi_driver {

class CarvingController {
 public:
  explicit CarvingController(kube::Client& client);

  // From now on volumes get Carved=False with this reason; "" carves again, "-" leaves them alone.
  void SetReason(const std::string& reason);
  // Takes every volume up again, as the real one does by and by.
  void Retry();
  void SetNode(const std::string& node);
  // Until it has done with the volume, as that version is, what it does.
  void AwaitSeen(const std::string& resource_version);

 private:
  void Run(std::stop_token stop);
  void Reconcile(const Json& object);
  void Carve(v1alpha1::Volume volume);
  void NoteSeen(const std::string& resource_version);
  std::string reason() const;

  kube::Client& client_;
  mutable Mutex mu_;
  CondVar changed_;
  std::string seen_ ABSL_GUARDED_BY(mu_);  // resourceVersion
  std::string reason_ ABSL_GUARDED_BY(mu_);
  std::string node_ ABSL_GUARDED_BY(mu_) = "n1";
  std::jthread thread_;
};

}  // namespace ashlar::csi_driver
