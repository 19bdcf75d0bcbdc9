// Trimmer: gives the free space of mounted filesystems back to their pools, each volume when it is
// due (trim_plan.h), one at a time, in pieces, so that a volume can be unmounted in between.
// Thread-safe.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "lib/base/call_context.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/metrics/metrics.h"
#include "lib/system/filesystem_trim.h"
#include "node-agent/limits/volume_use.h"

namespace ashlar::node_agent {

class Trimmer {
 public:
  // All must outlive it. `uses` tells what is in use now and is called from the trimmer's thread.
  Trimmer(sys::FilesystemTrim& trim, std::function<std::vector<VolumeUse>()> uses, Clock& clock,
          metrics::Registry& metrics);
  ~Trimmer() { Stop(); }

  void Start();
  // Waits for the piece that is under way.
  void Stop();

 private:
  void Run(const std::stop_token& stop);
  // Trims what has become due since `since`.
  void TrimDue(const CallContext& context, absl::Time since, absl::Time now);
  void TrimVolume(const CallContext& context, const VolumeUse& use);

  sys::FilesystemTrim& trim_;
  const std::function<std::vector<VolumeUse>()> uses_;
  Clock& clock_;
  metrics::Counter& bytes_;
  metrics::Counter& trims_;
  metrics::Counter& errors_;
  std::jthread thread_;
};

}  // namespace ashlar::node_agent
