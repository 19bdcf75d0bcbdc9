#include "node-agent/storage/drive_wipe.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/system/block_erase.h"

namespace ashlar::node_agent {
namespace {

// The name by which spec.wipe names the drive, or "".
std::string NameOf(const PoolRecord& record, const Drive& drive) {
  for (const std::string& name : record.spec.wipe)
    if (!name.empty() && (name == drive.serial || name == drive.wwid)) return name;
  return "";
}

}  // namespace

absl::StatusOr<bool> WipeIfNamed(DriveScanner& scanner, PoolRecord& record, Drive& drive,
                                 SavePoolRecord save) {
  const std::string name = NameOf(record, drive);
  if (name.empty() || record.wiped.count(drive.id) > 0) return false;
  if (!scanner.UseReason(drive).empty()) return false;
  LogWarning("wiping a drive that spec.wipe names", {{"pool", record.spec.name},
                                                     {"drive", drive.id},
                                                     {"device", drive.device},
                                                     {"serial", drive.serial},
                                                     {"bore", drive.busy_reason}});
  ASHLAR_RETURN_IF_ERROR(sys::EraseSignatures(drive.device));
  record.wiped[drive.id] = name;
  ASHLAR_RETURN_IF_ERROR(save(record));
  drive.signature = {};
  drive.busy_reason = scanner.BusyReason(drive);
  return drive.busy_reason.empty();
}

std::string Refusal(DriveScanner& scanner, const PoolRecord& record, const Drive& drive) {
  const std::string& name = drive.serial.empty() ? drive.wwid : drive.serial;
  const std::string why = absl::StrCat(drive.id, " ", drive.busy_reason);
  if (name.empty() || !scanner.UseReason(drive).empty()) return why;
  if (record.wiped.count(drive.id) > 0)
    return absl::StrCat(why, " (it was wiped before: to wipe it again take ",
                        record.wiped.at(drive.id), " out of spec.wipe and put it back)");
  return absl::StrCat(why, " (its serial ", name, " in spec.wipe would wipe it)");
}

void ForgetUnnamed(PoolRecord& record) {
  const std::vector<std::string>& names = record.spec.wipe;
  for (auto it = record.wiped.begin(); it != record.wiped.end();)
    it = std::find(names.begin(), names.end(), it->second) == names.end() ? record.wiped.erase(it)
                                                                          : std::next(it);
}

}  // namespace ashlar::node_agent
