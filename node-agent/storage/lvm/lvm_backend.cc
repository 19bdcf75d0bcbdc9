#include "node-agent/storage/lvm/lvm_backend.h"

#include <fcntl.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/system/block_device.h"
#include "lib/system/block_discard.h"
#include "lib/system/exclusive_open.h"
#include "lib/system/files.h"
#include "node-agent/storage/format_image.h"
#include "node-agent/storage/room.h"

namespace ashlar::node_agent {

using sys::UniqueFd;

namespace {

// So that a call that is called off ends soon, also on a drive that must write every zero.
constexpr int64_t kPiece = 256 * kMiB;
constexpr char kStripe[] = "64k";

absl::Status ZeroPieces(const CallContext& context, int fd, int64_t begin, int64_t end,
                        const std::string& path) {
  for (int64_t at = begin; at < end; at += kPiece) {
    if (context.stop.stop_requested()) return absl::CancelledError("the call was called off");
    ASHLAR_RETURN_IF_ERROR(sys::ZeroRange(fd, at, std::min(kPiece, end - at), path));
  }
  return absl::OkStatus();
}

}  // namespace

std::string LvmBackend::Path(absl::string_view lv) const { return absl::StrCat(group_, "/", lv); }

void LvmBackend::SetLimits(const LvmLimits& limits) {
  MutexLock lock(mu_);
  limits_ = limits;
}

void LvmBackend::SetDrives(std::map<std::string, std::string> ids) {
  MutexLock lock(mu_);
  if (drives_ == ids) return;
  drives_ = std::move(ids);
  known_.reset();
}

BackendTraits LvmBackend::Traits() const {
  BackendTraits traits;
  traits.fs_types = {"ext4", "xfs"};
  traits.copy = traits.copy_freezes = sparse_;
  traits.tells_problems = true;
  return traits;
}

absl::StatusOr<VolumeGroup> LvmBackend::Refresh() {
  MutexLock lock(mu_);
  known_.reset();
  ASHLAR_ASSIGN_OR_RETURN(const VolumeGroup* group, Group());
  return *group;
}

void LvmBackend::Forget() {
  MutexLock lock(mu_);
  known_.reset();
}

absl::StatusOr<const VolumeGroup*> LvmBackend::Group() {
  if (!known_) {
    ASHLAR_ASSIGN_OR_RETURN(known_, lvm_->Report(group_));
    for (PhysicalVolume& pv : known_->pvs)
      if (const auto id = drives_.find(pv.uuid); id != drives_.end()) pv.drive = id->second;
  }
  return &*known_;
}

absl::StatusOr<LogicalVolume> LvmBackend::Locked(const std::string& name) {
  ASHLAR_ASSIGN_OR_RETURN(const VolumeGroup* group, Group());
  const LogicalVolume* lv = group->Find(name);
  if (lv == nullptr) return absl::NotFoundError(absl::StrCat("there is no ", Path(name)));
  return *lv;
}

absl::Status LvmBackend::Change(const std::vector<std::string>& argv) {
  known_.reset();
  return lvm_->Run(argv);
}

absl::Status LvmBackend::ChangeProperties(const std::string& name,
                                          const LvmProperties& properties) {
  std::vector<std::string> argv = {"lvchange", properties.partial ? "--addtag" : "--deltag",
                                   kPartialTag};
  if (properties.writable) argv.insert(argv.end(), {"--permission", "rw"});
  argv.push_back(Path(name));
  std::optional<VolumeGroup> known = std::move(known_);
  ASHLAR_RETURN_IF_ERROR(Change(argv));
  if (!known) return absl::OkStatus();
  for (LogicalVolume& lv : known->lvs) {
    if (lv.name != name) continue;
    std::erase(lv.tags, kPartialTag);
    if (properties.partial) lv.tags.emplace_back(kPartialTag);
    if (properties.writable) lv.read_only = false;
  }
  known_ = std::move(known);
  return absl::OkStatus();
}

absl::StatusOr<PoolUsage> LvmBackend::Usage() {
  MutexLock lock(mu_);
  ASHLAR_ASSIGN_OR_RETURN(const VolumeGroup* group, Group());
  return UsageOf(*group, limits_);
}

void LvmBackend::LookHowFull() {
  if (sparse_) known_.reset();
}

absl::Status LvmBackend::CheckRoom(int64_t more_bytes, const std::string& drive) {
  ASHLAR_ASSIGN_OR_RETURN(const VolumeGroup* group, Group());
  const PoolUsage usage = UsageOf(*group, limits_);
  if (drive.empty()) return node_agent::CheckRoom(usage, more_bytes);
  if (!CanNameDrives(*group, limits_)) return CheckNoDrive(drive);
  ASHLAR_ASSIGN_OR_RETURN(const DriveUsage room, FindDrive(usage, drive));
  return node_agent::CheckRoom(room, more_bytes);
}

// The arguments of lvcreate that say what the volume lies on.
absl::StatusOr<std::vector<std::string>> LvmBackend::Placement(const VolumeFacts& facts,
                                                               int64_t size_bytes,
                                                               const std::string& drive) {
  const std::string size = absl::StrCat(size_bytes, "b");
  if (!facts.source.empty()) {
    if (!sparse_)
      return absl::UnimplementedError("volumes of a pool with provisioning Full are not copied");
    const absl::StatusOr<LogicalVolume> source = Locked(VolumeName(facts.source));
    if (absl::IsNotFound(source.status()) || (source.ok() && source->has_tag(kPartialTag)))
      return absl::NotFoundError(absl::StrCat("there is no volume ", facts.source));
    ASHLAR_RETURN_IF_ERROR(source.status());
    const std::string access = facts.kind == VolumeKind::kSnapshot ? "r" : "rw";
    return std::vector<std::string>{"--snapshot", "--setactivationskip", "n", "--permission",
                                    access,       Path(source->name)};
  }
  if (sparse_)
    return std::vector<std::string>{"--virtualsize",    size, "--thinpool", kThinPool,
                                    "--wipesignatures", "n",  group_};
  std::vector<std::string> argv = {"--size", size, "--zero", "n", "--wipesignatures", "n"};
  const LvmOptions& layout = limits_.layout;
  const std::string stripes = absl::StrCat(layout.stripes), mirrors = absl::StrCat(layout.mirrors);
  std::vector<std::string> type;
  if (layout.mirrors > 0) type = {"--type", "raid1", "--mirrors", mirrors};
  if (layout.stripes > 1) type = {"--type", "striped"};
  if (layout.stripes > 1 && layout.mirrors > 0) type = {"--type", "raid10", "--mirrors", mirrors};
  if (layout.stripes > 1) type.insert(type.end(), {"--stripes", stripes, "--stripesize", kStripe});
  argv.insert(argv.end(), type.begin(), type.end());
  ASHLAR_ASSIGN_OR_RETURN(const VolumeGroup* group, Group());
  if (!drive.empty()) argv.insert(argv.end(), {"--addtag", kOneDriveTag});
  argv.push_back(group_);
  for (const PhysicalVolume& pv : group->pvs)
    if (!drive.empty() && pv.drive == drive) argv.push_back(pv.device);
  // Named, so that no leg ever shares a drive with another one.
  for (std::string& device : DrivesForLegs(*group, layout)) argv.push_back(std::move(device));
  return argv;
}

bool LvmBackend::IsCompleteAtOnce(const VolumeFacts& facts, int64_t size_bytes) {
  if (!sparse_) return false;
  if (facts.source.empty()) return facts.mode == VolumeMode::kBlock;
  const absl::StatusOr<LogicalVolume> source = Locked(VolumeName(facts.source));
  return source.ok() && source->size_bytes >= size_bytes;
}

absl::StatusOr<LogicalVolume> LvmBackend::CreatePartial(const VolumeFacts& facts,
                                                        int64_t size_bytes,
                                                        const std::string& drive) {
  const std::string name = VolumeName(facts.id);
  MutexLock lock(mu_);
  making_.insert(name);
  ASHLAR_RETURN_IF_ERROR(CheckRoom(size_bytes, drive));
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<std::string> placement,
                          Placement(facts, size_bytes, drive));
  std::vector<std::string> argv = {"lvcreate", "--name", name, "--yes"};
  std::vector<std::string> tags = TagsOfFacts(facts);
  if (!IsCompleteAtOnce(facts, size_bytes)) tags.emplace_back(kPartialTag);
  for (const std::string& tag : tags) {
    argv.push_back("--addtag");
    argv.push_back(tag);
  }
  argv.insert(argv.end(), placement.begin(), placement.end());
  ASHLAR_RETURN_IF_ERROR(Change(argv));
  ASHLAR_ASSIGN_OR_RETURN(const LogicalVolume made, Locked(name));
  // A copy begins as large as its source.
  if (made.size_bytes < size_bytes) ASHLAR_RETURN_IF_ERROR(Extend(name, size_bytes));
  return Locked(name);
}

absl::StatusOr<StoredVolume> LvmBackend::Create(const CallContext& context,
                                                const VolumeFacts& facts, int64_t size_bytes,
                                                const std::string& drive) {
  const std::string name = VolumeName(facts.id);
  absl::StatusOr<LogicalVolume> found = absl::UnknownError("not looked up");
  {
    MutexLock lock(mu_);
    LookHowFull();
    found = Locked(name);
  }
  if (found.ok() && !found->has_tag(kPartialTag))
    return absl::AlreadyExistsError(absl::StrCat(Path(name), " exists"));
  if (!found.ok() && !absl::IsNotFound(found.status())) return found.status();
  // An earlier volume of this id is still being removed.
  if (found.ok()) ASHLAR_RETURN_IF_ERROR(wipes_.Run(context, name, LeftoverRemovalOf(*found)));
  absl::StatusOr<LogicalVolume> lv = CreatePartial(facts, size_bytes, drive);
  absl::Status made = lv.ok() ? Fill(context, facts, *lv) : lv.status();
  MutexLock lock(mu_);
  making_.erase(name);
  if (made.ok() && lv->has_tag(kPartialTag)) made = ChangeProperties(name, {.partial = false});
  if (made.ok()) lv = Locked(name);
  if (made.ok() && lv.ok()) return Describe(*lv);
  if (!made.ok() && Locked(name).ok())
    if (const absl::Status gone = Change({"lvremove", "--force", "--yes", Path(name)}); !gone.ok())
      LogError("an unfinished volume stays until its pool is opened again",
               {{"volume", facts.id}, {"error", gone.ToString()}});
  return made.ok() ? lv.status() : made;
}

absl::Status LvmBackend::Fill(const CallContext& context, const VolumeFacts& facts,
                              const LogicalVolume& lv) {
  const std::string path = lv.device();
  if (path.empty()) return absl::InternalError(absl::StrCat(Path(lv.name), " is not active"));
  if (!facts.source.empty() || !lv.has_tag(kPartialTag)) return absl::OkStatus();
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd fd, sys::OpenExclusively(path, O_RDWR));
  // The kernel zeroes what a thin volume gets.
  if (!sparse_) ASHLAR_RETURN_IF_ERROR(ZeroPieces(context, fd.get(), 0, lv.size_bytes, path));
  if (facts.mode == VolumeMode::kFilesystem) {
    // mkfs wants the device for itself.
    ASHLAR_ASSIGN_OR_RETURN(const UniqueFd shared, sys::OpenFile(path, O_RDWR));
    ASHLAR_RETURN_IF_ERROR(
        FormatImage(commands_, context, {facts.fs_type, lv.size_bytes, shared.get(), path}));
    ASHLAR_RETURN_IF_ERROR(sys::SyncFile(shared.get(), path));
  }
  return sys::SyncFile(fd.get(), path);
}

std::string LvmBackend::DriveOf(const LogicalVolume& lv) {
  if (!known_) return "";
  std::string device;
  if (lv.pool.empty()) {
    const std::vector<std::string> devices = lv.devices();
    if (devices.empty() || devices.front() != devices.back()) return "";
    device = devices.front();
  } else if (known_->pvs.size() == 1) {
    device = known_->pvs.front().device;
  }
  const PhysicalVolume* pv = known_->FindDrive(device);
  return pv == nullptr ? "" : pv->drive;
}

std::string LvmBackend::ProblemOf(const LogicalVolume& lv) {
  if (!lv.health.empty() && lv.is_mirrored())
    return absl::StrCat("a mirror of it is missing or failing, the others serve: LVM calls it ",
                        lv.health);
  if (!lv.health.empty())
    return absl::StrCat("a drive of it is missing or failing: LVM calls it ", lv.health);
  const LogicalVolume* pool = known_ && !lv.pool.empty() ? known_->Find(lv.pool) : nullptr;
  if (pool == nullptr || pool->health.empty()) return "";
  if (pool->health == kOutOfData)
    return "its thin pool is full: what was written is kept, and nothing new can be written";
  return absl::StrCat("its thin pool fails: LVM calls it ", pool->health);
}

absl::StatusOr<StoredVolume> LvmBackend::Describe(const LogicalVolume& lv) {
  StoredVolume volume;
  ASHLAR_ASSIGN_OR_RETURN(volume.facts, FactsOfTags(lv.tags));
  volume.size_bytes = lv.size_bytes;
  volume.path = lv.minor < 0 ? absl::StrCat("/dev/", Path(lv.name)) : lv.device();
  volume.form = VolumeForm::kDevice;
  volume.discard = sparse_;
  volume.problem = ProblemOf(lv);
  volume.unreachable = lv.health == "partial" && !lv.is_mirrored();
  volume.drive = DriveOf(lv);
  if (lv.thin_id >= 0) {
    volume.maps = maps_;
    volume.map_key = lv.thin_id;
  }
  return volume;
}

absl::StatusOr<StoredVolume> LvmBackend::Find(const std::string& id) {
  MutexLock lock(mu_);
  const absl::StatusOr<LogicalVolume> lv = Locked(VolumeName(id));
  if (absl::IsNotFound(lv.status()) || (lv.ok() && lv->has_tag(kPartialTag)))
    return absl::NotFoundError(absl::StrCat("there is no volume ", id));
  ASHLAR_RETURN_IF_ERROR(lv.status());
  return Describe(*lv);
}

absl::StatusOr<std::vector<StoredVolume>> LvmBackend::List() {
  MutexLock lock(mu_);
  ASHLAR_ASSIGN_OR_RETURN(const VolumeGroup* group, Group());
  std::vector<StoredVolume> volumes;
  for (const LogicalVolume& lv : group->lvs) {
    if (!lv.is_volume() || lv.has_tag(kPartialTag)) continue;
    absl::StatusOr<StoredVolume> volume = Describe(lv);
    if (volume.ok()) {
      volumes.push_back(*std::move(volume));
    } else {
      LogError("logical volume that cannot be read",
               {{"volume", Path(lv.name)}, {"error", volume.status().ToString()}});
    }
  }
  return volumes;
}

absl::StatusOr<StoredVolume> LvmBackend::Grow(const CallContext& context, const std::string& id,
                                              int64_t size_bytes) {
  ASHLAR_ASSIGN_OR_RETURN(const StoredVolume before, Find(id));
  if (size_bytes <= before.size_bytes) return before;
  const std::string name = VolumeName(id);
  if (sparse_) {
    MutexLock lock(mu_);
    LookHowFull();
    ASHLAR_RETURN_IF_ERROR(CheckRoom(size_bytes - before.size_bytes, ""));
    ASHLAR_RETURN_IF_ERROR(Extend(name, size_bytes));
  } else {
    ASHLAR_RETURN_IF_ERROR(
        wipes_.Run(context, GrowthName(name), [this, name, size_bytes](const CallContext& work) {
          return GrowZeroed(work, name, size_bytes);
        }));
  }
  ASHLAR_ASSIGN_OR_RETURN(const StoredVolume after, Find(id));
  if (after.size_bytes < size_bytes)
    return absl::UnavailableError("an earlier growth of the volume has just ended: repeat");
  return after;
}

absl::Status LvmBackend::GrowZeroed(const CallContext& context, const std::string& name,
                                    int64_t size_bytes) {
  const std::string growth = GrowthName(name);
  absl::StatusOr<LogicalVolume> lv = absl::UnknownError("not made");
  {
    MutexLock lock(mu_);
    making_.insert(growth);
    lv = CreateGrowth(name, size_bytes);
    if (!lv.ok()) making_.erase(growth);
    ASHLAR_RETURN_IF_ERROR(lv.status());
  }
  absl::Status zeroed = Erase(context, *lv);
  MutexLock lock(mu_);
  making_.erase(growth);
  if (zeroed.ok()) return JoinGrowth(name, size_bytes);
  Change({"lvremove", "--force", "--yes", Path(growth)}).IgnoreError();
  return zeroed;
}

// The extents that the volume shall get, on the drives of its legs.
absl::StatusOr<LogicalVolume> LvmBackend::CreateGrowth(const std::string& name,
                                                       int64_t size_bytes) {
  const std::string growth = GrowthName(name);
  ASHLAR_ASSIGN_OR_RETURN(const LogicalVolume lv, Locked(name));
  ASHLAR_RETURN_IF_ERROR(CheckAtRest(lv));
  if (Locked(growth).ok())  // of an earlier attempt
    ASHLAR_RETURN_IF_ERROR(Change({"lvremove", "--force", "--yes", Path(growth)}));
  ASHLAR_ASSIGN_OR_RETURN(const VolumeGroup* group, Group());
  const GrowthPlan plan = PlanGrowth(*group, lv, size_bytes);
  PoolUsage usage = UsageOf(*group, limits_);
  usage.largest_bytes = std::min(usage.allocatable_bytes, plan.most_bytes);
  ASHLAR_RETURN_IF_ERROR(node_agent::CheckRoom(usage, size_bytes - lv.size_bytes));
  std::vector<std::string> argv = {"lvcreate",
                                   "--name",
                                   growth,
                                   "--yes",
                                   "--addtag",
                                   kPartialTag,
                                   "--size",
                                   absl::StrCat(plan.extents_bytes, "b"),
                                   "--zero",
                                   "n",
                                   "--wipesignatures",
                                   "n"};
  if (plan.drives.size() > 1)
    argv.insert(argv.end(), {"--type", "striped", "--stripes", absl::StrCat(plan.drives.size()),
                             "--stripesize", kStripe});
  argv.push_back(group_);
  argv.insert(argv.end(), plan.drives.begin(), plan.drives.end());
  ASHLAR_RETURN_IF_ERROR(Change(argv));
  return Locked(growth);
}

// Both commands under one lock: nobody else takes the extents in between.
absl::Status LvmBackend::JoinGrowth(const std::string& name, int64_t size_bytes) {
  ASHLAR_ASSIGN_OR_RETURN(const LogicalVolume growth, Locked(GrowthName(name)));
  const absl::StatusOr<LogicalVolume> lv = Locked(name);
  ASHLAR_RETURN_IF_ERROR(Change({"lvremove", "--force", "--yes", Path(growth.name)}));
  ASHLAR_RETURN_IF_ERROR(lv.status());
  if (lv->has_tag(kPartialTag)) return absl::NotFoundError("the volume is being removed");
  return Extend(name, size_bytes, growth.ranges);
}

absl::Status LvmBackend::CheckAtRest(const LogicalVolume& lv) {
  ASHLAR_ASSIGN_OR_RETURN(const VolumeGroup* group, Group());
  if (!group->IsMoving(lv)) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat(Path(lv.name), " is being moved off a drive that is drained: repeat"));
}

absl::Status LvmBackend::Extend(const std::string& name, int64_t size_bytes,
                                const std::vector<std::string>& ranges) {
  std::vector<std::string> argv = {"lvextend", "--size", absl::StrCat(size_bytes, "b"), "--yes",
                                   Path(name)};
  argv.insert(argv.end(), ranges.begin(), ranges.end());
  return Change(argv);
}

absl::StatusOr<StoredVolume> LvmBackend::Prepare(const CallContext&, const std::string& id) {
  ASHLAR_ASSIGN_OR_RETURN(const StoredVolume found, Find(id));
  if (sys::Exists(found.path)) return found;
  {
    MutexLock lock(mu_);
    ASHLAR_RETURN_IF_ERROR(
        Change({"lvchange", "--activate", "y", "--ignoreactivationskip", Path(VolumeName(id))}));
  }
  return Find(id);
}

absl::Status LvmBackend::Erase(const CallContext& context, const LogicalVolume& lv) {
  const std::string path = lv.device();
  if (path.empty()) return absl::InternalError(absl::StrCat(Path(lv.name), " is not active"));
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd fd, sys::OpenExclusively(path, O_RDWR));
  if (!sparse_) {
    ASHLAR_RETURN_IF_ERROR(ZeroPieces(context, fd.get(), 0, lv.size_bytes, path));
    return sys::SyncFile(fd.get(), path);
  }
  // The pool passes it on to the drives for chunks that no other volume shares.
  const absl::Status discarded = sys::DiscardRange(fd.get(), 0, lv.size_bytes, path);
  return absl::IsUnimplemented(discarded) ? absl::OkStatus() : discarded;
}

absl::Status LvmBackend::RemovePartial(const CallContext& context, LogicalVolume lv) {
  {
    MutexLock lock(mu_);
    const absl::StatusOr<LogicalVolume> now = Locked(lv.name);
    if (absl::IsNotFound(now.status())) return absl::OkStatus();
    ASHLAR_RETURN_IF_ERROR(now.status());
    // It was completed since it was looked at, or is another one.
    if (now->uuid != lv.uuid || !now->has_tag(kPartialTag) || making_.count(lv.name) > 0)
      return absl::OkStatus();
    if (now->read_only)
      ASHLAR_RETURN_IF_ERROR(ChangeProperties(lv.name, {.partial = true, .writable = true}));
    if (now->minor < 0)
      ASHLAR_RETURN_IF_ERROR(Change({"lvchange", "--activate", "y", Path(lv.name)}));
    ASHLAR_ASSIGN_OR_RETURN(lv, Locked(lv.name));
  }
  // A mirror that is away would keep its bytes.
  if (!lv.health.empty())
    return absl::UnavailableError(
        absl::StrCat(Path(lv.name), " waits for its drives: LVM calls it ", lv.health));
  ASHLAR_RETURN_IF_ERROR(Erase(context, lv));
  MutexLock lock(mu_);
  std::optional<VolumeGroup> known = std::move(known_);
  ASHLAR_RETURN_IF_ERROR(Change({"lvremove", "--force", "--yes", Path(lv.name)}));
  // How full the thin pool is now is looked up before the next volume is made.
  if (known && sparse_) {
    std::erase_if(known->lvs, [&](const LogicalVolume& other) { return other.name == lv.name; });
    known_ = std::move(known);
  }
  return absl::OkStatus();
}

absl::Status LvmBackend::Remove(const CallContext& context, const std::string& id) {
  const std::string name = VolumeName(id);
  absl::StatusOr<LogicalVolume> lv = absl::UnknownError("not looked up");
  {
    MutexLock lock(mu_);
    lv = Locked(name);
    if (absl::IsNotFound(lv.status())) return absl::OkStatus();
    ASHLAR_RETURN_IF_ERROR(lv.status());
    // Somebody who has it open keeps what he has.
    if (lv->minor >= 0)
      ASHLAR_RETURN_IF_ERROR(sys::OpenExclusively(lv->device(), O_RDONLY).status());
    ASHLAR_RETURN_IF_ERROR(CheckAtRest(*lv));
    // Its bytes are discarded, for which it must be writable.
    if (!lv->has_tag(kPartialTag))
      ASHLAR_RETURN_IF_ERROR(ChangeProperties(name, {.partial = true, .writable = lv->read_only}));
  }
  return wipes_.Run(context, name, RemovalOf(*lv));
}

Wipes::Work LvmBackend::RemovalOf(const LogicalVolume& lv) {
  return [this, lv](const CallContext& context) { return RemovePartial(context, lv); };
}

// A command of an earlier process may have ended since the group was looked at.
Wipes::Work LvmBackend::LeftoverRemovalOf(const LogicalVolume& lv) {
  return [this, lv](const CallContext& context) {
    Forget();
    return RemovePartial(context, lv);
  };
}

void LvmBackend::RemoveLeftovers(const VolumeGroup& group) {
  MutexLock lock(mu_);
  for (const LogicalVolume& lv : group.lvs) {
    if (!(lv.is_volume() || lv.is_growth()) || !lv.has_tag(kPartialTag)) continue;
    if (making_.count(lv.name) > 0) continue;
    LogInfo("removing a volume that was never completed or was being removed",
            {{"volume", Path(lv.name)}});
    wipes_.Start(lv.name, LeftoverRemovalOf(lv));
  }
}

}  // namespace ashlar::node_agent
