// What a Namespace pool has room for, and where a volume goes. Pure; thread-safe.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "lib/system/block_probe.h"
#include "node-agent/storage/namespace/namespace_records.h"
#include "node-agent/storage/storage_backend.h"

namespace ashlar::node_agent {

// What was found on a namespace.
struct NamespaceLook {
  std::string busy_reason;  // empty: it is free
  sys::Signature signature = {};
};

// A subsystem of a pool, or one that holds some of its volumes.
struct PoolSubsystem {
  NvmeSubsystem subsystem;
  bool takes_volumes = true;
  std::map<uint32_t, NamespaceLook> looks = {};  // by nsid; who is not in it is not free
};

// What is to be decided upon. Borrows.
struct NamespacePool {
  const std::vector<PoolSubsystem>& subsystems;
  const NamespaceRecords& records;
  int64_t reserve_bytes = 0;
  absl::Time now;

  // What the largest namespace that the subsystem would create could have; 0: none.
  int64_t Creatable(const PoolSubsystem& on) const;
  bool IsFree(const PoolSubsystem& on, const NvmeNamespaceState& space) const;
  // Of all that could be had, on one subsystem and on all of them.
  int64_t FreeBytes(const PoolSubsystem& on) const;
  int64_t FreeBytes() const;
};

struct NamespacePlace {
  std::string nqn, serial;
  uint32_t nsid = 0;  // 0: one is created
  std::string identity;
  int64_t size_bytes = 0;
};

PoolUsage UsageOf(const NamespacePool& pool);

// A new namespace of about the size where one can be had; else the smallest prepared one that is
// large enough; else a new one of a subsystem that does not tell what it could create. `drive` is
// the name of the only subsystem that will do; empty: any. ResourceExhausted says what there is,
// and who has refused what. FailedPrecondition: the pool takes no volumes on that subsystem.
absl::StatusOr<NamespacePlace> ChoosePlace(const NamespacePool& pool, int64_t size_bytes,
                                           const std::string& drive = "");

}  // namespace ashlar::node_agent
