#include "lib/system/block_probe.h"

#include <blkid/blkid.h>
#include <fcntl.h>

#include <cerrno>
#include <memory>

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"
#include "lib/system/errno_status.h"
#include "lib/system/exclusive_open.h"
#include "lib/system/files.h"

namespace ashlar::sys {
namespace {

std::string Value(blkid_probe probe, const char* name) {
  const char* data = nullptr;
  if (blkid_probe_lookup_value(probe, name, &data, nullptr) != 0 || data == nullptr) return "";
  return data;
}

using Probe = std::unique_ptr<blkid_struct_probe, decltype(&blkid_free_probe)>;

// Looks for superblocks, with their types, UUIDs and what `more` (BLKID_SUBLKS_...) asks for.
absl::StatusOr<Probe> ProbeOf(const UniqueFd& fd, const std::string& path, int more) {
  Probe probe(blkid_new_probe(), &blkid_free_probe);
  if (probe == nullptr || blkid_probe_set_device(probe.get(), fd.get(), 0, 0) != 0)
    return absl::InternalError(absl::StrCat("blkid cannot read ", path));
  blkid_probe_enable_superblocks(probe.get(), 1);
  blkid_probe_set_superblocks_flags(probe.get(), BLKID_SUBLKS_TYPE | BLKID_SUBLKS_UUID | more);
  return probe;
}

}  // namespace

absl::StatusOr<Signature> ProbeSignature(const std::string& path) {
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(path, O_RDONLY));
  ASHLAR_ASSIGN_OR_RETURN(const Probe probe, ProbeOf(fd, path, BLKID_SUBLKS_LABEL));
  blkid_probe_enable_partitions(probe.get(), 1);
  // A GPT whose protective MBR, or whose first header, is lost is one all the same.
  blkid_probe_set_partitions_flags(probe.get(), BLKID_PARTS_FORCE_GPT);
  const int rc = blkid_do_safeprobe(probe.get());
  Signature signature;
  if (rc == 1) return signature;
  if (rc == -2) {
    signature.type = "ambivalent";
    return signature;
  }
  if (rc != 0) return absl::InternalError(absl::StrCat("blkid cannot read ", path));
  signature.type = Value(probe.get(), "TYPE");
  signature.uuid = Value(probe.get(), "UUID");
  signature.label = Value(probe.get(), "LABEL");
  signature.partition_table = Value(probe.get(), "PTTYPE");
  signature.partition_table_uuid = Value(probe.get(), "PTUUID");
  return signature;
}

absl::Status EraseFilesystem(const std::string& path, const std::string& type,
                             const std::string& uuid) {
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd fd, OpenExclusively(path, O_RDWR));
  ASHLAR_ASSIGN_OR_RETURN(const Probe probe, ProbeOf(fd, path, BLKID_SUBLKS_MAGIC));
  while (blkid_do_probe(probe.get()) == 0) {
    if (Value(probe.get(), "TYPE") != type || Value(probe.get(), "UUID") != uuid) continue;
    if (blkid_do_wipe(probe.get(), 0) != 0) return ErrnoStatus(errno, absl::StrCat("wipe ", path));
  }
  return SyncFile(fd.get(), path);
}

absl::Status ProbeExclusive(const std::string& path) {
  // Read-only: closing a writable handle would make udev look at the device again.
  const absl::StatusOr<UniqueFd> fd = OpenFile(path, O_RDONLY | O_EXCL);
  return fd.status();
}

}  // namespace ashlar::sys
