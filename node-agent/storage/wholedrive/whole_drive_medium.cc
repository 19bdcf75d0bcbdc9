#include "node-agent/storage/wholedrive/whole_drive_medium.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "lib/base/status_macros.h"
#include "node-agent/storage/blank_ends.h"
#include "node-agent/storage/drain.h"
#include "node-agent/storage/drive_wipe.h"
#include "node-agent/storage/volume_uuid.h"

namespace ashlar::node_agent {
namespace {

// Loop devices have no identity but their name; nobody expects them to outlive a boot.
bool IsIdentified(const Drive& drive) {
  return drive.id != drive.device || drive.transport == "loop";
}

}  // namespace

WholeDriveMedium::WholeDriveMedium(const PoolEnvironment& env, const PoolSpec& spec)
    : env_(env),
      backend_(std::make_shared<WholeDriveBackend>(
          env.commands, env.scanner, spec.uid,
          absl::StrCat(env.state_dir, "/drives/", FileStem(spec.name)),
          absl::StrCat(env.state_dir, "/pools/", FileStem(spec.name)))) {}

bool WholeDriveMedium::Carries(const Drive& drive) const { return backend_->Holds(drive.id); }

absl::Status WholeDriveMedium::LookAt(PoolRecord& record, SavePoolRecord save, Drive& drive) {
  if (drive.busy_reason.empty()) drive.busy_reason = DataReason(drive.device);
  if (drive.busy_reason.empty()) return absl::OkStatus();
  // Of this pool, whatever became of the record that says so, and that it was wiped before.
  if (IsVolumeUuidOf(record.spec.uid, drive.signature.uuid)) return absl::OkStatus();
  const absl::StatusOr<bool> wiped = backend_->UnlessHeld(
      drive.id, [&] { return WipeIfNamed(env_.scanner, record, drive, save); });
  return wiped.status();
}

std::string WholeDriveMedium::WhyNot(const PoolRecord& record, const Drive& drive) {
  if (!IsIdentified(drive)) return absl::StrCat(drive.id, " has no identifier of its own");
  if (IsVolumeUuidOf(record.spec.uid, drive.signature.uuid))
    return absl::StrCat(drive.id, " bears a volume whose record was lost");
  return Refusal(env_.scanner, record, drive);
}

absl::StatusOr<OpenedPool> WholeDriveMedium::Open(const CallContext&, PoolRecord& record,
                                                  SavePoolRecord save) {
  const DeviceSource& wanted = *record.spec.devices;
  std::vector<Drive> all;
  absl::StatusOr<std::set<std::string>> held = absl::AbortedError("not looked yet");
  // A drive that is freed while it is looked at seems to be in use.
  while (absl::IsAborted(held.status())) {
    const uint64_t freed = backend_->Freed();
    ASHLAR_ASSIGN_OR_RETURN(all, env_.scanner.Scan(wanted.paths));
    std::vector<WholeDrive> drives;
    // Also drives that match no longer: one of them may be a volume.
    for (Drive& drive : all) {
      if (!IsIdentified(drive)) continue;
      const bool takes = TakesVolumes(record.spec, drive);
      if (takes && !backend_->Holds(drive.id)) ASHLAR_RETURN_IF_ERROR(LookAt(record, save, drive));
      drives.push_back({drive, takes});
    }
    held = backend_->SetDrives(std::move(drives), record.spec.reserve_bytes, freed);
  }
  ASHLAR_RETURN_IF_ERROR(held.status());
  OpenedPool pool{backend_, {}};
  std::vector<std::string> refused, waiting;
  for (const Drive& drive : all) {
    const bool matches = Matches(wanted, drive), drained = IsDrained(record.spec, drive);
    if (drained && held->count(drive.id) > 0) waiting.push_back(drive.id);
    if (held->count(drive.id) > 0 ||
        (matches && !drained && drive.busy_reason.empty() && IsIdentified(drive)))
      pool.devices.push_back(drive.id);
    else if (matches && drained)
      refused.push_back(DrainRefusal(drive));
    else if (matches)
      refused.push_back(WhyNot(record, drive));
  }
  TellWaiting(waiting, pool);
  if (!pool.devices.empty()) return pool;
  if (refused.empty())
    return NotReady("NoMatchingDrive", "no drive of this node matches spec.devices");
  return NotReady("NoFreeDrive",
                  absl::StrCat("no matching drive is free: ", absl::StrJoin(refused, "; ")));
}

}  // namespace ashlar::node_agent
