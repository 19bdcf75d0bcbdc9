// Wiping: how a used drive becomes a free one for a pool whose spec.wipe names it, by serial or
// WWID. A drive that is mounted, held, swapped to or claimed is never wiped, nor is one that
// carries the pool itself (its medium does not ask).
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "node-agent/storage/pool_medium.h"

namespace ashlar::node_agent {

// True: the drive is free now. Called for a drive that matches the pool and is not free. The
// record keeps, durably, that it was wiped: one that has got something on it again is wiped again
// only when its name has been taken out of spec.wipe and put back.
absl::StatusOr<bool> WipeIfNamed(DriveScanner& scanner, PoolRecord& record, Drive& drive,
                                 SavePoolRecord save);

// Why the drive is not taken, as a part of a sentence; says whether spec.wipe would help.
std::string Refusal(DriveScanner& scanner, const PoolRecord& record, const Drive& drive);

// Forgets what was wiped by a name that spec.wipe has no more.
void ForgetUnnamed(PoolRecord& record);

}  // namespace ashlar::node_agent
