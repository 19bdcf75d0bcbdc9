#include "node-agent/storage/namespace/nvme_subsystems.h"

#include <algorithm>
#include <limits>
#include <map>
#include <numeric>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/system/files.h"
#include "lib/system/nvme_admin.h"
#include "node-agent/storage/volume_facts.h"

namespace ashlar::node_agent {
namespace {

// How long the kernel is given to show what has changed.
constexpr absl::Duration kKernelTime = absl::Seconds(20);
constexpr absl::Duration kPause = absl::Milliseconds(20);

std::string IdentityOf(const sys::NvmeNamespace& space) {
  return !space.nguid.empty() ? space.nguid : space.eui64;
}

// What this machine's controllers have of `attached`.
std::vector<uint16_t> Ours(const NvmeSubsystem& subsystem, const std::vector<uint16_t>& attached) {
  std::vector<uint16_t> ours;
  for (const NvmeControllerPath& path : subsystem.controllers)
    if (std::count(attached.begin(), attached.end(), path.id) > 0) ours.push_back(path.id);
  return ours;
}

const std::string& AnyController(const NvmeSubsystem& subsystem) {
  return subsystem.controllers.front().device;
}

}  // namespace

const NvmeNamespaceState* NvmeSubsystem::Find(uint32_t nsid) const {
  for (const NvmeNamespaceState& space : namespaces)
    if (space.nsid == nsid) return &space;
  return nullptr;
}

std::string NvmeSubsystems::Attribute(const std::string& path) const {
  const absl::StatusOr<std::string> text = sys::ReadFile(absl::StrCat(sys_root_, "/", path));
  return text.ok() ? std::string(absl::StripAsciiWhitespace(*text)) : "";
}

absl::StatusOr<std::vector<NvmeSubsystem>> NvmeSubsystems::FromSysfs() {
  std::map<std::string, NvmeSubsystem> found;
  const auto names = sys::ListDirectory(absl::StrCat(sys_root_, "/class/nvme"));
  if (absl::IsNotFound(names.status())) return std::vector<NvmeSubsystem>();
  ASHLAR_RETURN_IF_ERROR(names.status());
  for (const std::string& name : *names) {
    const std::string at = absl::StrCat("class/nvme/", name, "/");
    // Namespaces of a target in the network are managed there.
    if (Attribute(at + "transport") != "pcie" || Attribute(at + "state") != "live") continue;
    const std::string nqn = Attribute(at + "subsysnqn");
    uint32_t id = 0;
    if (nqn.empty() || !absl::SimpleAtoi(Attribute(at + "cntlid"), &id)) continue;
    NvmeSubsystem& subsystem = found[nqn];
    subsystem.nqn = nqn;
    subsystem.serial = Attribute(at + "serial");
    subsystem.model = Attribute(at + "model");
    subsystem.firmware = Attribute(at + "firmware_rev");
    subsystem.controllers.push_back(
        {absl::StrCat(dev_root_, "/", name), static_cast<uint16_t>(id)});
  }
  std::vector<NvmeSubsystem> subsystems;
  for (auto& [nqn, subsystem] : found) subsystems.push_back(std::move(subsystem));
  return subsystems;
}

absl::StatusOr<std::vector<NvmeSubsystem>> NvmeSubsystems::List() {
  ASHLAR_ASSIGN_OR_RETURN(std::vector<NvmeSubsystem> subsystems, FromSysfs());
  std::erase_if(subsystems, [this](NvmeSubsystem& subsystem) {
    const absl::Status status = Identify(subsystem);
    if (!status.ok())
      LogWarning("an NVMe subsystem does not answer",
                 {{"nqn", subsystem.nqn}, {"error", status.ToString()}});
    return !status.ok();
  });
  return subsystems;
}

absl::StatusOr<NvmeSubsystem> NvmeSubsystems::Read(const std::string& nqn) {
  ASHLAR_ASSIGN_OR_RETURN(std::vector<NvmeSubsystem> subsystems, FromSysfs());
  for (NvmeSubsystem& subsystem : subsystems) {
    if (subsystem.nqn != nqn) continue;
    ASHLAR_RETURN_IF_ERROR(Identify(subsystem));
    return std::move(subsystem);
  }
  return absl::UnavailableError(absl::StrCat("NVMe subsystem ", nqn, " is not there"));
}

absl::Status NvmeSubsystems::Identify(NvmeSubsystem& subsystem) {
  const std::string& controller = AnyController(subsystem);
  ASHLAR_ASSIGN_OR_RETURN(
      const std::string page,
      sys::IdentifyNvme(commands_, controller, sys::kNvmeIdentifyController, 0));
  ASHLAR_ASSIGN_OR_RETURN(const sys::NvmeManagement told, sys::ParseNvmeManagement(page));
  subsystem.manages = told.controller.namespace_management;
  subsystem.crypto_erases = told.erases_one_namespace;
  subsystem.several_controllers = told.several_controllers;
  subsystem.capacity_bytes = told.controller.capacity_bytes;
  subsystem.unallocated_bytes = told.controller.unallocated_bytes;
  subsystem.max_namespaces = told.max_namespaces;
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<uint32_t> ids, AllocatedIds(subsystem));
  for (const uint32_t nsid : ids) {
    ASHLAR_ASSIGN_OR_RETURN(NvmeNamespaceState space, ReadNamespace(subsystem, nsid));
    subsystem.namespaces.push_back(std::move(space));
  }
  ChooseFormat(subsystem);
  int64_t granularity = 0;
  if (told.tells_granularity) {
    const auto list = sys::IdentifyNvme(commands_, controller, sys::kNvmeIdentifyGranularity, 0);
    if (list.ok())
      granularity = sys::ParseNvmeGranularity(*list, subsystem.new_format.index).value_or(0);
  }
  subsystem.granularity_bytes = granularity > 0 ? std::lcm(granularity, kMiB) : kMiB;
  return absl::OkStatus();
}

// The best of those without metadata that Linux takes; of equals that of the largest blocks. Told
// of namespaces to come, else by one that is there.
void NvmeSubsystems::ChooseFormat(NvmeSubsystem& subsystem) {
  if (!subsystem.manages) return;
  const std::string& controller = AnyController(subsystem);
  auto page = sys::IdentifyNvme(commands_, controller, sys::kNvmeIdentifyNamespace,
                                sys::kNvmeEveryNamespace);
  if (!page.ok() && !subsystem.namespaces.empty())
    page = sys::IdentifyNvme(commands_, controller, sys::kNvmeIdentifyAllocatedNamespace,
                             subsystem.namespaces.front().nsid);
  const auto common = page.ok() ? sys::ParseNvmeNamespace(*page) : page.status();
  if (!common.ok()) return;
  sys::LbaFormat& best = subsystem.new_format;
  for (const sys::LbaFormat& format : common->lba_formats) {
    if (format.metadata_bytes != 0 || format.data_bytes > 4096) continue;
    const bool better = best.data_bytes == 0 ||
                        format.relative_performance < best.relative_performance ||
                        (format.relative_performance == best.relative_performance &&
                         format.data_bytes > best.data_bytes);
    if (better) best = format;
  }
  best.in_use = false;
}

absl::StatusOr<std::vector<uint32_t>> NvmeSubsystems::AllocatedIds(const NvmeSubsystem& subsystem) {
  if (!subsystem.manages) return Shown(subsystem.nqn);
  std::vector<uint32_t> all;
  for (;;) {
    const auto page =
        sys::IdentifyNvme(commands_, AnyController(subsystem), sys::kNvmeIdentifyAllocatedList,
                          all.empty() ? 0 : all.back());
    ASHLAR_RETURN_IF_ERROR(page.status());
    ASHLAR_ASSIGN_OR_RETURN(const std::vector<uint32_t> ids, sys::ParseNvmeNamespaceList(*page));
    for (const uint32_t id : ids) {
      if (!all.empty() && id <= all.back())
        return absl::InternalError(
            absl::StrCat("the namespaces of ", subsystem.nqn, " are listed without order"));
      all.push_back(id);
    }
    if (ids.size() < sys::kNvmeNamespaceListEntries) return all;
  }
}

absl::StatusOr<NvmeNamespaceState> NvmeSubsystems::ReadNamespace(const NvmeSubsystem& subsystem,
                                                                 uint32_t nsid) {
  const std::string& controller = AnyController(subsystem);
  const uint8_t structure = subsystem.manages ? uint8_t{sys::kNvmeIdentifyAllocatedNamespace}
                                              : uint8_t{sys::kNvmeIdentifyNamespace};
  ASHLAR_ASSIGN_OR_RETURN(const std::string page,
                          sys::IdentifyNvme(commands_, controller, structure, nsid));
  ASHLAR_ASSIGN_OR_RETURN(const sys::NvmeAllocatedNamespace told,
                          sys::ParseNvmeAllocatedNamespace(page));
  NvmeNamespaceState state;
  state.nsid = nsid;
  state.identity = IdentityOf(told.space);
  state.shared = told.shared;
  state.usable = false;
  for (const sys::LbaFormat& format : told.space.lba_formats) {
    if (!format.in_use) continue;
    state.format = format.index;
    const bool possible =
        told.space.size_blocks <= std::numeric_limits<int64_t>::max() / format.data_bytes;
    state.size_bytes = possible ? told.space.size_blocks * format.data_bytes : 0;
    state.usable = possible && format.metadata_bytes == 0;
  }
  state.device = DeviceOf(subsystem.nqn, nsid);
  const auto list =
      sys::IdentifyNvme(commands_, controller, sys::kNvmeIdentifyAttachedControllers, nsid);
  const auto attached = list.ok() ? sys::ParseNvmeControllerList(*list) : list.status();
  state.known = attached.ok();
  if (attached.ok()) state.attached = *attached;
  return state;
}

std::vector<uint32_t> NvmeSubsystems::Shown(const std::string& nqn) {
  std::vector<uint32_t> ids;
  const auto names = sys::ListDirectory(absl::StrCat(sys_root_, "/block"));
  if (!names.ok()) return ids;
  for (const std::string& name : *names) {
    const std::string at = absl::StrCat("block/", name, "/");
    uint32_t nsid = 0;
    if (absl::StartsWith(name, "nvme") && Attribute(at + "hidden") != "1" &&
        Attribute(at + "device/subsysnqn") == nqn &&
        absl::SimpleAtoi(Attribute(at + "nsid"), &nsid))
      ids.push_back(nsid);
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

std::string NvmeSubsystems::DeviceOf(const std::string& nqn, uint32_t nsid) {
  const auto names = sys::ListDirectory(absl::StrCat(sys_root_, "/block"));
  if (!names.ok()) return "";
  for (const std::string& name : *names) {
    const std::string at = absl::StrCat("block/", name, "/");
    if (absl::StartsWith(name, "nvme") && Attribute(at + "nsid") == absl::StrCat(nsid) &&
        Attribute(at + "hidden") != "1" && Attribute(at + "device/subsysnqn") == nqn)
      return absl::StrCat(dev_root_, "/", name);
  }
  return "";
}

absl::StatusOr<sys::NvmeCreated> NvmeSubsystems::Create(const NvmeSubsystem& subsystem,
                                                        int64_t size_bytes) {
  const sys::LbaFormat& format = subsystem.new_format;
  if (!subsystem.creates())
    return absl::UnimplementedError(
        absl::StrCat(subsystem.serial, " does not create namespaces that can be used"));
  const sys::NvmeNewNamespace space{size_bytes / format.data_bytes, format.index,
                                    subsystem.several_controllers};
  return sys::CreateNvmeNamespace(commands_, AnyController(subsystem), space);
}

absl::Status NvmeSubsystems::Delete(const NvmeSubsystem& subsystem, uint32_t nsid) {
  const absl::Status status = sys::DeleteNvmeNamespace(commands_, AnyController(subsystem), nsid);
  return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

absl::Status NvmeSubsystems::Rescan(const NvmeSubsystem& subsystem) {
  for (const NvmeControllerPath& path : subsystem.controllers)
    ASHLAR_RETURN_IF_ERROR(commands_.Rescan(path.device));
  return absl::OkStatus();
}

absl::StatusOr<std::string> NvmeSubsystems::Attach(const CallContext& context,
                                                   const NvmeSubsystem& subsystem,
                                                   const NvmeNamespaceState& space) {
  std::vector<uint16_t> wanted;
  for (const NvmeControllerPath& path : subsystem.controllers)
    if (std::count(space.attached.begin(), space.attached.end(), path.id) == 0)
      wanted.push_back(path.id);
  const bool has_one = !Ours(subsystem, space.attached).empty();
  if (!space.shared) wanted.resize(has_one ? 0 : 1);
  if (!wanted.empty())
    ASHLAR_RETURN_IF_ERROR(
        sys::AttachNvmeNamespace(commands_, AnyController(subsystem), space.nsid, wanted));
  const absl::Time until = clock_.Now() + kKernelTime;
  ASHLAR_RETURN_IF_ERROR(Rescan(subsystem));
  for (;;) {
    const std::string device = DeviceOf(subsystem.nqn, space.nsid);
    if (!device.empty() && sys::Exists(device)) return device;
    if (clock_.Now() >= until)
      return absl::UnavailableError(absl::StrCat("namespace ", space.nsid, " of ", subsystem.serial,
                                                 " is attached, and the kernel does not show it"));
    ASHLAR_RETURN_IF_ERROR(SleepFor(clock_, context, kPause));
  }
}

absl::Status NvmeSubsystems::Detach(const CallContext& context, const NvmeSubsystem& subsystem,
                                    const NvmeNamespaceState& space) {
  const std::vector<uint16_t> ours = Ours(subsystem, space.attached);
  if (!ours.empty())
    ASHLAR_RETURN_IF_ERROR(
        sys::DetachNvmeNamespace(commands_, AnyController(subsystem), space.nsid, ours));
  const absl::Time until = clock_.Now() + kKernelTime;
  ASHLAR_RETURN_IF_ERROR(Rescan(subsystem));
  while (!DeviceOf(subsystem.nqn, space.nsid).empty()) {
    if (clock_.Now() >= until)
      return absl::UnavailableError(absl::StrCat("namespace ", space.nsid, " of ", subsystem.serial,
                                                 " is detached, and the kernel still shows it"));
    ASHLAR_RETURN_IF_ERROR(SleepFor(clock_, context, kPause));
  }
  return absl::OkStatus();
}

absl::Status NvmeSubsystems::CryptoErase(const NvmeSubsystem& subsystem,
                                         const NvmeNamespaceState& space) {
  if (!subsystem.crypto_erases)
    return absl::UnimplementedError(
        absl::StrCat(subsystem.serial, " cannot erase one namespace by its key"));
  return sys::CryptoEraseNvmeNamespace(commands_, AnyController(subsystem), space.nsid,
                                       space.format);
}

}  // namespace ashlar::node_agent
