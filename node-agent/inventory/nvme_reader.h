// NvmeReader: adds to drives what their NVMe controllers tell: identifiers, formats, abilities and
// health. What a controller does not tell stays absent; nothing is ever an error of the scan.
// Sends commands that only read. Used by one thread.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "lib/base/clock.h"
#include "lib/system/nvme_admin.h"
#include "node-agent/inventory/drive.h"

namespace ashlar::node_agent {

// Some controllers stop their work for milliseconds to write a SMART log.
constexpr absl::Duration kHealthAge = absl::Minutes(2);

class NvmeReader {
 public:
  // `sys_root` is where sysfs is. Borrows.
  NvmeReader(sys::NvmeAdmin& admin, Clock& clock, std::string sys_root = "/sys")
      : admin_(admin), clock_(clock), sys_root_(std::move(sys_root)) {}

  // The health is that of the last kHealthAge, read anew if it is older.
  void Fill(std::vector<Drive>& drives);
  // The next Fill reads the health of every drive: one of them announced a change.
  void ForgetHealth() { health_.clear(); }

 private:
  struct KnownHealth {
    absl::Time read;
    std::optional<sys::NvmeHealth> health;
  };
  std::optional<NvmeFacts> ReadFacts(const std::string& device);
  std::optional<sys::NvmeHealth> ReadHealth(const std::string& device);

  sys::NvmeAdmin& admin_;
  Clock& clock_;
  const std::string sys_root_;
  std::map<std::string, KnownHealth> health_;  // by id and device
};

}  // namespace ashlar::node_agent
