// PodQuestions: asks the controller which devices ResourceClaims gave to a pod. The agent cannot
// call the controller: a question stands in the inventory until its answer comes, or nobody waits
// for it any more. Thread-safe.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "node-agent/near/pod_devices.h"

namespace ashlar::node_agent {

// How long the controller is waited for, at most: a pod waits meanwhile.
constexpr absl::Duration kControllerTime = absl::Seconds(3);

struct PodQuestion {
  uint64_t id = 0;  // each time that it is asked is another question
  std::string pod_namespace, pod_uid;
  bool operator==(const PodQuestion&) const = default;
};

class PodQuestions final : public PodDevices {
 public:
  // `changed` is called, without a lock, when there is a question that Open did not show. Both must
  // outlive it.
  PodQuestions(Clock& clock, std::function<void()> changed);

  // Of a pod without a uid none. Unavailable: no answer came in time.
  absl::StatusOr<std::vector<PodDevice>> Find(const CallContext& context,
                                              const PodId& pod) override;
  // What is asked now, by id.
  std::vector<PodQuestion> Open() const;
  // Does nothing if nobody waits for it.
  void Answer(uint64_t id, std::vector<PodDevice> devices);

 private:
  struct Asked {
    PodQuestion question;
    bool answered = false;
    std::vector<PodDevice> devices;
  };

  Clock& clock_;
  const std::function<void()> changed_;
  mutable Mutex mu_;
  CondVar told_;
  uint64_t last_id_ ABSL_GUARDED_BY(mu_);
  std::map<uint64_t, Asked> asked_ ABSL_GUARDED_BY(mu_);  // by id
};

}  // namespace ashlar::node_agent
