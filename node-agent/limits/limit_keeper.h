// LimitKeeper: keeps the limits of volumes in force in the control groups of the pods that use
// them. It compares what shall be with what it has written: after every change of ours, and by
// itself while a pod's group is missing, or where pods get groups later on. What an earlier process
// wrote is not known, so the first pass writes everything. Thread-safe.
//
// Two pods that share a volume have its limits each. The kernel has no limit over several groups
// but that of a common parent, and the parent of two pods is that of all pods of their class.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "lib/base/call_context.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/metrics/metrics.h"
#include "node-agent/limits/io_cgroups.h"

namespace ashlar::node_agent {

class LimitKeeper {
 public:
  // All must outlive it. `uses` tells what is in use now and is called from the keeper's thread.
  // `changed` is called there when the answer of Problem has changed; it must not block.
  LimitKeeper(IoCgroups& groups, std::function<std::vector<VolumeUse>()> uses,
              std::function<void()> changed, Clock& clock, metrics::Registry& metrics);
  ~LimitKeeper() { Stop(); }

  void Start();
  void Stop();

  // Something was published, unpublished or modified: returns when that has been looked at.
  // Cancelled or DeadlineExceeded when the context ends; it is looked at all the same.
  absl::Status Refresh(const CallContext& context);
  // The same without waiting.
  void Poke();
  // Where the limits of the volume are not in force, and why; empty: they are, or it has none. A
  // pod that has no group has no process that they could bind: it is named when it has none for
  // longer than a start takes.
  std::string Problem(const std::string& volume) const;

 private:
  // One device in one group.
  struct Place {
    std::string group;
    DeviceNumber device;
    auto operator<=>(const Place&) const = default;
  };
  // What one pass finds.
  struct Findings {
    std::map<std::string, std::string> problems;  // by volume
    std::set<Place> wanted;
    std::map<std::pair<std::string, std::string>, absl::Time> missing;  // volume and pod
    bool limited = false;                                               // some volume has limits
  };

  void Run(const std::stop_token& stop);
  // True: look again soon.
  bool Pass();
  void LimitPod(const VolumeUse& use, const std::string& pod, Findings& findings);
  void ClearUnwanted(const std::set<Place>& wanted);
  void Publish(std::map<std::string, std::string> problems);

  IoCgroups& groups_;
  const std::function<std::vector<VolumeUse>()> uses_;
  const std::function<void()> changed_;
  Clock& clock_;
  metrics::Gauge& limited_;
  metrics::Gauge& missing_;
  metrics::Counter& errors_;

  // Of the keeper's thread.
  std::map<Place, IoLimits> written_;
  // Since when a volume's pod has no group.
  std::map<std::pair<std::string, std::string>, absl::Time> missing_since_;
  bool first_ = true;

  mutable Mutex mu_;
  CondVar wake_;
  uint64_t asked_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t answered_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<std::string, std::string> problems_ ABSL_GUARDED_BY(mu_);
  std::jthread thread_;
};

}  // namespace ashlar::node_agent
