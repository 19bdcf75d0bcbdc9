#include "node-agent/testing/fake_backend.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"
#include "lib/system/files.h"
#include "node-agent/storage/room.h"

namespace ashlar::node_agent {
namespace {

// As ext4's superblock says it: blocks of 4 KiB, clean.
std::string Superblock(int64_t size_bytes) {
  std::string bytes(4096, '\0');
  const auto put = [&](size_t at, uint32_t value, size_t length) {
    for (size_t i = 0; i < length; ++i) bytes[1024 + at + i] = static_cast<char>(value >> 8 * i);
  };
  put(0x4, static_cast<uint32_t>(size_bytes / 4096), 4);
  put(0x18, 2, 4);
  put(0x38, 0xEF53, 2);
  put(0x3A, 1, 2);
  return bytes;
}

}  // namespace

FakeBackend::FakeBackend(std::string folder, std::map<std::string, int64_t> drives)
    : folder_(std::move(folder)),
      capacity_bytes_(
          std::accumulate(drives.begin(), drives.end(), int64_t{0},
                          [](int64_t sum, const auto& drive) { return sum + drive.second; })),
      drives_(std::move(drives)) {}

PoolUsage FakeBackend::UsageLocked() {
  PoolUsage usage;
  usage.capacity_bytes = capacity_bytes_;
  for (const auto& [id, volume] : volumes_) usage.allocated_bytes += volume.size_bytes;
  usage.allocatable_bytes = FloorMiB(capacity_bytes_ - usage.allocated_bytes);
  usage.largest_bytes = drives_.empty() ? usage.allocatable_bytes : 0;
  for (const auto& [id, capacity] : drives_) {
    DriveUsage drive{id, capacity, 0, 0, 0};
    for (const auto& [name, volume] : volumes_)
      if (volume.drive == id) drive.allocated_bytes += volume.size_bytes;
    drive.allocatable_bytes = drive.largest_bytes = FloorMiB(capacity - drive.allocated_bytes);
    usage.largest_bytes = std::max(usage.largest_bytes, drive.largest_bytes);
    usage.drives.push_back(drive);
  }
  return usage;
}

absl::Status FakeBackend::CheckRoom(int64_t more_bytes, const std::string& drive) {
  const PoolUsage usage = UsageLocked();
  if (drive.empty()) return node_agent::CheckRoom(usage, more_bytes);
  ASHLAR_ASSIGN_OR_RETURN(const DriveUsage room, FindDrive(usage, drive));
  return node_agent::CheckRoom(room, more_bytes);
}

absl::StatusOr<std::string> FakeBackend::ChooseDrive(const VolumeFacts& facts, int64_t size_bytes,
                                                     std::string drive) {
  if (drives_.empty()) ASHLAR_RETURN_IF_ERROR(CheckNoDrive(drive));
  const auto source = volumes_.find(facts.source);
  if (source != volumes_.end() && !drive.empty() && drive != source->second.drive)
    return absl::FailedPreconditionError("the source lies on another drive");
  if (source != volumes_.end()) drive = source->second.drive;
  if (drive.empty() && !drives_.empty()) {
    const std::vector<DriveUsage> rooms = UsageLocked().drives;
    drive = std::max_element(rooms.begin(), rooms.end(), [](const auto& a, const auto& b) {
              return a.largest_bytes < b.largest_bytes;
            })->id;
  }
  ASHLAR_RETURN_IF_ERROR(CheckRoom(size_bytes, drive));
  return drive;
}

absl::StatusOr<PoolUsage> FakeBackend::Usage() {
  MutexLock lock(mu_);
  return UsageLocked();
}

absl::StatusOr<StoredVolume> FakeBackend::Create(const CallContext&, const VolumeFacts& facts,
                                                 int64_t size_bytes, const std::string& wanted) {
  ASHLAR_RETURN_IF_ERROR(failures_.Take("Create"));
  MutexLock lock(mu_);
  if (volumes_.count(facts.id) > 0)
    return absl::AlreadyExistsError(absl::StrCat("volume ", facts.id, " exists"));
  ASHLAR_ASSIGN_OR_RETURN(const std::string drive, ChooseDrive(facts, size_bytes, wanted));
  const std::string path = absl::StrCat(folder_, "/", FileStem(facts.id), ".img");
  ASHLAR_ASSIGN_OR_RETURN(const sys::UniqueFd fd,
                          sys::OpenFile(path, O_RDWR | O_CREAT | O_TRUNC, 0600));
  ASHLAR_RETURN_IF_ERROR(sys::Truncate(fd.get(), size_bytes, path));
  StoredVolume made{facts, size_bytes, path, VolumeForm::kImage};
  made.extents = 1;
  made.drive = drive;
  if (!facts.source.empty()) {
    const auto source = volumes_.find(facts.source);
    if (source == volumes_.end())
      return absl::NotFoundError(absl::StrCat("there is no volume or snapshot ", facts.source));
    ASHLAR_ASSIGN_OR_RETURN(const sys::UniqueFd from, sys::OpenFile(source->second.path, O_RDONLY));
    ASHLAR_RETURN_IF_ERROR(sys::CopyData(from.get(), fd.get(), path));
    return volumes_[facts.id] = made;
  }
  const std::string head = facts.fs_type == "ext4" ? Superblock(size_bytes) : "";
  if (write(fd.get(), head.data(), head.size()) != static_cast<ssize_t>(head.size()))
    return absl::InternalError(absl::StrCat("write ", path));
  return volumes_[facts.id] = made;
}

absl::StatusOr<StoredVolume> FakeBackend::Find(const std::string& id) {
  MutexLock lock(mu_);
  const auto it = volumes_.find(id);
  if (it == volumes_.end()) return absl::NotFoundError(absl::StrCat("there is no volume ", id));
  return it->second;
}

absl::StatusOr<std::vector<StoredVolume>> FakeBackend::List() {
  MutexLock lock(mu_);
  std::vector<StoredVolume> all;
  for (const auto& [id, volume] : volumes_) all.push_back(volume);
  return all;
}

absl::StatusOr<StoredVolume> FakeBackend::Grow(const CallContext&, const std::string& id,
                                               int64_t size_bytes) {
  ASHLAR_RETURN_IF_ERROR(failures_.Take("Grow"));
  MutexLock lock(mu_);
  const auto it = volumes_.find(id);
  if (it == volumes_.end()) return absl::NotFoundError(absl::StrCat("there is no volume ", id));
  StoredVolume& volume = it->second;
  if (size_bytes <= volume.size_bytes) return volume;
  ASHLAR_RETURN_IF_ERROR(CheckRoom(size_bytes - volume.size_bytes, volume.drive));
  ASHLAR_ASSIGN_OR_RETURN(const sys::UniqueFd fd, sys::OpenFile(volume.path, O_RDWR));
  ASHLAR_RETURN_IF_ERROR(sys::Truncate(fd.get(), size_bytes, volume.path));
  volume.size_bytes = size_bytes;
  // The bytes are there, and nobody can say that they are on the medium.
  ASHLAR_RETURN_IF_ERROR(failures_.Take("Sync"));
  return volume;
}

absl::StatusOr<StoredVolume> FakeBackend::Prepare(const CallContext&, const std::string& id) {
  ASHLAR_RETURN_IF_ERROR(failures_.Take("Prepare"));
  return Find(id);
}

absl::Status FakeBackend::Remove(const CallContext&, const std::string& id) {
  ASHLAR_RETURN_IF_ERROR(failures_.Take("Remove"));
  MutexLock lock(mu_);
  const auto it = volumes_.find(id);
  if (it == volumes_.end()) return absl::OkStatus();
  ASHLAR_RETURN_IF_ERROR(sys::RemoveFile(it->second.path, sys::Durability::kProcessCrash));
  volumes_.erase(it);
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<StorageBackend>> FakePools::Backend(const std::string& pool) {
  if (pool == "p") return std::shared_ptr<StorageBackend>(backend_);
  return absl::NotFoundError(absl::StrCat("there is no pool ", pool, " on this node"));
}

absl::StatusOr<std::string> FakePools::Uid(const std::string& pool) {
  ASHLAR_RETURN_IF_ERROR(Backend(pool).status());
  return std::string("uid-1");
}

absl::StatusOr<int64_t> FakePools::InlineVolumeMaxBytes(const std::string& pool) {
  ASHLAR_RETURN_IF_ERROR(Backend(pool).status());
  return inline_volume_max_bytes;
}

}  // namespace ashlar::node_agent
