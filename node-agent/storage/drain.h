// Drives that shall leave a pool, as spec.drain names them. Pure; thread-safe.
#pragma once

#include <string>
#include <vector>

#include "node-agent/inventory/drive_scanner.h"
#include "node-agent/storage/pool_medium.h"

namespace ashlar::node_agent {

// Reason of a pool that is ready while drives leave it. Nothing is wrong with it.
constexpr char kDraining[] = "Draining";

// Whether spec.drain names the drive, by serial or WWID, or, if it has neither, by its id.
bool IsDrained(const PoolSpec& spec, const Drive& drive);
// Whether the pool may have new volumes on the drive, if it can have it at all.
bool TakesVolumes(const PoolSpec& spec, const Drive& drive);
// Why a pool does not take a drive that spec.drain names.
std::string DrainRefusal(const Drive& drive);
// For a backend that moves nothing: lets the pool say which drives wait for the end of their
// volumes, and be looked at again every few seconds. Nothing to say without such drives.
void TellWaiting(const std::vector<std::string>& drive_ids, OpenedPool& opened);

}  // namespace ashlar::node_agent
