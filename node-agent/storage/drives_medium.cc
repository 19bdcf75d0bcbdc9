#include "node-agent/storage/drives_medium.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "lib/base/status_macros.h"
#include "node-agent/storage/drain.h"

namespace ashlar::node_agent {
namespace {

// What is under way, or not as it should be.
void Tell(const MountedDrives& mounted, const std::vector<SpreadPart>& parts, OpenedPool& pool) {
  std::vector<std::string> leaving;
  for (const SpreadPart& part : parts)
    if (!part.takes_volumes) leaving.push_back(part.drive);
  TellWaiting(leaving, pool);
  if (mounted.missing.empty()) return;
  pool.reason = "DriveMissing";
  pool.message =
      absl::StrCat("drives of the pool are not there: ", absl::StrJoin(mounted.missing, ", "));
}

}  // namespace

absl::Status DrivesMedium::ReleaseEmpty(PoolRecord& record, std::vector<SpreadPart>& parts,
                                        SavePoolRecord save) {
  // Also what is being made or removed counts as allocated.
  const auto empty = [](const SpreadPart& part) {
    const absl::StatusOr<PoolUsage> usage = part.backend->Usage();
    return usage.ok() && usage->allocated_bytes == 0;
  };
  for (auto part = parts.begin(); part != parts.end();) {
    // Asked again when nobody can begin anything there any more.
    if (part->takes_volumes || !empty(*part) || !backend_->RemovePart(part->drive) ||
        !empty(*part)) {
      ++part;
      continue;
    }
    const std::string drive = part->drive;
    part = parts.erase(part);
    pools_.erase(drive);
    ASHLAR_RETURN_IF_ERROR(drives_.Release(record, drive, save));
  }
  return absl::OkStatus();
}

absl::StatusOr<OpenedPool> DrivesMedium::Open(const CallContext& context, PoolRecord& record,
                                              SavePoolRecord save) {
  ASHLAR_ASSIGN_OR_RETURN(const MountedDrives mounted, drives_.Open(context, record, save));
  PoolSpec each = record.spec;
  // What is kept free is kept evenly.
  each.reserve_bytes /= static_cast<int64_t>(mounted.drives.size());
  std::vector<SpreadPart> parts;
  for (const MountedDrive& drive : mounted.drives) {
    std::unique_ptr<DirectoryPool>& pool = pools_[drive.id];
    if (pool == nullptr) pool = make_();
    ASHLAR_ASSIGN_OR_RETURN(std::shared_ptr<StorageBackend> backend,
                            pool->Open(each, drive.target));
    parts.push_back({drive.id, std::move(backend), drive.takes_volumes});
  }
  backend_->SetParts(parts, mounted.missing);
  ASHLAR_RETURN_IF_ERROR(ReleaseEmpty(record, parts, save));
  backend_->SetParts(parts, mounted.missing);
  if (parts.empty())
    return NotReady("NoMatchingDrive", "the last drive has left the pool; no other one matches");
  OpenedPool opened{backend_, {}};
  for (const SpreadPart& part : parts) opened.devices.push_back(part.drive);
  Tell(mounted, parts, opened);
  return opened;
}

absl::Status DrivesMedium::Close(const CallContext&, const PoolRecord& record) {
  return drives_.Close(record);
}

}  // namespace ashlar::node_agent
