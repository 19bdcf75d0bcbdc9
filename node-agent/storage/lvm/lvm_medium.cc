#include "node-agent/storage/lvm/lvm_medium.h"

#include <sys/sysmacros.h>

#include <algorithm>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/system/files.h"
#include "node-agent/storage/drain.h"
#include "node-agent/storage/drive_wipe.h"
#include "node-agent/storage/lvm/lvm_dependencies.h"

namespace ashlar::node_agent {
namespace {

constexpr char kLabel[] = "LVM2_member";
// How the scanner calls a drive that nobody uses and that bears LVM's label.
constexpr char kUnfinished[] = "has a signature of LVM2_member";
// So that sizes of volumes, multiples of 1 MiB, are met exactly.
constexpr char kExtent[] = "1m";
// LVM keeps the group's description on each drive, some 1 KiB a volume, and needs room for two.
constexpr char kMetadataArea[] = "16m";

bool Has(const std::vector<std::string>& ids, const std::string& id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

// Of a drive that the pool wrote a label on, which is in no group: it is not in it yet, or has
// left.
bool MayBearLabel(const PoolRecord& record, const Drive& drive) {
  return Has(record.claimed, drive.id) || Has(record.members, drive.id);
}

LvmLimits LimitsOf(const PoolSpec& spec) {
  LvmLimits limits;
  limits.reserve_bytes = spec.reserve_bytes;
  limits.sparse = spec.sparse;
  limits.overprovision_percent = spec.overprovision_percent;
  limits.layout = spec.lvm;
  return limits;
}

absl::Status ProvisioningChanged(bool was_sparse) {
  return NotReady("ProvisioningChanged",
                  absl::StrCat("spec.provisioning cannot change: the pool was made with ",
                               was_sparse ? "Sparse" : "Full"));
}

std::string Bytes(int64_t bytes) { return absl::StrCat(bytes, "b"); }

std::vector<std::string> IdsOf(const std::vector<Drive>& drives) {
  std::vector<std::string> ids;
  for (const Drive& drive : drives) ids.push_back(drive.id);
  return ids;
}

std::map<std::string, std::string> IdsByUuid(const std::vector<Drive>& drives) {
  std::map<std::string, std::string> ids;
  for (const Drive& drive : drives) ids[drive.signature.uuid] = drive.id;
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
      lvm_(std::make_shared<LvmTool>(env.commands, absl::StrCat(env.state_dir, "/lvm"))),
      drain_(env.commands, lvm_, group_, absl::StrCat(env.state_dir, "/lvm")) {}

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
    const bool unfinished = MayBearLabel(record, drive) && drive.busy_reason == kUnfinished &&
                            pv != pvs.end() && pv->group.empty();
    const bool drained = IsDrained(record.spec, drive);
    drives.foreign_group = drives.foreign_group || (of_group && !ours);
    if ((ours || unfinished) && Has(record.members, drive.id)) ++drives.recorded;
    if (ours) {
      drives.members.push_back(drive);
      if (drained) drives.drained.push_back(drive);
      uuids.insert(pv->uuid);
    } else if (drained && unfinished) {
      drives.leaving.push_back(drive);
    } else if (drained && drive.busy_reason.empty() && Has(record.members, drive.id)) {
      drives.left.push_back(drive.id);
    } else if (!Matches(wanted, drive)) {
      continue;
    } else if (drained) {
      drives.refused.push_back(absl::StrCat(drive.id, " is named in spec.drain"));
    } else if (drive.busy_reason.empty() || unfinished) {
      drives.addable.push_back(drive);
    } else if (drive.signature.type == kLabel && (pv == pvs.end() || !pv->group.empty())) {
      // A group's, perhaps one that is not complete: nobody may wipe it.
      drives.refused.push_back(absl::StrCat(drive.id, " ", drive.busy_reason));
    } else {
      drives.used.push_back(drive);
    }
  }
  MutexLock lock(mu_);
  member_uuids_ = std::move(uuids);
  return drives;
}

absl::Status LvmMedium::WipeNamed(PoolRecord& record, SavePoolRecord save, Drives& drives) {
  for (Drive& drive : drives.used) {
    ASHLAR_ASSIGN_OR_RETURN(const bool wiped, WipeIfNamed(env_.scanner, record, drive, save));
    if (wiped)
      drives.addable.push_back(drive);
    else
      drives.refused.push_back(Refusal(env_.scanner, record, drive));
  }
  return absl::OkStatus();
}

absl::Status LvmMedium::Claim(PoolRecord& record, SavePoolRecord save, Drives& drives) {
  const std::vector<std::string> before = record.claimed;
  record.claimed = IdsOf(drives.addable);
  ASHLAR_RETURN_IF_ERROR(save(record));
  for (const Drive& drive : drives.addable) {
    const std::string busy = env_.scanner.BusyReason(drive);
    const bool again = Has(before, drive.id) || Has(record.members, drive.id);
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
    if (!Has(members, id)) members.push_back(id);
  std::erase_if(members, [&](const std::string& id) { return Has(drives.left, id); });
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
  ASHLAR_RETURN_IF_ERROR(WipeNamed(record, save, drives));
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
  std::vector<Drive> leaving = drives.drained;
  leaving.insert(leaving.end(), drives.leaving.begin(), drives.leaving.end());
  // Before a drive is taken that was named in spec.drain and is no more.
  drain_.Keep(leaving);
  if (!drives.addable.empty() && drives.recorded + drives.left.size() >= record.members.size())
    ASHLAR_RETURN_IF_ERROR(Claim(record, save, drives));
  lvm_->SetDevices(DevicesOf(drives.members));
  ASHLAR_RETURN_IF_ERROR(SaveMembers(record, save, drives));
  ASHLAR_ASSIGN_OR_RETURN(VolumeGroup group, OpenGroup(record));
  backend_->SetDrives(IdsByUuid(drives.members));
  ASHLAR_RETURN_IF_ERROR(TendGroup(record, drives, group));
  OpenedPool opened;
  opened.backend = backend_;
  opened.devices = IdsOf(drives.members);
  TellState(group, LimitsOf(record.spec), opened);
  Heal(group, opened);
  Drain(drives, group, opened);
  return opened;
}

absl::Status LvmMedium::TendGroup(const PoolRecord& record, const Drives& drives,
                                  VolumeGroup& group) {
  if (group.missing_drives()) return absl::OkStatus();  // LVM changes nothing now
  backend_->RemoveLeftovers(group);
  ASHLAR_ASSIGN_OR_RETURN(const bool changed, SetAllocatable(drives, group));
  if (changed) {
    ASHLAR_ASSIGN_OR_RETURN(group, backend_->Refresh());
  }
  if (!record.spec.sparse) return absl::OkStatus();
  const LogicalVolume* pool = group.Find(kThinPool);
  if (pool != nullptr && pool->health == kOutOfData) {
    // A full pool counts what was discarded when it commits its metadata; to be asked for its
    // status makes it do so, but not by LVM, which asks without.
    ASHLAR_RETURN_IF_ERROR(
        sys::RunChecked(env_.commands, {}, {"dmsetup", "status", ThinPoolDevice(group_)}));
    ASHLAR_ASSIGN_OR_RETURN(group, backend_->Refresh());
  }
  ASHLAR_ASSIGN_OR_RETURN(const bool grown, TendThinPool(record, group));
  if (grown) {
    ASHLAR_ASSIGN_OR_RETURN(group, backend_->Refresh());
  }
  return absl::OkStatus();
}

absl::StatusOr<VolumeGroup> LvmMedium::OpenGroup(const PoolRecord& record) {
  if (backend_ != nullptr && record.spec.sparse != sparse_) return ProvisioningChanged(sparse_);
  if (backend_ != nullptr) {
    backend_->SetLimits(LimitsOf(record.spec));
    return backend_->Refresh();
  }
  const absl::Status active = lvm_->Run({"vgchange", "--activate", "y", group_});
  auto backend = std::make_shared<LvmBackend>(env_.commands, lvm_, group_, LimitsOf(record.spec));
  ASHLAR_ASSIGN_OR_RETURN(VolumeGroup group, backend->Refresh());
  const bool thin = group.Find(kThinPool) != nullptr;
  const bool volumes = std::any_of(group.lvs.begin(), group.lvs.end(),
                                   [](const LogicalVolume& lv) { return lv.is_volume(); });
  if (record.spec.sparse ? volumes && !thin : thin) return ProvisioningChanged(thin);
  if (const absl::Status released = thin ? backend->maps().ReleaseLeftover() : absl::OkStatus();
      !released.ok())
    LogWarning("a thin pool was not asked for what an earlier agent left in it",
               {{"group", group_}, {"error", released.ToString()}});
  // Without a drive some volumes cannot be activated; the others can be used.
  if (!group.missing_drives()) ASHLAR_RETURN_IF_ERROR(active);
  backend_ = std::move(backend);
  sparse_ = record.spec.sparse;
  return group;
}

absl::StatusOr<bool> LvmMedium::SetAllocatable(const Drives& drives, const VolumeGroup& group) {
  bool changed = false;
  const std::vector<std::string> drained = DevicesOf(drives.drained);
  const LogicalVolume* move = group.Find(kMove);
  // A move begins with the drive that it leaves.
  if (move != nullptr && !move->ranges.empty() && !Has(drained, move->devices().front()))
    ASHLAR_RETURN_IF_ERROR(lvm_->Run({"pvmove", "--abort"}));
  for (const PhysicalVolume& pv : group.pvs) {
    const bool gives = !Has(drained, pv.device);
    if (pv.allocatable == gives) continue;
    ASHLAR_RETURN_IF_ERROR(lvm_->Run({"pvchange", "--allocatable", gives ? "y" : "n", pv.device}));
    changed = true;
  }
  return changed;
}

void LvmMedium::Drain(const Drives& drives, const VolumeGroup& group, OpenedPool& opened) {
  std::vector<Drive> all = drives.drained;
  all.insert(all.end(), drives.leaving.begin(), drives.leaving.end());
  drain_.SetDrives(all);
  if (all.empty()) return;
  opened.restless = true;
  std::vector<std::string> states;
  for (const Drive& drive : all) states.push_back(DrainState(group, drive));
  if (const std::string problem = drain_.Problem(); !problem.empty()) states.push_back(problem);
  if (!opened.message.empty()) states.insert(states.begin(), opened.message);
  if (opened.reason.empty()) opened.reason = kDraining;
  opened.message = absl::StrJoin(states, "; ");
}

absl::Status LvmMedium::MakeThinPool(const VolumeGroup& group, const LvmLimits& limits) {
  // Whatever is there was left by an earlier attempt: OpenGroup has found no volumes.
  if (!group.lvs.empty()) ASHLAR_RETURN_IF_ERROR(lvm_->Run({"lvremove", "--yes", group_}));
  const ThinPlan plan = PlanThinPool(group, limits);
  if (plan.data_bytes <= 0)
    return NotReady("TooSmall",
                    absl::StrCat("nothing is left of the ", group.pvs.size(),
                                 " drives beside the reserves; stripes: ", limits.layout.stripes));
  std::vector<std::string> argv = {"lvcreate",
                                   "--type",
                                   "thin-pool",
                                   "--name",
                                   kThinPool,
                                   "--size",
                                   Bytes(plan.data_bytes),
                                   "--poolmetadatasize",
                                   Bytes(plan.metadata_bytes),
                                   "--chunksize",
                                   Bytes(plan.chunk_bytes),
                                   "--zero",
                                   "y",
                                   "--yes"};
  if (limits.layout.stripes > 1)
    argv.insert(argv.end(),
                {"--stripes", absl::StrCat(limits.layout.stripes), "--stripesize", "64k"});
  argv.push_back(group_);
  return lvm_->Run(argv);
}

absl::StatusOr<bool> LvmMedium::TendThinPool(const PoolRecord& record, const VolumeGroup& group) {
  const LvmLimits limits = LimitsOf(record.spec);
  const LogicalVolume* pool = group.Find(kThinPool);
  if (pool == nullptr || !absl::StrContains(pool->layout, "thin")) {
    ASHLAR_RETURN_IF_ERROR(MakeThinPool(group, limits));
    return true;
  }
  const ThinPlan plan = GrownThinPool(group, *pool, limits);
  if (plan.data_bytes == pool->size_bytes && plan.metadata_bytes == pool->metadata_bytes)
    return false;
  LogInfo("thin pool grows", {{"pool", record.spec.name},
                              {"data_percent", absl::StrCat(pool->data_percent)},
                              {"metadata_percent", absl::StrCat(pool->metadata_percent)},
                              {"data_bytes", plan.data_bytes},
                              {"metadata_bytes", plan.metadata_bytes}});
  // The volumes can be used as long as there is room.
  if (const absl::Status grown = GrowThinPool(group, *pool, plan); !grown.ok())
    LogError("a thin pool does not grow",
             {{"pool", record.spec.name}, {"error", grown.ToString()}});
  return true;
}

absl::Status LvmMedium::GrowThinPool(const VolumeGroup& group, const LogicalVolume& pool,
                                     const ThinPlan& plan) {
  if (group.IsMoving(pool)) return absl::UnavailableError("it is being moved off a drive");
  const std::string path = absl::StrCat(group_, "/", kThinPool);
  if (plan.metadata_bytes > pool.metadata_bytes)
    ASHLAR_RETURN_IF_ERROR(lvm_->Run(
        {"lvextend", "--poolmetadatasize",
         absl::StrCat("+", Bytes(plan.metadata_bytes - pool.metadata_bytes)), "--yes", path}));
  if (plan.data_bytes == pool.size_bytes) return absl::OkStatus();
  return lvm_->Run({"lvextend", "--size", Bytes(plan.data_bytes), "--yes", path});
}

OpenedPool LvmMedium::AllMissing() {
  backend_->Forget();
  OpenedPool opened;
  opened.backend = backend_;
  opened.reason = "DriveMissing";
  opened.message = "all drives of the pool are missing";
  return opened;
}

// A drive that was unplugged and plugged is another device to the kernel: volumes that are active
// still refer to the one that went, also if all that happened while no agent ran.
absl::StatusOr<bool> LvmMedium::ReferToGoneDrives(const VolumeGroup& group) {
  const std::vector<std::string> argv = {"dmsetup", "deps", "-o", "devno"};
  ASHLAR_ASSIGN_OR_RETURN(const sys::CommandResult result, env_.commands.Run({}, argv));
  ASHLAR_RETURN_IF_ERROR(sys::ExpectSuccess(argv, result));
  ASHLAR_ASSIGN_OR_RETURN(const std::string majors, sys::ReadFile("/proc/devices"));
  const uint32_t mapper = MapperMajor(majors);
  std::set<DeviceNumber> here;
  for (const PhysicalVolume& pv : group.pvs) {
    const absl::StatusOr<sys::FileStat> stat = sys::StatFile(pv.device);
    if (stat.ok()) here.emplace(major(stat->special_device), minor(stat->special_device));
  }
  const std::set<DeviceNumber> needed = DependenciesOf(result.out, group_);
  return std::any_of(needed.begin(), needed.end(), [&](const DeviceNumber& number) {
    return number.first != mapper && here.count(number) == 0;
  });
}

// The kernel gives a thin pool up that could not write its metadata, and a refresh does not help:
// it must be made anew, with the drives that are there now, while nobody uses a volume of it.
bool LvmMedium::RemakeThinPool(const VolumeGroup& group, OpenedPool& opened) {
  const LogicalVolume* pool = sparse_ ? group.Find(kThinPool) : nullptr;
  const bool given_up = pool != nullptr && !pool->health.empty() && pool->health != kOutOfData;
  if (!given_up) remade_in_vain_ = false;
  if (!given_up || remade_in_vain_ || group.missing_drives()) return false;
  opened.restless = true;
  if (const absl::Status free = lvm_->Run({"vgchange", "--activate", "n", group_}); !free.ok()) {
    opened.message = absl::StrCat("the thin pool heals when its volumes are no longer in use: ",
                                  std::string(free.message()));
    return true;
  }
  LogInfo("a thin pool that the kernel gave up is made anew", {{"group", group_}});
  remade_in_vain_ = true;  // unless the next look finds it well
  const absl::Status made = lvm_->Run({"vgchange", "--activate", "y", group_});
  backend_->Forget();
  if (!made.ok()) opened.message = std::string(made.message());
  return true;
}

void LvmMedium::Heal(const VolumeGroup& group, OpenedPool& opened) {
  if (RemakeThinPool(group, opened)) return;
  const absl::StatusOr<bool> gone = ReferToGoneDrives(group);
  const bool needed = !gone.ok() || *gone ||
                      std::any_of(group.lvs.begin(), group.lvs.end(), [](const LogicalVolume& lv) {
                        return lv.health == kRefreshNeeded;
                      });
  std::vector<std::string> devices;
  for (const PhysicalVolume& pv : group.pvs) devices.push_back(pv.device);
  // What lies on a drive that is missing still cannot be healed; what does not, can.
  if (!needed || (group.missing_drives() && refreshed_in_vain_ == devices)) return;
  LogInfo("a drive is back: volumes are refreshed", {{"group", group_}});
  const absl::Status healed =
      gone.ok() ? lvm_->Run({"vgchange", "--refresh", group_}) : gone.status();
  refreshed_in_vain_ = std::move(devices);
  backend_->Forget();
  if (group.missing_drives()) return;
  opened.restless = true;  // looked at again
  if (healed.ok()) return;
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
    return;
  }
  const LogicalVolume* thin = limits.sparse ? group.Find(kThinPool) : nullptr;
  if (thin == nullptr) return;
  const LogicalVolume& pool = *thin;
  if (!pool.health.empty() && pool.health != kOutOfData) {
    opened.reason = "ThinPoolFailed";
    opened.message = absl::StrCat("LVM calls the thin pool ", pool.health);
  } else if (!pool.health.empty()) {
    opened.reason = "ThinPoolFull";
    opened.message =
        "the thin pool and its reserve are full: what was written is kept, nothing new can be "
        "written until drives are added or volumes are removed or trimmed";
  } else if (ThinPoolNearlyFull(group, limits)) {
    opened.reason = "ThinPoolNearlyFull";
    opened.message = absl::StrCat(
        "data are ", pool.data_percent, " % full and metadata ", pool.metadata_percent,
        " %: no volume can be carved until drives are added or volumes are removed or trimmed");
  }
}

// What an interrupted claim left would be a foreign group to whoever wants the drives next.
absl::Status LvmMedium::EraseUnfinished(const PoolRecord& record) {
  ASHLAR_ASSIGN_OR_RETURN(const Drives drives, LookAtDrives(record));
  if (!record.claimed.empty() && record.members.empty() && !drives.members.empty()) {
    lvm_->SetDevices(DevicesOf(drives.members));
    // Refused while there is a volume.
    ASHLAR_RETURN_IF_ERROR(lvm_->Run({"vgremove", group_}));
    std::vector<std::string> argv = {"pvremove"};
    for (const Drive& drive : drives.members) argv.push_back(drive.device);
    ASHLAR_RETURN_IF_ERROR(lvm_->Run(argv));
  }
  std::vector<std::string> argv = {"pvremove"};
  std::vector<Drive> labelled = drives.leaving;
  for (const Drive& drive : drives.addable)
    if (drive.signature.type == kLabel) labelled.push_back(drive);
  if (labelled.empty()) return absl::OkStatus();
  lvm_->SetDevices(DevicesOf(labelled));
  for (const Drive& drive : labelled) argv.push_back(drive.device);
  return lvm_->Run(argv);
}

absl::Status LvmMedium::Close(const CallContext&, const PoolRecord& record) {
  drain_.SetDrives({});
  if (backend_ != nullptr)
    ASHLAR_RETURN_IF_ERROR(lvm_->Run({"vgchange", "--activate", "n", group_}));
  if (record.claimed.empty() && record.spec.drain.empty()) return absl::OkStatus();
  return EraseUnfinished(record);
}

}  // namespace ashlar::node_agent
