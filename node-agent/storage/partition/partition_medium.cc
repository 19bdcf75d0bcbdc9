#include "node-agent/storage/partition/partition_medium.h"

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "node-agent/storage/drain.h"
#include "node-agent/storage/drive_wipe.h"

namespace ashlar::node_agent {
namespace {

// How the scanner calls a drive that nobody uses and that bears a table whose writing was
// interrupted.
constexpr char kUnfinished[] = "has a partition table (gpt)";

bool IsClaimed(const PoolRecord& record, const Drive& drive) {
  return std::find(record.claimed.begin(), record.claimed.end(), drive.id) != record.claimed.end();
}

}  // namespace

PartitionMedium::PartitionMedium(const PoolEnvironment& env, const PoolSpec& spec)
    : env_(env),
      pool_uid_(spec.uid),
      backend_(std::make_shared<PartitionBackend>(
          env.commands, spec.uid, absl::StrCat(env.state_dir, "/pools/", FileStem(spec.name)))) {}

bool PartitionMedium::Carries(const Drive& drive) const {
  return drive.signature.partition_table == "gpt" &&
         IsTableOf(drive.signature.partition_table_uuid, pool_uid_);
}

absl::StatusOr<PartitionMedium::Drives> PartitionMedium::Look(const PoolRecord& record) {
  const DeviceSource& wanted = *record.spec.devices;
  ASHLAR_ASSIGN_OR_RETURN(std::vector<Drive> all, env_.scanner.Scan(wanted.paths));
  Drives drives;
  std::map<std::string, std::string> tables;  // ids of drives by the GUID of their table
  for (Drive& drive : all) {
    const bool carries = Carries(drive);
    if (carries && IsClaimed(record, drive)) {
      drives.unfinished.push_back(drive);
    } else if (carries) {
      const auto [other, first] = tables.emplace(drive.signature.partition_table_uuid, drive.id);
      if (!first)
        return NotReady("AmbiguousDrives", absl::StrCat(other->second, " and ", drive.id,
                                                        " are copies of each other"));
      drives.carrying.push_back(drive);
    } else if (!Matches(wanted, drive)) {
      continue;
    } else if (IsDrained(record.spec, drive)) {
      drives.refused.push_back(DrainRefusal(drive));
    } else if (drive.busy_reason.empty()) {
      drives.free.push_back(drive);
    } else {
      drives.used.push_back(std::move(drive));
    }
  }
  return drives;
}

absl::Status PartitionMedium::WipeNamed(PoolRecord& record, SavePoolRecord save, Drives& drives) {
  for (Drive& drive : drives.used) {
    ASHLAR_ASSIGN_OR_RETURN(const bool wiped, WipeIfNamed(env_.scanner, record, drive, save));
    if (wiped)
      drives.free.push_back(drive);
    else
      drives.refused.push_back(Refusal(env_.scanner, record, drive));
  }
  return absl::OkStatus();
}

absl::Status PartitionMedium::Claim(PoolRecord& record, const Drive& drive, bool again,
                                    SavePoolRecord save) {
  if (!again) {
    record.claimed.push_back(drive.id);
    ASHLAR_RETURN_IF_ERROR(save(record));
  }
  const std::string busy = env_.scanner.BusyReason(drive);
  if (!busy.empty() && !(again && busy == kUnfinished))
    return NotReady("NoFreeDrive", absl::StrCat(drive.id, " ", busy));
  LogInfo("partitioning a free drive", {{"pool", record.spec.name}, {"drive", drive.id}});
  ASHLAR_RETURN_IF_ERROR(PartitionBackend::Claim(drive.device, drive.id, pool_uid_));
  std::erase(record.claimed, drive.id);
  const absl::Status saved = save(record);
  // While the record says so a restarted agent writes the table again: there may be no volumes.
  if (!saved.ok()) record.claimed.push_back(drive.id);
  return saved;
}

absl::Status PartitionMedium::Release(PoolRecord& record, const Drive& drive, SavePoolRecord save) {
  if (!IsClaimed(record, drive)) {
    record.claimed.push_back(drive.id);
    ASHLAR_RETURN_IF_ERROR(save(record));
  }
  LogInfo("giving an empty drive back", {{"pool", record.spec.name}, {"drive", drive.id}});
  ASHLAR_RETURN_IF_ERROR(PartitionBackend::Release(drive.device));
  std::erase(record.claimed, drive.id);
  return save(record);
}

absl::StatusOr<OpenedPool> PartitionMedium::Open(const CallContext&, PoolRecord& record,
                                                 SavePoolRecord save) {
  ASHLAR_ASSIGN_OR_RETURN(Drives drives, Look(record));
  ASHLAR_RETURN_IF_ERROR(WipeNamed(record, save, drives));
  for (const Drive& drive : drives.unfinished) {
    if (!TakesVolumes(record.spec, drive)) {
      ASHLAR_RETURN_IF_ERROR(Release(record, drive, save));
      continue;
    }
    ASHLAR_RETURN_IF_ERROR(Claim(record, drive, true, save));
    drives.carrying.push_back(drive);
  }
  for (const Drive& drive : drives.free) {
    const absl::Status claimed = Claim(record, drive, IsClaimed(record, drive), save);
    if (claimed.ok())
      drives.carrying.push_back(drive);
    else
      drives.refused.push_back(absl::StrCat(drive.id, " ", MessageOf(claimed)));
  }
  std::vector<PartitionDrive> ours;
  for (const Drive& drive : drives.carrying)
    ours.push_back({drive.id, drive.device, TakesVolumes(record.spec, drive)});
  ASHLAR_RETURN_IF_ERROR(backend_->SetDrives(ours, record.spec.reserve_bytes));
  OpenedPool pool{backend_, {}};
  std::vector<PartitionDrive> kept;
  std::vector<std::string> waiting;
  for (const Drive& drive : drives.carrying) {
    if (!TakesVolumes(record.spec, drive) && backend_->IsEmpty(drive.id).value_or(false)) {
      ASHLAR_RETURN_IF_ERROR(Release(record, drive, save));
      continue;
    }
    pool.devices.push_back(drive.id);
    kept.push_back({drive.id, drive.device, TakesVolumes(record.spec, drive)});
    if (IsDrained(record.spec, drive)) waiting.push_back(drive.id);
  }
  if (kept != ours) ASHLAR_RETURN_IF_ERROR(backend_->SetDrives(kept, record.spec.reserve_bytes));
  TellWaiting(waiting, pool);
  if (!kept.empty()) return pool;
  if (drives.refused.empty())
    return NotReady("NoMatchingDrive", "no drive of this node matches spec.devices");
  return NotReady("NoFreeDrive",
                  absl::StrCat("no matching drive is free: ", absl::StrJoin(drives.refused, "; ")));
}

absl::Status PartitionMedium::Close(const CallContext&, const PoolRecord& record) {
  ASHLAR_ASSIGN_OR_RETURN(const Drives drives, Look(record));
  for (const Drive& drive : drives.unfinished)
    ASHLAR_RETURN_IF_ERROR(PartitionBackend::Release(drive.device));
  return absl::OkStatus();
}

}  // namespace ashlar::node_agent
