#include "node-agent/pool/pool_set.h"

#include <sys/mount.h>
#include <sys/sysmacros.h>

#include <algorithm>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/system/files.h"

namespace ashlar::node_agent {
namespace {

using sys::Durability;

constexpr char kMarker[] = "/.ashlar-pool.json";
// How the scanner calls a drive that nobody uses and that bears what mkfs.xfs left.
constexpr char kUnfinished[] = "has a signature of xfs";

// A status whose message begins with the reason that the pool's status shows.
absl::Status NotReady(absl::string_view reason, absl::string_view message) {
  return absl::FailedPreconditionError(absl::StrCat(reason, "\n", message));
}

std::string ReasonOf(const absl::Status& status) {
  const absl::string_view text = status.message();
  const size_t end = text.find('\n');
  return end == absl::string_view::npos ? "PoolFailed" : std::string(text.substr(0, end));
}

std::string MessageOf(const absl::Status& status) {
  const absl::string_view text = status.message();
  const size_t end = text.find('\n');
  return std::string(end == absl::string_view::npos ? text : text.substr(end + 1));
}

FileBackendOptions OptionsFor(const PoolSpec& spec, const std::string& root) {
  FileBackendOptions options;
  options.root = root;
  options.sparse = spec.sparse;
  options.reserve_bytes = spec.reserve_bytes;
  options.overprovision_percent = spec.overprovision_percent;
  if (spec.directory) options.limit_bytes = spec.directory->capacity_bytes;
  return options;
}

bool CarriesPool(const Drive& drive, const PoolSpec& spec) {
  return drive.signature.type == "xfs" && drive.signature.uuid == FilesystemUuid(spec.uid);
}

}  // namespace

absl::Status PoolSet::BeginChange() {
  MutexLock lock(mu_);
  if (changing_) return absl::AbortedError("another change of a pool is under way: repeat");
  changing_ = true;
  return absl::OkStatus();
}

void PoolSet::EndChange() {
  MutexLock lock(mu_);
  changing_ = false;
}

PoolSet::Entry PoolSet::Snapshot(const std::string& name) {
  MutexLock lock(mu_);
  const auto it = entries_.find(name);
  return it == entries_.end() ? Entry{} : it->second;
}

std::string PoolSet::RecordPath(const std::string& name) const {
  return absl::StrCat(state_dir_, "/journal/pools/", FileStem(name), ".json");
}

absl::Status PoolSet::Save(const Entry& entry) {
  const Json record{{"spec", PoolSpecToJson(entry.spec)}, {"formatting", entry.formatting}};
  ASHLAR_RETURN_IF_ERROR(sys::ReplaceFileDurably(RecordPath(entry.spec.name), DumpJson(record)));
  MutexLock lock(mu_);
  entries_[entry.spec.name] = entry;
  return absl::OkStatus();
}

absl::Status PoolSet::Load(const CallContext& context) {
  const std::string directory = absl::StrCat(state_dir_, "/journal/pools");
  ASHLAR_RETURN_IF_ERROR(sys::EnsureDirectory(directory, 0700));
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<std::string> names, sys::ListDirectory(directory));
  for (const std::string& name : names) {
    if (!absl::EndsWith(name, ".json")) continue;
    const absl::StatusOr<std::string> text = sys::ReadFile(absl::StrCat(directory, "/", name));
    const absl::StatusOr<Json> json = text.ok() ? ParseJson(*text) : text.status();
    const Json* spec_json = json.ok() ? FindJson(*json, {"spec"}) : nullptr;
    absl::StatusOr<PoolSpec> spec = spec_json != nullptr
                                        ? PoolSpecFromJson(*spec_json)
                                        : absl::InvalidArgumentError("the record has no spec");
    if (!spec.ok()) {
      LogError("record of a pool that cannot be read",
               {{"file", name}, {"error", spec.status().ToString()}});
      continue;
    }
    Entry entry;
    entry.spec = *std::move(spec);
    entry.formatting = JsonString(*json, {"formatting"});
    Open(context, entry);
    MutexLock lock(mu_);
    entries_[entry.spec.name] = std::move(entry);
  }
  return absl::OkStatus();
}

absl::StatusOr<PoolStatus> PoolSet::Ensure(const CallContext& context, const PoolSpec& spec) {
  ASHLAR_RETURN_IF_ERROR(ValidatePoolSpec(spec));
  ASHLAR_RETURN_IF_ERROR(BeginChange());
  const absl::Cleanup end = [this] { EndChange(); };
  Entry entry = Snapshot(spec.name);
  if (!entry.spec.name.empty() && entry.spec.uid != spec.uid)
    return absl::FailedPreconditionError(absl::StrCat(
        "pool ", spec.name, " of uid ", entry.spec.uid, " is still on this node: remove it first"));
  if (entry.backend != nullptr &&
      (entry.spec.directory.has_value() != spec.directory.has_value() ||
       (spec.directory && spec.directory->path != entry.spec.directory->path)))
    return absl::InvalidArgumentError(
        absl::StrCat("source of pool ", spec.name, " cannot change while it is ready"));
  if (entry.spec != spec) {
    entry.spec = spec;
    ASHLAR_RETURN_IF_ERROR(Save(entry));
  }
  Open(context, entry);
  {
    MutexLock lock(mu_);
    entries_[spec.name] = entry;
  }
  return StatusOf(entry);
}

bool PoolSet::RetryNotReady(const CallContext& context) {
  if (!BeginChange().ok()) return false;
  const absl::Cleanup end = [this] { EndChange(); };
  std::vector<Entry> waiting;
  {
    MutexLock lock(mu_);
    for (const auto& [name, entry] : entries_)
      if (entry.backend == nullptr) waiting.push_back(entry);
  }
  bool changed = false;
  for (Entry& entry : waiting) {
    Open(context, entry);
    changed = changed || entry.backend != nullptr;
    MutexLock lock(mu_);
    entries_[entry.spec.name] = entry;
  }
  return changed;
}

void PoolSet::Open(const CallContext& context, Entry& entry) {
  const absl::StatusOr<std::string> root = [&]() -> absl::StatusOr<std::string> {
    absl::StatusOr<std::string> opened =
        entry.spec.directory ? OpenDirectory(entry) : OpenDrive(context, entry);
    ASHLAR_RETURN_IF_ERROR(opened.status());
    ASHLAR_RETURN_IF_ERROR(Claim(entry, *opened));
    return opened;
  }();
  if (!root.ok()) {
    entry.backend = nullptr;
    entry.reason = ReasonOf(root.status());
    entry.message = MessageOf(root.status());
    LogWarning("pool is not ready",
               {{"pool", entry.spec.name}, {"reason", entry.reason}, {"message", entry.message}});
    return;
  }
  const FileBackendOptions options = OptionsFor(entry.spec, *root);
  if (entry.backend != nullptr) {
    entry.backend->SetLimits(options);
    return;
  }
  auto backend = std::make_shared<FileBackend>(commands_, options);
  if (const absl::Status cleaned = backend->RemoveLeftovers(); !cleaned.ok()) {
    entry.reason = "PoolFailed";
    entry.message = std::string(cleaned.message());
    return;
  }
  entry.backend = std::move(backend);
  entry.reason.clear();
  entry.message.clear();
  LogInfo("pool is ready", {{"pool", entry.spec.name}, {"device", entry.device}});
}

absl::StatusOr<std::string> PoolSet::OpenDirectory(Entry& entry) {
  const std::string& path = entry.spec.directory->path;
  const auto holds = [&](const std::string& root) {
    return path == root || absl::StartsWith(path, absl::StrCat(absl::StripSuffix(root, "/"), "/"));
  };
  if (!directories_.empty() && std::none_of(directories_.begin(), directories_.end(), holds))
    return NotReady("DirectoryNotAllowed",
                    absl::StrCat(path, " is not at or below a directory that this agent may use (",
                                 absl::StrJoin(directories_, ", "),
                                 "); the value node.directories of the Helm chart, or the agent's "
                                 "flag --pool-directory, adds others"));
  ASHLAR_RETURN_IF_ERROR(sys::EnsureDirectory(path));
  entry.device = path;
  return path;
}

// Writes the pool's name into its root, or finds it there.
absl::Status PoolSet::Claim(const Entry& entry, const std::string& root) {
  const std::string marker = absl::StrCat(root, kMarker);
  const absl::StatusOr<std::string> text = sys::ReadFile(marker);
  if (text.ok()) {
    const absl::StatusOr<Json> json = ParseJson(*text);
    const std::string uid = json.ok() ? JsonString(*json, {"uid"}) : "";
    if (uid == entry.spec.uid) return absl::OkStatus();
    const absl::StatusOr<std::vector<std::string>> volumes =
        sys::ListDirectory(absl::StrCat(root, "/volumes"));
    if (volumes.ok() && !volumes->empty())
      return NotReady("OtherPool", absl::StrCat(root, " holds ", volumes->size(),
                                                " volumes of another pool, of uid ", uid));
  } else if (!absl::IsNotFound(text.status())) {
    return text.status();
  }
  const Json mark{{"name", entry.spec.name}, {"uid", entry.spec.uid}};
  return sys::ReplaceFileDurably(marker, DumpJson(mark));
}

absl::StatusOr<std::string> PoolSet::OpenDrive(const CallContext& context, Entry& entry) {
  const std::string target = absl::StrCat(state_dir_, "/pools/", entry.spec.name);
  if (entry.backend != nullptr) return target;
  bool format = false;
  ASHLAR_ASSIGN_OR_RETURN(const Drive drive, ChooseDrive(entry, format));
  if (format) ASHLAR_RETURN_IF_ERROR(FormatDrive(context, entry, drive));
  entry.device = drive.id;
  ASHLAR_ASSIGN_OR_RETURN(const sys::FileStat node, sys::StatFile(drive.device));
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<sys::MountEntry> mounts, mounts_.List());
  if (const sys::MountEntry* mount = sys::FindMount(mounts, target)) {
    if (makedev(mount->major, mount->minor) == node.special_device) return target;
    return NotReady("MountPointBusy",
                    absl::StrCat(target, " is the mount point of ", mount->source));
  }
  const sys::MountOptions options{MS_NOATIME | MS_NODEV | MS_NOSUID | MS_NOEXEC, ""};
  ASHLAR_RETURN_IF_ERROR(mounts_.MountDevice(context, drive.device, target, "xfs", options));
  return target;
}

absl::StatusOr<Drive> PoolSet::ChooseDrive(Entry& entry, bool& format) {
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<Drive> drives,
                          scanner_.Scan(entry.spec.devices->paths));
  std::vector<const Drive*> carrying, free;
  std::vector<std::string> refused;
  for (const Drive& drive : drives) {
    if (!Matches(*entry.spec.devices, drive)) continue;
    const bool interrupted = !entry.formatting.empty() && entry.formatting == drive.id;
    if (CarriesPool(drive, entry.spec) && !interrupted) {
      carrying.push_back(&drive);
    } else if (drive.busy_reason.empty() || (interrupted && CarriesPool(drive, entry.spec) &&
                                             drive.busy_reason == kUnfinished)) {
      free.insert(interrupted ? free.begin() : free.end(), &drive);
    } else {
      refused.push_back(absl::StrCat(drive.id, " ", drive.busy_reason));
    }
  }
  if (carrying.size() > 1)
    return NotReady("AmbiguousDrives", absl::StrCat(carrying.size(), " drives carry this pool: ",
                                                    carrying[0]->id, ", ", carrying[1]->id));
  if (!carrying.empty()) return *carrying[0];
  if (free.empty() && refused.empty())
    return NotReady("NoMatchingDrive", "no drive of this node matches spec.devices");
  if (free.empty())
    return NotReady("NoFreeDrive",
                    absl::StrCat("no matching drive is free: ", absl::StrJoin(refused, "; ")));
  format = true;
  return *free[0];
}

absl::Status PoolSet::FormatDrive(const CallContext& context, Entry& entry, const Drive& drive) {
  const bool again = entry.formatting == drive.id;
  entry.formatting = drive.id;
  ASHLAR_RETURN_IF_ERROR(Save(entry));
  const std::string busy = scanner_.BusyReason(drive);
  if (!busy.empty() && !(again && busy == kUnfinished))
    return NotReady("NoFreeDrive", absl::StrCat(drive.id, " ", busy));
  LogInfo("formatting a free drive", {{"pool", entry.spec.name}, {"drive", drive.id}});
  // Without -f mkfs.xfs itself refuses a device that bears any signature.
  std::vector<std::string> argv = {
      "mkfs.xfs", "-q", "-L",
      "ashlar",   "-m", absl::StrCat("reflink=1,uuid=", FilesystemUuid(entry.spec.uid))};
  if (!busy.empty()) argv.push_back("-f");
  argv.push_back(drive.device);
  ASHLAR_RETURN_IF_ERROR(sys::RunChecked(commands_, context, argv));
  entry.formatting.clear();
  const absl::Status saved = Save(entry);
  // While the record says so a restarted agent formats the drive again: there may be no volumes.
  if (!saved.ok()) entry.formatting = drive.id;
  return saved;
}

// What an interrupted mkfs left would be a foreign filesystem to whoever wants the drive next.
absl::Status PoolSet::EraseUnfinished(const Entry& entry) {
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<Drive> drives,
                          scanner_.Scan(entry.spec.devices->paths));
  for (const Drive& drive : drives)
    if (drive.id == entry.formatting && CarriesPool(drive, entry.spec) &&
        drive.busy_reason == kUnfinished)
      ASHLAR_RETURN_IF_ERROR(
          sys::EraseFilesystem(drive.device, "xfs", FilesystemUuid(entry.spec.uid)));
  return absl::OkStatus();
}

absl::Status PoolSet::Dismantle(const Entry& entry) {
  if (entry.spec.directory) {
    const std::string& root = entry.spec.directory->path;
    if (entry.backend == nullptr) return absl::OkStatus();
    ASHLAR_RETURN_IF_ERROR(sys::RemoveEmptyDirectory(absl::StrCat(root, "/volumes")));
    return sys::RemoveFile(absl::StrCat(root, kMarker), Durability::kPowerCut);
  }
  const std::string target = absl::StrCat(state_dir_, "/pools/", entry.spec.name);
  ASHLAR_RETURN_IF_ERROR(mounts_.Unmount(target));
  ASHLAR_RETURN_IF_ERROR(mounts_.RemoveTarget(target));
  return entry.formatting.empty() ? absl::OkStatus() : EraseUnfinished(entry);
}

absl::Status PoolSet::Remove(const CallContext&, const std::string& name) {
  ASHLAR_RETURN_IF_ERROR(ValidateName("name", name));
  ASHLAR_RETURN_IF_ERROR(BeginChange());
  const absl::Cleanup end = [this] { EndChange(); };
  const Entry entry = Snapshot(name);
  if (entry.spec.name.empty()) return absl::OkStatus();
  if (entry.backend != nullptr) {
    ASHLAR_ASSIGN_OR_RETURN(const std::vector<StoredVolume> volumes, entry.backend->List());
    if (!volumes.empty())
      return absl::FailedPreconditionError(absl::StrCat("pool ", name, " has ", volumes.size(),
                                                        " volumes, such as ", volumes[0].facts.id));
  }
  if (const absl::Status gone = Dismantle(entry); !gone.ok()) {
    // Half taken apart it can give no volumes, and must be opened anew.
    MutexLock lock(mu_);
    Entry& left = entries_[name];
    left.backend = nullptr;
    left.reason = "PoolFailed";
    left.message = absl::StrCat("the removal stopped: ", std::string(gone.message()));
    return gone;
  }
  ASHLAR_RETURN_IF_ERROR(sys::RemoveFile(RecordPath(name), Durability::kPowerCut));
  MutexLock lock(mu_);
  entries_.erase(name);
  return absl::OkStatus();
}

PoolStatus PoolSet::StatusOf(const Entry& entry) {
  PoolStatus status;
  status.name = entry.spec.name;
  status.uid = entry.spec.uid;
  status.device = entry.device;
  status.reason = entry.reason;
  status.message = entry.message;
  if (entry.backend == nullptr) return status;
  const absl::StatusOr<PoolUsage> usage = entry.backend->Usage();
  if (!usage.ok()) {
    status.reason = "DeviceFailed";
    status.message = std::string(usage.status().message());
    return status;
  }
  status.ready = true;
  status.usage = *usage;
  return status;
}

std::vector<PoolStatus> PoolSet::Statuses() {
  std::vector<Entry> entries;
  {
    MutexLock lock(mu_);
    for (const auto& [name, entry] : entries_) entries.push_back(entry);
  }
  std::vector<PoolStatus> statuses;
  for (const Entry& entry : entries) statuses.push_back(StatusOf(entry));
  return statuses;
}

std::vector<std::string> PoolSet::NamedPaths() {
  MutexLock lock(mu_);
  std::vector<std::string> paths;
  for (const auto& [name, entry] : entries_)
    if (entry.spec.devices)
      paths.insert(paths.end(), entry.spec.devices->paths.begin(), entry.spec.devices->paths.end());
  return paths;
}

std::string PoolSet::PoolOfDrive(const Drive& drive) {
  MutexLock lock(mu_);
  for (const auto& [name, entry] : entries_)
    if (entry.spec.devices && CarriesPool(drive, entry.spec)) return name;
  return "";
}

absl::StatusOr<std::shared_ptr<StorageBackend>> PoolSet::Backend(const std::string& pool) {
  MutexLock lock(mu_);
  const auto it = entries_.find(pool);
  if (it == entries_.end())
    return absl::NotFoundError(absl::StrCat("there is no pool ", pool, " on this node"));
  if (it->second.backend == nullptr)
    return absl::FailedPreconditionError(absl::StrCat(
        "pool ", pool, " is not ready: ", it->second.reason, ": ", it->second.message));
  return std::shared_ptr<StorageBackend>(it->second.backend);
}

absl::StatusOr<std::string> PoolSet::Uid(const std::string& pool) {
  MutexLock lock(mu_);
  const auto it = entries_.find(pool);
  if (it == entries_.end())
    return absl::NotFoundError(absl::StrCat("there is no pool ", pool, " on this node"));
  return it->second.spec.uid;
}

std::vector<std::string> PoolSet::ReadyPools() {
  MutexLock lock(mu_);
  std::vector<std::string> names;
  for (const auto& [name, entry] : entries_)
    if (entry.backend != nullptr) names.push_back(name);
  return names;
}

}  // namespace ashlar::node_agent
