#include "lib/system/partition_table.h"

#include <fcntl.h>
#include <libfdisk/libfdisk.h>
#include <linux/blkpg.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <map>
#include <memory>

#include "absl/functional/function_ref.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"
#include "lib/system/block_device.h"
#include "lib/system/errno_status.h"
#include "lib/system/exclusive_open.h"
#include "lib/system/files.h"

namespace ashlar::sys {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

struct Unref {
  void operator()(fdisk_context* it) const { fdisk_unref_context(it); }
  void operator()(fdisk_table* it) const { fdisk_unref_table(it); }
  void operator()(fdisk_partition* it) const { fdisk_unref_partition(it); }
  void operator()(fdisk_parttype* it) const { fdisk_unref_parttype(it); }
};
template <class T>
using Ref = std::unique_ptr<T, Unref>;

std::string Text(const char* text) { return text != nullptr ? text : ""; }

// The context of a drive, and the handle that it works with.
struct Session {
  UniqueFd fd;
  Ref<fdisk_context> fdisk;
};

absl::StatusOr<Session> OpenSession(const std::string& device, int flags) {
  Session session;
  ASHLAR_ASSIGN_OR_RETURN(session.fd, OpenFile(device, flags));
  session.fdisk.reset(fdisk_new_context());
  if (session.fdisk == nullptr) return absl::ResourceExhaustedError("no memory");
  fdisk_disable_dialogs(session.fdisk.get(), 1);
  const bool read_only = (flags & O_ACCMODE) == O_RDONLY;
  const int rc = fdisk_assign_device_by_fd(session.fdisk.get(), session.fd.get(), device.c_str(),
                                           read_only ? 1 : 0);
  if (rc != 0) return ErrnoStatus(-rc, absl::StrCat("read the partition table of ", device));
  return session;
}

absl::Status CheckGpt(fdisk_context* fdisk, const std::string& device) {
  if (fdisk_is_label(fdisk, GPT)) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(device, " has no GPT"));
}

absl::StatusOr<std::vector<Partition>> Partitions(fdisk_context* fdisk, const std::string& device) {
  fdisk_table* found = nullptr;
  if (const int rc = fdisk_get_partitions(fdisk, &found); rc != 0)
    return ErrnoStatus(-rc, absl::StrCat("list the partitions of ", device));
  const Ref<fdisk_table> table(found);
  const auto sector = static_cast<int64_t>(fdisk_get_sector_size(fdisk));
  std::vector<Partition> partitions;
  for (size_t i = 0; i < fdisk_table_get_nents(table.get()); ++i) {
    fdisk_partition* entry = fdisk_table_get_partition(table.get(), i);
    if (fdisk_partition_is_used(entry) == 0) continue;
    fdisk_parttype* type = fdisk_partition_get_type(entry);
    partitions.push_back(
        {static_cast<uint32_t>(fdisk_partition_get_partno(entry) + 1),
         static_cast<int64_t>(fdisk_partition_get_start(entry)) * sector,
         static_cast<int64_t>(fdisk_partition_get_size(entry)) * sector,
         absl::AsciiStrToLower(Text(type != nullptr ? fdisk_parttype_get_string(type) : nullptr)),
         absl::AsciiStrToLower(Text(fdisk_partition_get_uuid(entry))),
         Text(fdisk_partition_get_name(entry))});
  }
  std::sort(partitions.begin(), partitions.end(),
            [](const Partition& a, const Partition& b) { return a.start_bytes < b.start_bytes; });
  return partitions;
}

absl::Status Put(fdisk_context* fdisk, const Partition& partition, bool exists,
                 const std::string& device) {
  const size_t index = partition.number - 1;
  const auto sector = static_cast<uint64_t>(fdisk_get_sector_size(fdisk));
  const Ref<fdisk_partition> entry(fdisk_new_partition());
  const Ref<fdisk_parttype> type(
      fdisk_label_parse_parttype(fdisk_get_label(fdisk, nullptr), partition.type.c_str()));
  if (entry == nullptr || type == nullptr) return absl::ResourceExhaustedError("no memory");
  fdisk_partition_partno_follow_default(entry.get(), 0);
  fdisk_partition_start_follow_default(entry.get(), 0);
  fdisk_partition_end_follow_default(entry.get(), 0);
  fdisk_partition_set_partno(entry.get(), index);
  fdisk_partition_set_start(entry.get(), static_cast<uint64_t>(partition.start_bytes) / sector);
  fdisk_partition_set_size(entry.get(), static_cast<uint64_t>(partition.size_bytes) / sector);
  fdisk_partition_size_explicit(entry.get(), 1);
  fdisk_partition_set_type(entry.get(), type.get());
  fdisk_partition_set_uuid(entry.get(), partition.uuid.c_str());
  fdisk_partition_set_name(entry.get(), partition.name.c_str());
  const int rc = exists ? fdisk_set_partition(fdisk, index, entry.get())
                        : fdisk_add_partition(fdisk, entry.get(), nullptr);
  if (rc != 0)
    return ErrnoStatus(-rc, absl::StrCat("put partition ", partition.number, " of ", device));
  return absl::OkStatus();
}

absl::Status Write(fdisk_context* fdisk, const std::string& device) {
  if (const int rc = fdisk_write_disklabel(fdisk); rc != 0)
    return ErrnoStatus(-rc, absl::StrCat("write the partition table of ", device));
  return absl::OkStatus();
}

std::string NameOf(const std::string& device) { return device.substr(device.rfind('/') + 1); }

int64_t Attribute(const std::string& directory, const char* name) {
  int64_t value = 0;
  const std::string text = ReadFile(absl::StrCat(directory, "/", name)).value_or("");
  return absl::SimpleAtoi(absl::StripAsciiWhitespace(text), &value) ? value : 0;
}

absl::Status TellKernel(int fd, int operation, const Partition& partition,
                        const std::string& device) {
  blkpg_partition told{};
  told.pno = static_cast<int>(partition.number);
  told.start = partition.start_bytes;
  told.length = partition.size_bytes;
  blkpg_ioctl_arg argument{};
  argument.op = operation;
  argument.datalen = sizeof(told);
  argument.data = &told;
  if (ioctl(fd, BLKPG, &argument) == 0) return absl::OkStatus();
  return ErrnoStatus(
      errno, absl::StrCat("tell the kernel of partition ", partition.number, " of ", device));
}

}  // namespace

absl::StatusOr<PartitionTable> ReadPartitionTable(const std::string& device) {
  ASHLAR_ASSIGN_OR_RETURN(const Session session, OpenSession(device, O_RDONLY));
  fdisk_context* fdisk = session.fdisk.get();
  ASHLAR_RETURN_IF_ERROR(CheckGpt(fdisk, device));
  const auto sector = static_cast<int64_t>(fdisk_get_sector_size(fdisk));
  PartitionTable table;
  char* uuid = nullptr;
  if (fdisk_get_disklabel_id(fdisk, &uuid) == 0) table.uuid = absl::AsciiStrToLower(Text(uuid));
  free(uuid);
  table.begin_bytes = static_cast<int64_t>(fdisk_get_first_lba(fdisk)) * sector;
  table.end_bytes = static_cast<int64_t>(fdisk_get_last_lba(fdisk) + 1) * sector;
  table.slots = static_cast<uint32_t>(fdisk_get_npartitions(fdisk));
  ASHLAR_ASSIGN_OR_RETURN(table.partitions, Partitions(fdisk, device));
  return table;
}

absl::Status MakePartitionTable(const std::string& device, const std::string& uuid,
                                const std::vector<Partition>& partitions) {
  ASHLAR_ASSIGN_OR_RETURN(const Session session, OpenSession(device, O_RDWR | O_EXCL | O_DSYNC));
  fdisk_context* fdisk = session.fdisk.get();
  int rc = fdisk_create_disklabel(fdisk, "gpt");
  if (rc == 0) rc = fdisk_set_disklabel_id_from_string(fdisk, uuid.c_str());
  if (rc != 0) return ErrnoStatus(-rc, absl::StrCat("make a partition table on ", device));
  for (const Partition& partition : partitions)
    ASHLAR_RETURN_IF_ERROR(Put(fdisk, partition, false, device));
  return Write(fdisk, device);
}

absl::Status EditPartitionTable(const std::string& device,
                                const std::vector<Partition>& partitions) {
  ASHLAR_ASSIGN_OR_RETURN(const Session session, OpenSession(device, O_RDWR | O_DSYNC));
  fdisk_context* fdisk = session.fdisk.get();
  ASHLAR_RETURN_IF_ERROR(CheckGpt(fdisk, device));
  // What goes makes room for what comes.
  for (const Partition& partition : partitions) {
    if (partition.size_bytes > 0) continue;
    if (const int rc = fdisk_delete_partition(fdisk, partition.number - 1); rc != 0)
      return ErrnoStatus(-rc, absl::StrCat("delete partition ", partition.number, " of ", device));
  }
  for (const Partition& partition : partitions) {
    if (partition.size_bytes == 0) continue;
    const bool exists = fdisk_is_partition_used(fdisk, partition.number - 1) != 0;
    ASHLAR_RETURN_IF_ERROR(Put(fdisk, partition, exists, device));
  }
  return Write(fdisk, device);
}

absl::Status ErasePartitionTable(const std::string& device, int64_t begin_bytes) {
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd fd, OpenExclusively(device, O_RDWR));
  ASHLAR_ASSIGN_OR_RETURN(const int64_t size, BlockDeviceBytes(device));
  ASHLAR_RETURN_IF_ERROR(ZeroRange(fd.get(), size - kMiB, kMiB, device));
  ASHLAR_RETURN_IF_ERROR(ZeroRange(fd.get(), 0, begin_bytes, device));
  ASHLAR_RETURN_IF_ERROR(SyncFile(fd.get(), device));
  return SyncKernelPartitions(device, {});
}

absl::StatusOr<std::vector<KernelPartition>> ListKernelPartitions(const std::string& device) {
  const std::string base = absl::StrCat("/sys/class/block/", NameOf(device));
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDirectory(base));
  std::vector<KernelPartition> partitions;
  for (const std::string& name : names) {
    const std::string directory = absl::StrCat(base, "/", name);
    const int64_t number = Attribute(directory, "partition");
    if (number == 0) continue;
    // In units of 512 bytes whatever the drive's sectors are.
    partitions.push_back({static_cast<uint32_t>(number), Attribute(directory, "start") * 512,
                          Attribute(directory, "size") * 512,
                          absl::StrCat(device.substr(0, device.rfind('/') + 1), name)});
  }
  return partitions;
}

absl::Status SyncKernelPartitions(const std::string& device,
                                  const std::vector<Partition>& partitions) {
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(device, O_RDONLY));
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<KernelPartition> known, ListKernelPartitions(device));
  absl::Status status;
  const auto tell = [&](int operation, const Partition& partition) {
    status.Update(TellKernel(fd.get(), operation, partition, device));
  };
  // What goes makes room for what grows and comes.
  std::map<uint32_t, int64_t> kept;  // bytes by number
  for (const KernelPartition& old : known) {
    const bool stays =
        std::any_of(partitions.begin(), partitions.end(), [&](const Partition& wanted) {
          return wanted.number == old.number && wanted.start_bytes == old.start_bytes;
        });
    if (stays)
      kept[old.number] = old.size_bytes;
    else
      tell(BLKPG_DEL_PARTITION, {old.number, old.start_bytes, old.size_bytes, "", "", ""});
  }
  for (const Partition& wanted : partitions) {
    const auto has = kept.find(wanted.number);
    if (has == kept.end())
      tell(BLKPG_ADD_PARTITION, wanted);
    else if (has->second != wanted.size_bytes)
      tell(BLKPG_RESIZE_PARTITION, wanted);
  }
  return status;
}

}  // namespace ashlar::sys
