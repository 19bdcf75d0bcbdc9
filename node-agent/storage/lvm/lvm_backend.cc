#include "node-agent/storage/lvm/lvm_backend.h"

#include <fcntl.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/system/block_device.h"
#include "lib/system/block_discard.h"
#include "lib/system/files.h"
#include "node-agent/storage/format_image.h"
#include "node-agent/storage/room.h"

namespace ashlar::node_agent {

using sys::UniqueFd;

namespace {

// So that a call that is called off ends soon, also on a drive that must write every zero.
constexpr int64_t kPiece = 256 * kMiB;

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

BackendTraits LvmBackend::Traits() const {
  BackendTraits traits;
  traits.fs_types = {"ext4", "xfs"};
  traits.copy = sparse_;
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

absl::StatusOr<PoolUsage> LvmBackend::Usage() {
  MutexLock lock(mu_);
  ASHLAR_ASSIGN_OR_RETURN(const VolumeGroup* group, Group());
  return UsageOf(*group, limits_);
}

absl::Status LvmBackend::CheckRoom(int64_t more_bytes) {
  ASHLAR_ASSIGN_OR_RETURN(const VolumeGroup* group, Group());
  return node_agent::CheckRoom(UsageOf(*group, limits_), more_bytes);
}

// The arguments of lvcreate that say what the volume lies on.
absl::StatusOr<std::vector<std::string>> LvmBackend::Placement(const VolumeFacts& facts,
                                                               int64_t size_bytes) {
  const std::string size = absl::StrCat(size_bytes, "b");
  if (!facts.source.empty()) {
    if (!sparse_)
      return absl::UnimplementedError("volumes of a pool with provisioning Full are not copied");
    const absl::StatusOr<LogicalVolume> source = Locked(VolumeName(facts.source));
    if (absl::IsNotFound(source.status()) || (source.ok() && source->has_tag(kPartialTag)))
      return absl::NotFoundError(absl::StrCat("there is no volume ", facts.source));
    ASHLAR_RETURN_IF_ERROR(source.status());
    return std::vector<std::string>{"--snapshot", "--setactivationskip", "n", Path(source->name)};
  }
  if (sparse_)
    return std::vector<std::string>{"--virtualsize",    size, "--thinpool", kThinPool,
                                    "--wipesignatures", "n",  group_};
  return std::vector<std::string>{"--size", size, "--zero", "n", "--wipesignatures", "n", group_};
}

absl::StatusOr<LogicalVolume> LvmBackend::CreatePartial(const VolumeFacts& facts,
                                                        int64_t size_bytes) {
  const std::string name = VolumeName(facts.id);
  MutexLock lock(mu_);
  ASHLAR_RETURN_IF_ERROR(CheckRoom(size_bytes));
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<std::string> placement, Placement(facts, size_bytes));
  std::vector<std::string> argv = {"lvcreate", "--name", name, "--yes", "--addtag", kPartialTag};
  for (const std::string& tag : TagsOfFacts(facts)) {
    argv.push_back("--addtag");
    argv.push_back(tag);
  }
  argv.insert(argv.end(), placement.begin(), placement.end());
  ASHLAR_RETURN_IF_ERROR(Change(argv));
  ASHLAR_ASSIGN_OR_RETURN(const LogicalVolume made, Locked(name));
  // A copy begins as large as its source.
  if (made.size_bytes < size_bytes) ASHLAR_RETURN_IF_ERROR(Extend(name, size_bytes));
  if (facts.kind == VolumeKind::kSnapshot)
    ASHLAR_RETURN_IF_ERROR(Change({"lvchange", "--permission", "r", Path(name)}));
  return Locked(name);
}

absl::StatusOr<StoredVolume> LvmBackend::Create(const CallContext& context,
                                                const VolumeFacts& facts, int64_t size_bytes) {
  const std::string name = VolumeName(facts.id);
  absl::StatusOr<LogicalVolume> found = absl::UnknownError("not looked up");
  {
    MutexLock lock(mu_);
    found = Locked(name);
  }
  if (found.ok() && !found->has_tag(kPartialTag))
    return absl::AlreadyExistsError(absl::StrCat(Path(name), " exists"));
  if (!found.ok() && !absl::IsNotFound(found.status())) return found.status();
  // An earlier volume of this id is still being removed.
  if (found.ok()) ASHLAR_RETURN_IF_ERROR(wipes_.Run(context, name, RemovalOf(*found)));
  absl::StatusOr<LogicalVolume> lv = CreatePartial(facts, size_bytes);
  absl::Status made = lv.ok() ? Fill(context, facts, *lv) : lv.status();
  MutexLock lock(mu_);
  if (made.ok()) made = Change({"lvchange", "--deltag", kPartialTag, Path(name)});
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
  if (!facts.source.empty()) return absl::OkStatus();
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd fd, sys::OpenFile(path, O_RDWR | O_EXCL));
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

absl::StatusOr<StoredVolume> LvmBackend::Describe(const LogicalVolume& lv) const {
  StoredVolume volume;
  ASHLAR_ASSIGN_OR_RETURN(volume.facts, FactsOfTags(lv.tags));
  volume.size_bytes = lv.size_bytes;
  volume.path = lv.minor < 0 ? absl::StrCat("/dev/", Path(lv.name)) : lv.device();
  volume.form = VolumeForm::kDevice;
  volume.discard = sparse_;
  if (!lv.health.empty())
    volume.problem = absl::StrCat("a drive of it is missing or failing: LVM calls it ", lv.health);
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
  {
    MutexLock lock(mu_);
    ASHLAR_RETURN_IF_ERROR(CheckRoom(size_bytes - before.size_bytes));
    ASHLAR_RETURN_IF_ERROR(Extend(VolumeName(id), size_bytes));
  }
  ASHLAR_ASSIGN_OR_RETURN(const StoredVolume after, Find(id));
  if (sparse_) return after;
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd fd, sys::OpenFile(after.path, O_RDWR));
  ASHLAR_RETURN_IF_ERROR(
      ZeroPieces(context, fd.get(), before.size_bytes, after.size_bytes, after.path));
  return after;
}

absl::Status LvmBackend::Extend(const std::string& name, int64_t size_bytes) {
  return Change({"lvextend", "--size", absl::StrCat(size_bytes, "b"), "--yes", Path(name)});
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
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd fd, sys::OpenFile(path, O_RDWR | O_EXCL));
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
    if (lv.read_only)
      ASHLAR_RETURN_IF_ERROR(Change({"lvchange", "--permission", "rw", Path(lv.name)}));
    if (lv.minor < 0)
      ASHLAR_RETURN_IF_ERROR(Change({"lvchange", "--activate", "y", Path(lv.name)}));
    ASHLAR_ASSIGN_OR_RETURN(lv, Locked(lv.name));
  }
  ASHLAR_RETURN_IF_ERROR(Erase(context, lv));
  MutexLock lock(mu_);
  return Change({"lvremove", "--force", "--yes", Path(lv.name)});
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
      ASHLAR_RETURN_IF_ERROR(sys::OpenFile(lv->device(), O_RDONLY | O_EXCL).status());
    if (!lv->has_tag(kPartialTag))
      ASHLAR_RETURN_IF_ERROR(Change({"lvchange", "--addtag", kPartialTag, Path(name)}));
  }
  return wipes_.Run(context, name, RemovalOf(*lv));
}

Wipes::Work LvmBackend::RemovalOf(const LogicalVolume& lv) {
  return [this, lv](const CallContext& context) { return RemovePartial(context, lv); };
}

absl::Status LvmBackend::RemoveLeftovers() {
  ASHLAR_ASSIGN_OR_RETURN(const VolumeGroup group, Refresh());
  for (const LogicalVolume& lv : group.lvs) {
    if (!lv.is_volume() || !lv.has_tag(kPartialTag)) continue;
    LogInfo("removing a volume that was never completed or was being removed",
            {{"volume", Path(lv.name)}});
    wipes_.Start(lv.name, RemovalOf(lv));
  }
  return absl::OkStatus();
}

}  // namespace ashlar::node_agent
