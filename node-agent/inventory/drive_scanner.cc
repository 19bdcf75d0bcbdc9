#include "node-agent/inventory/drive_scanner.h"

#include <fnmatch.h>
#include <glob.h>

#include <algorithm>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "lib/base/status_macros.h"
#include "lib/system/files.h"
#include "lib/system/mount_device.h"
#include "node-agent/inventory/drive_paths.h"

namespace ashlar::node_agent {
namespace {

// Block devices that are no drives: built on others, or in memory, or optical.
bool IsVirtual(const std::string& name) {
  for (const absl::string_view prefix : {"ram", "zram", "dm-", "md", "sr", "fd", "nbd", "zd", "rbd",
                                         "mtdblock", "drbd", "ublkb", "nullb"})
    if (absl::StartsWith(name, prefix)) return true;
  return false;
}

bool IsLoop(const std::string& name) { return absl::StartsWith(name, "loop"); }

std::string TransportOf(const std::string& name, const std::string& device_path) {
  if (IsLoop(name)) return "loop";
  if (absl::StartsWith(name, "nvme")) return "nvme";
  if (absl::StrContains(device_path, "/usb")) return "usb";
  if (absl::StartsWith(name, "vd") || absl::StrContains(device_path, "/virtio")) return "virtio";
  if (absl::StrContains(device_path, "/ata")) return "sata";
  return "sas";
}

int64_t ToInt(absl::string_view text, int64_t otherwise) {
  int64_t value;
  return absl::SimpleAtoi(text, &value) ? value : otherwise;
}

// Unit serial number page of SCSI: four bytes of header, then text.
std::string SerialOfPage80(const std::string& page) {
  return page.size() > 4 ? UsableIdentifier(page.substr(4)) : "";
}

void MakeIdsUnique(std::vector<Drive>& drives) {
  std::map<std::string, int> seen;
  for (const Drive& drive : drives) ++seen[drive.id];
  for (Drive& drive : drives)
    if (seen[drive.id] > 1) drive.id = drive.device;
}

}  // namespace

std::string UsableIdentifier(absl::string_view raw) {
  raw = absl::StripAsciiWhitespace(raw.substr(0, raw.find('\0')));
  absl::string_view digits = raw;
  if (const size_t dot = raw.find('.'); dot != absl::string_view::npos)
    digits = raw.substr(dot + 1);
  for (const char c : digits)
    if (c != '0' && c != '-' && c != ' ' && c != ':') return std::string(raw);
  return "";
}

bool PatternNames(const std::string& pattern, const std::string& device) {
  if (fnmatch(pattern.c_str(), device.c_str(), FNM_PATHNAME) == 0) return true;
  glob_t found{};
  bool names = false;
  if (glob(pattern.c_str(), GLOB_NOSORT, nullptr, &found) == 0)
    for (size_t i = 0; i < found.gl_pathc && !names; ++i)
      names = sys::RealPath(found.gl_pathv[i]).value_or("") == device;
  globfree(&found);
  return names;
}

std::string DriveScanner::ReadAttribute(const std::string& name,
                                        const std::string& attribute) const {
  const absl::StatusOr<std::string> text =
      sys::ReadFile(absl::StrCat(options_.sys_root, "/block/", name, "/", attribute));
  return text.ok() ? std::string(absl::StripAsciiWhitespace(*text)) : "";
}

absl::StatusOr<std::vector<Drive>> DriveScanner::Scan(const std::vector<std::string>& named_paths) {
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                          sys::ListDirectory(absl::StrCat(options_.sys_root, "/block")));
  std::vector<Drive> drives;
  for (const std::string& name : names) {
    if (IsVirtual(name) || ReadAttribute(name, "hidden") == "1") continue;
    const std::string device = absl::StrCat(options_.dev_root, "/", name);
    const auto named = [&](const std::string& pattern) { return PatternNames(pattern, device); };
    if (IsLoop(name) && std::none_of(named_paths.begin(), named_paths.end(), named)) continue;
    Drive drive = Read(name);
    if (drive.size_bytes == 0) continue;  // no medium
    if (IsLoop(name)) {
      const absl::StatusOr<sys::LoopDevice> loop = loops_.Inspect(device);
      if (!loop.ok() || absl::StartsWith(loop->label, kLoopLabelPrefix)) continue;
    }
    Probe(drive);
    drives.push_back(std::move(drive));
  }
  MakeIdsUnique(drives);
  std::sort(drives.begin(), drives.end(),
            [](const Drive& a, const Drive& b) { return a.id < b.id; });
  return drives;
}

Drive DriveScanner::Read(const std::string& name) const {
  Drive drive;
  drive.device = absl::StrCat(options_.dev_root, "/", name);
  const std::string real =
      sys::RealPath(absl::StrCat(options_.sys_root, "/block/", name)).value_or("");
  drive.transport = TransportOf(name, real);
  drive.size_bytes = ToInt(ReadAttribute(name, "size"), 0) * 512;
  drive.logical_block_bytes =
      static_cast<int32_t>(ToInt(ReadAttribute(name, "queue/logical_block_size"), 512));
  drive.physical_block_bytes =
      static_cast<int32_t>(ToInt(ReadAttribute(name, "queue/physical_block_size"), 512));
  drive.rotational = ReadAttribute(name, "queue/rotational") == "1";
  drive.model = ReadAttribute(name, "device/model");
  for (const char* attribute : {"wwid", "device/wwid", "nguid", "eui", "device/nguid"})
    if (drive.wwid.empty()) drive.wwid = UsableIdentifier(ReadAttribute(name, attribute));
  for (const char* attribute : {"device/serial", "serial"})
    if (drive.serial.empty()) drive.serial = UsableIdentifier(ReadAttribute(name, attribute));
  if (drive.serial.empty()) drive.serial = SerialOfPage80(ReadAttribute(name, "device/vpd_pg80"));
  for (const char* attribute : {"device/firmware_rev", "device/rev"})
    if (drive.firmware.empty()) drive.firmware = ReadAttribute(name, attribute);
  drive.paths = ReadDrivePaths(options_.sys_root, name);
  if (!drive.paths.empty()) {
    drive.pci_address = drive.paths[0].pci_address();
    drive.numa_node = drive.paths[0].numa_node;
  }
  drive.id = !drive.wwid.empty() ? drive.wwid : !drive.serial.empty() ? drive.serial : drive.device;
  return drive;
}

absl::StatusOr<std::vector<std::string>> DriveScanner::Partitions(const std::string& name) const {
  const std::string base = absl::StrCat(options_.sys_root, "/block/", name);
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<std::string> entries, sys::ListDirectory(base));
  std::vector<std::string> partitions;
  for (const std::string& entry : entries)
    if (sys::Exists(absl::StrCat(base, "/", entry, "/partition"))) partitions.push_back(entry);
  return partitions;
}

// Of a drive or partition.
std::string DriveScanner::FindUserOf(const std::string& name, const std::string& directory) {
  const absl::StatusOr<std::vector<std::string>> holders =
      sys::ListDirectory(absl::StrCat(directory, "/holders"));
  if (holders.ok() && !holders->empty()) return absl::StrCat("is held by ", holders->front());
  const std::string device = absl::StrCat(options_.dev_root, "/", name);
  const std::string swaps = sys::ReadFile(absl::StrCat(options_.proc_root, "/swaps")).value_or("");
  for (const absl::string_view line : absl::StrSplit(swaps, '\n'))
    if (absl::StartsWith(line, absl::StrCat(device, " ")) ||
        absl::StartsWith(line, absl::StrCat(device, "\t")))
      return "is used as swap";
  const absl::StatusOr<std::vector<std::string>> blocks =
      sys::ListDirectory(absl::StrCat(options_.sys_root, "/block"));
  if (!blocks.ok()) return std::string(blocks.status().message());
  for (const std::string& other : *blocks)
    if (IsLoop(other) && ReadAttribute(other, "loop/backing_file") == device)
      return absl::StrCat("is the backing of ", other);
  const absl::StatusOr<sys::FileStat> node = sys::StatFile(device);
  if (!node.ok()) return std::string(node.status().message());
  const absl::StatusOr<std::vector<sys::MountEntry>> mounts = mounts_.List();
  if (!mounts.ok()) return std::string(mounts.status().message());
  for (const sys::MountEntry& mount : *mounts)
    if (node->is_block_device && sys::LiesOn(mount, node->special_device))
      return absl::StrCat("is mounted at ", mount.mount_point);
  return "";
}

// All but an exclusive claim.
std::string DriveScanner::FindUser(const Drive& drive) {
  const std::string name = drive.device.substr(drive.device.rfind('/') + 1);
  const std::string base = absl::StrCat(options_.sys_root, "/block/", name);
  if (ReadAttribute(name, "ro") == "1") return "the drive is read-only";
  if (std::string user = FindUserOf(name, base); !user.empty()) return user;
  const absl::StatusOr<std::vector<std::string>> partitions = Partitions(name);
  if (!partitions.ok()) return std::string(partitions.status().message());
  for (const std::string& partition : *partitions)
    if (const std::string user = FindUserOf(partition, absl::StrCat(base, "/", partition));
        !user.empty())
      return absl::StrCat("has partition ", partition, ", which ", user);
  return "";
}

std::string DriveScanner::UseReason(const Drive& drive) {
  if (std::string user = FindUser(drive); !user.empty()) return user;
  const absl::Status exclusive = sys::ProbeExclusive(drive.device);
  return exclusive.ok() ? "" : absl::StrCat("is in use: ", exclusive.message());
}

void DriveScanner::Probe(Drive& drive) {
  const absl::StatusOr<sys::Signature> signature = sys::ProbeSignature(drive.device);
  if (!signature.ok()) {
    drive.busy_reason = std::string(signature.status().message());
    return;
  }
  drive.signature = *signature;
  drive.busy_reason = BusyReason(drive);
}

std::string DriveScanner::BusyReason(const Drive& drive) {
  if (std::string user = FindUser(drive); !user.empty()) return user;
  const auto partitions = Partitions(drive.device.substr(drive.device.rfind('/') + 1));
  if (!partitions.ok()) return std::string(partitions.status().message());
  if (!partitions->empty()) return absl::StrCat("has partition ", partitions->front());
  const absl::StatusOr<sys::Signature> signature = sys::ProbeSignature(drive.device);
  if (!signature.ok()) return std::string(signature.status().message());
  if (!signature->partition_table.empty())
    return absl::StrCat("has a partition table (", signature->partition_table, ")");
  if (!signature->type.empty()) return absl::StrCat("has a signature of ", signature->type);
  // Last, as nobody else can mount it for this moment.
  if (const absl::Status exclusive = sys::ProbeExclusive(drive.device); !exclusive.ok())
    return absl::StrCat("is in use: ", exclusive.message());
  return "";
}

}  // namespace ashlar::node_agent
