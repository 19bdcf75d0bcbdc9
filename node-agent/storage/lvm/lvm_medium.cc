#include "node-agent/storage/lvm/lvm_medium.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"

namespace ashlar::node_agent {
namespace {

constexpr char kLabel[] = "LVM2_member";
// How the scanner calls a drive that nobody uses and that bears LVM's label.
constexpr char kUnfinished[] = "has a signature of LVM2_member";
// So that sizes of volumes, multiples of 1 MiB, are met exactly.
constexpr char kExtent[] = "1m";
// LVM keeps the group's description on each drive, some 1 KiB a volume, and needs room for two.
constexpr char kMetadataArea[] = "16m";

bool IsClaimed(const PoolRecord& record, const Drive& drive) {
  return std::find(record.claimed.begin(), record.claimed.end(), drive.id) != record.claimed.end();
}

LvmLimits LimitsOf(const PoolSpec& spec) {
  LvmLimits limits;
  limits.reserve_bytes = spec.reserve_bytes;
  limits.sparse = spec.sparse;
  limits.overprovision_percent = spec.overprovision_percent;
  return limits;
}

std::vector<std::string> IdsOf(const std::vector<Drive>& drives) {
  std::vector<std::string> ids;
  for (const Drive& drive : drives) ids.push_back(drive.id);
  return ids;
}

std::vector<std::string> DevicesOf(const std::vector<Drive>& drives) {
  std::vector<std::string> devices;
  for (const Drive& drive : drives) devices.push_back(drive.device);
  return devices;
}

}  // namespace

LvmMedium::LvmMedium(const PoolEnvironment& env, const PoolSpec& spec)
    : env_(env),
      group_(GroupName(spec.uid)),
      uid_tag_(UidTag(spec.uid)),
      lvm_(std::make_shared<LvmTool>(env.commands, absl::StrCat(env.state_dir, "/lvm"))) {}

bool LvmMedium::Carries(const Drive& drive) const {
  MutexLock lock(mu_);
  return drive.signature.type == kLabel && member_uuids_.count(drive.signature.uuid) > 0;
}

absl::StatusOr<LvmMedium::Drives> LvmMedium::LookAtDrives(const PoolRecord& record) {
  const DeviceSource& wanted = *record.spec.devices;
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<Drive> found, env_.scanner.Scan(wanted.paths));
  std::vector<std::string> labelled;
  for (const Drive& drive : found)
    if (drive.signature.type == kLabel) labelled.push_back(drive.device);
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<PhysicalVolume> pvs, lvm_->Identify(labelled));
  std::set<std::string> uuids;
  Drives drives;
  for (const Drive& drive : found) {
    const auto pv = std::find_if(pvs.begin(), pvs.end(), [&](const PhysicalVolume& candidate) {
      return candidate.uuid == drive.signature.uuid;
    });
    const bool of_group = drive.signature.type == kLabel && pv != pvs.end() && pv->group == group_;
    const bool ours = of_group && std::count(pv->tags.begin(), pv->tags.end(), uid_tag_) > 0;
    const bool unfinished = IsClaimed(record, drive) && drive.busy_reason == kUnfinished &&
                            pv != pvs.end() && pv->group.empty();
    drives.foreign_group = drives.foreign_group || (of_group && !ours);
    if (ours) {
      drives.members.push_back(drive);
      uuids.insert(pv->uuid);
    } else if (!Matches(wanted, drive)) {
      continue;
    } else if (drive.busy_reason.empty() || unfinished) {
      drives.addable.push_back(drive);
    } else {
      drives.refused.push_back(absl::StrCat(drive.id, " ", drive.busy_reason));
    }
  }
  MutexLock lock(mu_);
  member_uuids_ = std::move(uuids);
  return drives;
}

absl::Status LvmMedium::Claim(PoolRecord& record, SavePoolRecord save, Drives& drives) {
  const std::vector<std::string> before = record.claimed;
  record.claimed = IdsOf(drives.addable);
  ASHLAR_RETURN_IF_ERROR(save(record));
  for (const Drive& drive : drives.addable) {
    const std::string busy = env_.scanner.BusyReason(drive);
    const bool again = std::count(before.begin(), before.end(), drive.id) > 0;
    if (!busy.empty() && !(again && busy == kUnfinished))
      return NotReady("NoFreeDrive", absl::StrCat(drive.id, " ", busy));
  }
  LogInfo("taking free drives", {{"pool", record.spec.name},
                                 {"group", group_},
                                 {"drives", absl::StrJoin(record.claimed, ", ")}});
  std::vector<Drive> all = drives.members;
  all.insert(all.end(), drives.addable.begin(), drives.addable.end());
  lvm_->SetDevices(DevicesOf(all));
  // Without --yes LVM itself refuses a drive that bears any signature but its own.
  std::vector<std::string> argv = {"vgextend", "--metadatasize", kMetadataArea, group_};
  if (drives.members.empty())
    argv = {"vgcreate",    "--physicalextentsize",
            kExtent,       "--metadatasize",
            kMetadataArea, "--addtag",
            uid_tag_,      group_};
  for (const Drive& drive : drives.addable) argv.push_back(drive.device);
  ASHLAR_RETURN_IF_ERROR(lvm_->Run(argv));
  ASHLAR_ASSIGN_OR_RETURN(drives, LookAtDrives(record));
  return absl::OkStatus();
}

absl::Status LvmMedium::SaveMembers(PoolRecord& record, SavePoolRecord save, const Drives& drives) {
  std::vector<std::string> members = record.members;
  for (const std::string& id : IdsOf(drives.members))
    if (std::find(members.begin(), members.end(), id) == members.end()) members.push_back(id);
  if (record.claimed.empty() && members == record.members) return absl::OkStatus();
  const PoolRecord before = record;
  record.claimed.clear();
  record.members = std::move(members);
  const absl::Status saved = save(record);
  if (!saved.ok()) record = before;
  return saved;
}

absl::StatusOr<OpenedPool> LvmMedium::Open(const CallContext&, PoolRecord& record,
                                           SavePoolRecord save) {
  ASHLAR_ASSIGN_OR_RETURN(Drives drives, LookAtDrives(record));
  if (drives.foreign_group)
    return NotReady("OtherPool", absl::StrCat("the volume group ", group_, " is of another pool"));
  if (drives.members.empty()) {
    // Its drives may come back; a second group beside them would be another pool.
    if (backend_ != nullptr) return AllMissing();
    if (!record.members.empty())
      return NotReady("DrivesMissing", absl::StrCat("no drive of the pool is there; it lies on ",
                                                    absl::StrJoin(record.members, ", ")));
    if (drives.addable.empty() && drives.refused.empty())
      return NotReady("NoMatchingDrive", "no drive of this node matches spec.devices");
    if (drives.addable.empty())
      return NotReady("NoFreeDrive", absl::StrCat("no matching drive is free: ",
                                                  absl::StrJoin(drives.refused, "; ")));
  }
  if (!drives.addable.empty() && drives.members.size() >= record.members.size())
    ASHLAR_RETURN_IF_ERROR(Claim(record, save, drives));
  lvm_->SetDevices(DevicesOf(drives.members));
  ASHLAR_RETURN_IF_ERROR(SaveMembers(record, save, drives));
  if (record.spec.sparse) ASHLAR_RETURN_IF_ERROR(TendThinPool(record));
  ASHLAR_RETURN_IF_ERROR(OpenGroup(record, DevicesOf(drives.members)));
  OpenedPool opened;
  opened.backend = backend_;
  opened.devices = IdsOf(drives.members);
  ASHLAR_ASSIGN_OR_RETURN(const VolumeGroup group, backend_->Refresh());
  TellState(group, LimitsOf(record.spec), opened);
  Heal(group, DevicesOf(drives.members), opened);
  return opened;
}

absl::Status LvmMedium::OpenGroup(const PoolRecord& record, std::vector<std::string> devices) {
  if (backend_ != nullptr) {
    backend_->SetLimits(LimitsOf(record.spec));
    return absl::OkStatus();
  }
  const absl::Status active = lvm_->Run({"vgchange", "--activate", "y", group_});
  ASHLAR_ASSIGN_OR_RETURN(const VolumeGroup group, lvm_->Report(group_));
  // Without a drive some volumes cannot be activated; the others can be used.
  if (!group.missing_drives()) ASHLAR_RETURN_IF_ERROR(active);
  auto backend = std::make_shared<LvmBackend>(env_.commands, lvm_, group_, LimitsOf(record.spec));
  // LVM changes nothing while a drive is missing.
  if (!group.missing_drives()) ASHLAR_RETURN_IF_ERROR(backend->RemoveLeftovers());
  backend_ = std::move(backend);
  healed_devices_ = std::move(devices);
  return absl::OkStatus();
}

// Makes the thin pool, or lets it grow to what it should be now.
absl::Status LvmMedium::TendThinPool(const PoolRecord& record) {
  const LvmLimits limits = LimitsOf(record.spec);
  ASHLAR_ASSIGN_OR_RETURN(const VolumeGroup group, lvm_->Report(group_));
  if (group.missing_drives()) return absl::OkStatus();
  const auto bytes = [](int64_t size) { return absl::StrCat(size, "b"); };
  const LogicalVolume* pool = group.Find(kThinPool);
  if (pool == nullptr || !absl::StrContains(pool->layout, "thin")) {
    // Whatever is there was left by an earlier attempt: there are no volumes without their pool.
    if (!group.lvs.empty()) ASHLAR_RETURN_IF_ERROR(lvm_->Run({"lvremove", "--yes", group_}));
    const ThinPlan plan = PlanThinPool(GroupBytes(group), limits.reserve_bytes);
    if (plan.data_bytes <= 0)
      return NotReady("TooSmall", absl::StrCat("nothing is left of the drives' ", GroupBytes(group),
                                               " bytes beside the reserves"));
    return lvm_->Run({"lvcreate", "--type", "thin-pool", "--name", kThinPool, "--size",
                      bytes(plan.data_bytes), "--poolmetadatasize", bytes(plan.metadata_bytes),
                      "--chunksize", bytes(plan.chunk_bytes), "--zero", "y", "--yes", group_});
  }
  const ThinPlan plan = GrownThinPool(group, *pool, limits);
  if (plan.data_bytes == pool->size_bytes && plan.metadata_bytes == pool->metadata_bytes)
    return absl::OkStatus();
  LogInfo("thin pool grows", {{"pool", record.spec.name},
                              {"data_percent", absl::StrCat(pool->data_percent)},
                              {"metadata_percent", absl::StrCat(pool->metadata_percent)},
                              {"data_bytes", plan.data_bytes},
                              {"metadata_bytes", plan.metadata_bytes}});
  const std::string path = absl::StrCat(group_, "/", kThinPool);
  if (plan.metadata_bytes > pool->metadata_bytes)
    ASHLAR_RETURN_IF_ERROR(lvm_->Run(
        {"lvextend", "--poolmetadatasize",
         absl::StrCat("+", bytes(plan.metadata_bytes - pool->metadata_bytes)), "--yes", path}));
  if (plan.data_bytes == pool->size_bytes) return absl::OkStatus();
  return lvm_->Run({"lvextend", "--size", bytes(plan.data_bytes), "--yes", path});
}

OpenedPool LvmMedium::AllMissing() {
  backend_->Forget();
  healed_devices_.clear();
  OpenedPool opened;
  opened.backend = backend_;
  opened.reason = "DriveMissing";
  opened.message = "all drives of the pool are missing";
  return opened;
}

// A drive that was unplugged and plugged is another device to the kernel: volumes that are active
// still refer to the one that went.
void LvmMedium::Heal(const VolumeGroup& group, std::vector<std::string> devices,
                     OpenedPool& opened) {
  if (group.missing_drives()) {
    healed_devices_.clear();
    return;
  }
  if (healed_devices_ == devices) return;
  const absl::Status healed = lvm_->Run({"vgchange", "--refresh", group_});
  if (healed.ok()) {
    healed_devices_ = std::move(devices);
    return;
  }
  opened.restless = true;  // tried again
  opened.reason = "DriveMissing";
  opened.message =
      absl::StrCat("a drive is back, its volumes are not: ", std::string(healed.message()));
}

// What is not as it should be although the pool can be used.
void LvmMedium::TellState(const VolumeGroup& group, const LvmLimits& limits, OpenedPool& opened) {
  opened.restless = limits.sparse;
  if (group.missing_drives()) {
    opened.reason = "DriveMissing";
    opened.message = "a drive of the pool is missing: no volume can be carved";
  } else if (limits.sparse && ThinPoolNearlyFull(group, limits)) {
    const LogicalVolume& pool = *group.Find(kThinPool);
    opened.reason = "ThinPoolNearlyFull";
    opened.message = absl::StrCat(
        "data are ", pool.data_percent, " % full and metadata ", pool.metadata_percent,
        " %: no volume can be carved until drives are added or volumes are removed or trimmed");
  }
}

// What an interrupted claim left would be a foreign group to whoever wants the drives next.
absl::Status LvmMedium::EraseUnfinished(const PoolRecord& record) {
  ASHLAR_ASSIGN_OR_RETURN(const Drives drives, LookAtDrives(record));
  if (record.members.empty() && !drives.members.empty()) {
    lvm_->SetDevices(DevicesOf(drives.members));
    // Refused while there is a volume.
    ASHLAR_RETURN_IF_ERROR(lvm_->Run({"vgremove", group_}));
    std::vector<std::string> argv = {"pvremove"};
    for (const Drive& drive : drives.members) argv.push_back(drive.device);
    ASHLAR_RETURN_IF_ERROR(lvm_->Run(argv));
  }
  std::vector<std::string> argv = {"pvremove"};
  std::vector<Drive> labelled;
  for (const Drive& drive : drives.addable)
    if (drive.signature.type == kLabel) labelled.push_back(drive);
  if (labelled.empty()) return absl::OkStatus();
  lvm_->SetDevices(DevicesOf(labelled));
  for (const Drive& drive : labelled) argv.push_back(drive.device);
  return lvm_->Run(argv);
}

absl::Status LvmMedium::Close(const CallContext&, const PoolRecord& record) {
  if (backend_ != nullptr)
    ASHLAR_RETURN_IF_ERROR(lvm_->Run({"vgchange", "--activate", "n", group_}));
  return record.claimed.empty() ? absl::OkStatus() : EraseUnfinished(record);
}

}  // namespace ashlar::node_agent
