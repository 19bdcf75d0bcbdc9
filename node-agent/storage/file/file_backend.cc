#include "node-agent/storage/file/file_backend.h"

#include <fcntl.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "lib/base/json.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/system/file_clone.h"
#include "lib/system/files.h"
#include "lib/system/freed_space.h"
#include "lib/system/immutable_file.h"
#include "lib/system/unnamed_file.h"
#include "node-agent/storage/file/shared_blocks.h"
#include "node-agent/storage/format_image.h"
#include "node-agent/storage/room.h"

namespace ashlar::node_agent {
namespace {

using sys::Durability;
using sys::UniqueFd;

constexpr char kFactsAttribute[] = "user.ashlar.facts";
constexpr absl::string_view kImage = ".img";
constexpr absl::string_view kPartial = ".img.partial";

// What the pool's filesystem needs for itself to describe further volumes: an inode, an attribute
// block and a directory entry for each, and extent maps (4 KiB for 340 extents). It depends on the
// filesystem's size alone, so that filling a pool does not set bytes free.
int64_t MetadataBytes(int64_t filesystem_bytes) { return 8 * kMiB + filesystem_bytes / 4096; }

// Of a volume: at most this much for attributes and extent maps, and its inode and directory entry.
constexpr int64_t kDescriptionBytes = 64 << 10;
constexpr int64_t kInodeBytes = 512;

// A MiB at a time where the whole would need more room than there is: see sys::Preallocate.
absl::Status FillHoles(int fd, int64_t size_bytes, const std::string& path) {
  const absl::Status all = sys::Preallocate(fd, 0, size_bytes, path);
  if (!absl::IsResourceExhausted(all)) return all;
  for (int64_t at = 0; at < size_bytes; at += kMiB)
    ASHLAR_RETURN_IF_ERROR(sys::Preallocate(fd, at, std::min(size_bytes, at + kMiB), path));
  return absl::OkStatus();
}

// Of an image that shares blocks: writing to them takes it apart, in pieces of 128 KiB or more,
// each of which has an entry of 16 bytes in its extent map.
int64_t FragmentBytes(int64_t size_bytes) { return size_bytes / 8192; }

// A snapshot that cannot be sealed is as good as another, but for the protection.
void Seal(const std::string& path) {
  const absl::Status sealed = sys::SetImmutable(path, true);
  if (!sealed.ok())
    LogWarning("the image of a snapshot is not protected against changes",
               {{"file", path}, {"error", std::string(sealed.message())}});
}

// Of a volume; the file of a snapshot cannot be written.
constexpr mode_t kWritable = 0600, kReadOnly = 0400;

}  // namespace

std::string FileBackend::VolumesDirectory() const { return absl::StrCat(root_, "/volumes"); }

std::string FileBackend::ImagePath(absl::string_view id) const {
  return absl::StrCat(VolumesDirectory(), "/", FileStem(id), kImage);
}

void FileBackend::SetLimits(const FileBackendOptions& options) {
  MutexLock lock(space_mu_);
  options_ = options;
}

BackendTraits FileBackend::Traits() const {
  MutexLock lock(space_mu_);
  return {true, {"ext4", "xfs"}, true, can_copy_};
}

absl::StatusOr<PoolUsage> FileBackend::Usage() {
  MutexLock lock(space_mu_);
  return UsageLocked();
}

int64_t FileBackend::PromisedBytes(const sys::FileStat& stat) {
  if (stat.permissions != kReadOnly) return stat.size_bytes;
  return (stat.used_bytes + kMiB - 1) / kMiB * kMiB;
}

absl::StatusOr<PoolUsage> FileBackend::UsageLocked() {
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                          sys::ListDirectory(VolumesDirectory()));
  int64_t promised = 0, held = 0;  // held: with the blocks that describe the volume
  SharedBlocks shared;
  for (const std::string& name : names) {
    if (!absl::EndsWith(name, kImage) && !absl::EndsWith(name, kPartial)) continue;
    const std::string path = absl::StrCat(VolumesDirectory(), "/", name);
    const absl::StatusOr<sys::FileStat> stat = sys::StatFile(path);
    if (!stat.ok()) continue;  // removed or renamed since the listing
    promised += PromisedBytes(*stat);
    held += std::min(stat->size_bytes + kDescriptionBytes, stat->used_bytes) + kInodeBytes;
    if (!has_copies_) continue;
    const auto extents = sys::ListExtents(path);
    if (absl::IsNotFound(extents.status())) continue;
    ASHLAR_RETURN_IF_ERROR(extents.status());
    const int64_t in_common = shared.Add(*extents);
    held -= in_common;
    if (in_common > 0 && stat->permissions != kReadOnly) held -= FragmentBytes(stat->size_bytes);
  }
  held += shared.TotalBytes();
  ASHLAR_ASSIGN_OR_RETURN(const sys::FilesystemStat fs, sys::StatFilesystem(root_));
  // Bytes that volumes have but do not hold yet (sparse ones, or punched out) are still free to the
  // filesystem; counting them as capacity and as promised keeps them for their owners.
  int64_t capacity =
      SteadyCapacity(FloorMiB(fs.available_bytes + held - MetadataBytes(fs.total_bytes)));
  if (options_.limit_bytes > 0) capacity = std::min(capacity, options_.limit_bytes);
  capacity = std::max<int64_t>(0, capacity - options_.reserve_bytes);
  if (options_.sparse)
    capacity = static_cast<int64_t>(static_cast<double>(capacity) / 100 *
                                    std::max(100, options_.overprovision_percent));
  PoolUsage usage;
  usage.capacity_bytes = FloorMiB(capacity);
  usage.allocated_bytes = promised;
  usage.allocatable_bytes = FloorMiB(capacity - promised);
  usage.largest_bytes = usage.allocatable_bytes;
  return usage;
}

int64_t FileBackend::SteadyCapacity(int64_t found_bytes) {
  if (std::abs(found_bytes - capacity_bytes_) > 2 * kMiB) capacity_bytes_ = found_bytes;
  return capacity_bytes_;
}

absl::Status FileBackend::CheckRoom(int64_t more_bytes) {
  ASHLAR_ASSIGN_OR_RETURN(const PoolUsage usage, UsageLocked());
  return node_agent::CheckRoom(usage, more_bytes);
}

absl::Status FileBackend::Allocate(const std::string& path, int fd, int64_t more_bytes,
                                   int64_t size_bytes) {
  MutexLock lock(space_mu_);
  ASHLAR_RETURN_IF_ERROR(CheckRoom(more_bytes));
  if (options_.sparse) return sys::Truncate(fd, size_bytes, path);
  const absl::Status allocated = sys::Preallocate(fd, size_bytes - more_bytes, size_bytes, path);
  if (!allocated.ok())
    // What could be taken before the filesystem was full is given back at once, inside the lock.
    (void)sys::Truncate(fd, size_bytes - more_bytes, path);
  return allocated;
}

absl::StatusOr<StoredVolume> FileBackend::Create(const CallContext& context,
                                                 const VolumeFacts& facts, int64_t size_bytes,
                                                 const std::string& drive) {
  ASHLAR_RETURN_IF_ERROR(CheckNoDrive(drive));
  const std::string image = ImagePath(facts.id);
  if (sys::Exists(image)) return absl::AlreadyExistsError(absl::StrCat(image, " exists"));
  const std::string partial = absl::StrCat(VolumesDirectory(), "/", FileStem(facts.id), kPartial);
  absl::Status made;
  if (facts.source.empty()) {
    made = Build(context, facts, size_bytes, partial);
    if (made.ok()) made = sys::RenameDurably(partial, image);
  } else {
    made = BuildCopy(facts, size_bytes, image);
  }
  if (!made.ok()) {
    // Nobody learns of the volume, so neither name may stay: it may have been given, and its sync
    // have failed.
    (void)Discard(partial);
    (void)Discard(image);
    return made;
  }
  return Describe(image);
}

absl::Status FileBackend::Build(const CallContext& context, const VolumeFacts& facts,
                                int64_t size_bytes, const std::string& path) {
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd fd, sys::OpenFile(path, O_RDWR | O_CREAT | O_TRUNC, 0600));
  ASHLAR_RETURN_IF_ERROR(Allocate(path, fd.get(), size_bytes, size_bytes));
  ASHLAR_RETURN_IF_ERROR(
      sys::SetAttribute(fd.get(), kFactsAttribute, DumpJson(FactsToJson(facts)), path));
  if (facts.mode == VolumeMode::kFilesystem)
    ASHLAR_RETURN_IF_ERROR(
        FormatImage(commands_, context, {facts.fs_type, size_bytes, fd.get(), path}));
  return sys::SyncFile(fd.get(), path);
}

absl::Status FileBackend::BuildCopy(const VolumeFacts& facts, int64_t size_bytes,
                                    const std::string& image) {
  if (!Traits().copy)
    return absl::UnimplementedError(
        absl::StrCat("the pool's filesystem at ", root_,
                     " has no reflink: format it as XFS with reflink=1 to have copies"));
  const std::string from = ImagePath(facts.source);
  const absl::StatusOr<UniqueFd> source = sys::OpenFile(from, O_RDONLY);
  if (absl::IsNotFound(source.status()))
    return absl::NotFoundError(absl::StrCat("there is no volume or snapshot ", facts.source));
  ASHLAR_RETURN_IF_ERROR(source.status());
  const mode_t mode = facts.kind == VolumeKind::kSnapshot ? kReadOnly : kWritable;
  // Named last and synced once: a copy is metadata alone, so that it needs one write of the log.
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd fd, sys::OpenUnnamedFile(VolumesDirectory(), mode));
  ASHLAR_RETURN_IF_ERROR(Clone(facts, size_bytes, source->get(), fd, image));
  if (facts.kind == VolumeKind::kSnapshot) Seal(image);  // so that the same sync keeps the seal
  return sys::SyncFile(fd.get(), image);
}

absl::Status FileBackend::Clone(const VolumeFacts& facts, int64_t size_bytes, int from,
                                const UniqueFd& to, const std::string& image) {
  const bool writable = facts.kind != VolumeKind::kSnapshot;
  MutexLock lock(space_mu_);
  if (writable) ASHLAR_RETURN_IF_ERROR(CheckRoom(size_bytes));
  ASHLAR_ASSIGN_OR_RETURN(const PoolUsage before, UsageLocked());
  has_copies_ = true;
  ASHLAR_RETURN_IF_ERROR(sys::CloneFile(from, to.get(), image));
  ASHLAR_ASSIGN_OR_RETURN(const sys::FileStat cloned, sys::StatFile(sys::SharedPath(to)));
  if (cloned.size_bytes > size_bytes)
    return absl::InvalidArgumentError(absl::StrCat("size_bytes is ", size_bytes, ": the source ",
                                                   facts.source, " has ", cloned.size_bytes));
  if (!writable && PromisedBytes(cloned) > before.allocatable_bytes)
    return absl::ResourceExhaustedError(
        absl::StrCat("a snapshot of the ", PromisedBytes(cloned), " bytes that ", facts.source,
                     " holds is wanted, ", before.allocatable_bytes, " can be allocated"));
  ASHLAR_RETURN_IF_ERROR(sys::Truncate(to.get(), size_bytes, image));
  // What the source never wrote is not shared: the copy gets blocks of its own for it.
  if (writable && !options_.sparse) ASHLAR_RETURN_IF_ERROR(FillHoles(to.get(), size_bytes, image));
  ASHLAR_RETURN_IF_ERROR(
      sys::SetAttribute(to.get(), kFactsAttribute, DumpJson(FactsToJson(facts)), image));
  return sys::NameFile(to.get(), image);
}

absl::StatusOr<StoredVolume> FileBackend::Describe(const std::string& path) {
  ASHLAR_ASSIGN_OR_RETURN(const sys::FileStat stat, sys::StatFile(path));
  ASHLAR_ASSIGN_OR_RETURN(const std::string text, sys::GetAttribute(path, kFactsAttribute));
  ASHLAR_ASSIGN_OR_RETURN(const Json json, ParseJson(text));
  StoredVolume volume;
  ASHLAR_ASSIGN_OR_RETURN(volume.facts, FactsFromJson(json));
  volume.size_bytes = stat.size_bytes;
  volume.path = path;
  volume.extents = sys::CountExtents(path).value_or(0);
  MutexLock lock(space_mu_);
  volume.discard = options_.sparse;
  return volume;
}

absl::StatusOr<StoredVolume> FileBackend::Find(const std::string& id) {
  const std::string path = ImagePath(id);
  if (!sys::Exists(path)) return absl::NotFoundError(absl::StrCat("there is no volume ", id));
  return Describe(path);
}

absl::StatusOr<std::vector<StoredVolume>> FileBackend::List() {
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                          sys::ListDirectory(VolumesDirectory()));
  std::vector<StoredVolume> volumes;
  for (const std::string& name : names) {
    if (!absl::EndsWith(name, kImage)) continue;
    absl::StatusOr<StoredVolume> volume = Describe(absl::StrCat(VolumesDirectory(), "/", name));
    if (volume.ok()) {
      volumes.push_back(*std::move(volume));
    } else {
      LogError("image that cannot be read",
               {{"file", name}, {"error", volume.status().ToString()}});
    }
  }
  return volumes;
}

absl::StatusOr<StoredVolume> FileBackend::Grow(const CallContext&, const std::string& id,
                                               int64_t size_bytes) {
  ASHLAR_ASSIGN_OR_RETURN(const StoredVolume before, Find(id));
  if (size_bytes <= before.size_bytes) return before;
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd fd, sys::OpenFile(before.path, O_RDWR));
  ASHLAR_RETURN_IF_ERROR(
      Allocate(before.path, fd.get(), size_bytes - before.size_bytes, size_bytes));
  ASHLAR_RETURN_IF_ERROR(sys::SyncFile(fd.get(), before.path));
  return Find(id);
}

absl::StatusOr<StoredVolume> FileBackend::Prepare(const CallContext&, const std::string& id) {
  const std::string path = ImagePath(id);
  ASHLAR_ASSIGN_OR_RETURN(const sys::FileStat stat, sys::StatFile(path));
  if (stat.used_bytes < stat.size_bytes && stat.permissions != kReadOnly) {
    ASHLAR_ASSIGN_OR_RETURN(const UniqueFd fd, sys::OpenFile(path, O_RDWR));
    MutexLock lock(space_mu_);
    if (!options_.sparse) ASHLAR_RETURN_IF_ERROR(FillHoles(fd.get(), stat.size_bytes, path));
  }
  return Describe(path);
}

absl::Status FileBackend::Discard(const std::string& path) {
  // A snapshot opens for writing too, since only root is here, once its seal is broken. After a
  // crash it is whole, and sealed again.
  const absl::Status unsealed = sys::SetImmutable(path, false);
  if (absl::IsNotFound(unsealed)) return absl::OkStatus();
  if (!absl::IsUnimplemented(unsealed)) ASHLAR_RETURN_IF_ERROR(unsealed);
  // Held open, so that the name goes first: a crash cannot leave an image that is empty but looks
  // complete. If this process dies in between, the kernel frees the blocks.
  const absl::StatusOr<UniqueFd> fd = sys::OpenFile(path, O_RDWR);
  if (absl::IsNotFound(fd.status())) return absl::OkStatus();
  ASHLAR_RETURN_IF_ERROR(fd.status());
  const absl::StatusOr<std::vector<sys::SpaceRange>> space = sys::SpaceOf(fd->get(), path);
  ASHLAR_RETURN_IF_ERROR(sys::RemoveFile(path, Durability::kProcessCrash));
  ASHLAR_RETURN_IF_ERROR(sys::Truncate(fd->get(), 0, path));
  ASHLAR_RETURN_IF_ERROR(sys::SyncDirectory(VolumesDirectory()));
  // No volume shows what the blocks hold; now the drive does not, either, if it can forget.
  const absl::Status trimmed =
      space.ok() ? sys::TrimSpace(VolumesDirectory(), *space) : space.status();
  if (!trimmed.ok())
    LogDebug("the blocks of a removed image are not trimmed",
             {{"image", path}, {"error", trimmed.ToString()}});
  return absl::OkStatus();
}

absl::Status FileBackend::Remove(const CallContext&, const std::string& id) {
  return Discard(ImagePath(id));
}

absl::Status FileBackend::RemoveLeftovers() {
  ASHLAR_RETURN_IF_ERROR(sys::EnsureDirectory(VolumesDirectory(), 0700));
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                          sys::ListDirectory(VolumesDirectory()));
  for (const std::string& name : names) {
    if (!absl::EndsWith(name, kPartial)) continue;
    LogInfo("removing a volume that was never completed", {{"file", name}});
    ASHLAR_RETURN_IF_ERROR(Discard(absl::StrCat(VolumesDirectory(), "/", name)));
  }
  ASHLAR_ASSIGN_OR_RETURN(const bool can_copy, sys::CanClone(VolumesDirectory()));
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<StoredVolume> volumes, List());
  for (const StoredVolume& volume : volumes)
    if (volume.facts.kind == VolumeKind::kSnapshot) Seal(volume.path);
  MutexLock lock(space_mu_);
  can_copy_ = can_copy;
  has_copies_ = std::any_of(volumes.begin(), volumes.end(), [](const StoredVolume& volume) {
    return !volume.facts.source.empty();
  });
  return absl::OkStatus();
}

}  // namespace ashlar::node_agent
