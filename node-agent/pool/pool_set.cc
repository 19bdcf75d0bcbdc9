#include "node-agent/pool/pool_set.h"

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/system/files.h"
#include "node-agent/storage/drive_wipe.h"

namespace ashlar::node_agent {
namespace {

std::map<std::string, std::string> WipedFromJson(const Json& record) {
  std::map<std::string, std::string> wiped;
  const Json* drives = FindJson(record, {"wiped"});
  if (drives == nullptr || !drives->is_object()) return wiped;
  for (const auto& [id, name] : drives->items())
    if (name.is_string()) wiped[id] = name.get<std::string>();
  return wiped;
}

}  // namespace

using sys::Durability;

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
  const PoolRecord& record = entry.record;
  const Json json{{"spec", PoolSpecToJson(record.spec)},
                  {"claimed", record.claimed},
                  {"members", record.members},
                  {"wiped", record.wiped}};
  ASHLAR_RETURN_IF_ERROR(sys::ReplaceFileDurably(RecordPath(record.spec.name), DumpJson(json)));
  MutexLock lock(mu_);
  entries_[record.spec.name] = entry;
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
    entry.record.spec = *std::move(spec);
    entry.record.claimed = JsonStrings(*json, {"claimed"});
    entry.record.members = JsonStrings(*json, {"members"});
    entry.record.wiped = WipedFromJson(*json);
    Open(context, entry);
    MutexLock lock(mu_);
    entries_[entry.record.spec.name] = std::move(entry);
  }
  return absl::OkStatus();
}

absl::StatusOr<PoolStatus> PoolSet::Ensure(const CallContext& context, const PoolSpec& spec) {
  ASHLAR_RETURN_IF_ERROR(ValidatePoolSpec(spec));
  ASHLAR_RETURN_IF_ERROR(BeginChange());
  const absl::Cleanup end = [this] { EndChange(); };
  Entry entry = Snapshot(spec.name);
  PoolSpec& known = entry.record.spec;
  if (!known.name.empty() && known.uid != spec.uid)
    return absl::FailedPreconditionError(absl::StrCat("pool ", spec.name, " of uid ", known.uid,
                                                      " is still on this node: remove it first"));
  const bool elsewhere = known.backend != spec.backend ||
                         known.directory.has_value() != spec.directory.has_value() ||
                         (spec.directory && spec.directory->path != known.directory->path);
  if (entry.backend != nullptr && elsewhere)
    return absl::InvalidArgumentError(
        absl::StrCat("backend and source of pool ", spec.name, " cannot change while it is ready"));
  if (known != spec) {
    if (elsewhere) entry.medium = nullptr;
    known = spec;
    ForgetUnnamed(entry.record);
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
  return Reopen(context, [](const Entry& entry) { return entry.backend == nullptr; });
}

bool PoolSet::LookAgain(const CallContext& context) {
  return Reopen(context, [](const Entry& entry) {
    return entry.backend != nullptr && entry.record.spec.devices.has_value();
  });
}

bool PoolSet::Reopen(const CallContext& context, absl::FunctionRef<bool(const Entry&)> due) {
  if (!BeginChange().ok()) return false;
  const absl::Cleanup end = [this] { EndChange(); };
  std::vector<Entry> waiting;
  {
    MutexLock lock(mu_);
    for (const auto& [name, entry] : entries_)
      if (due(entry)) waiting.push_back(entry);
  }
  bool changed = false;
  for (Entry& entry : waiting) {
    const std::vector<std::string> before = entry.devices;
    const bool was_ready = entry.backend != nullptr;
    Open(context, entry);
    changed = changed || (entry.backend != nullptr && (!was_ready || entry.devices != before));
    MutexLock lock(mu_);
    entries_[entry.record.spec.name] = entry;
  }
  return changed;
}

bool PoolSet::LookAtRestless(const CallContext& context) {
  return Reopen(context,
                [](const Entry& entry) { return entry.backend != nullptr && entry.restless; });
}

void PoolSet::Open(const CallContext& context, Entry& entry) {
  if (entry.medium == nullptr) entry.medium = make_medium_(entry.record.spec);
  const auto save = [&](const PoolRecord&) { return Save(entry); };
  absl::StatusOr<OpenedPool> opened =
      entry.medium != nullptr
          ? entry.medium->Open(context, entry.record, save)
          : NotReady("BackendUnavailable", absl::StrCat("the agent of this node has no backend ",
                                                        BackendName(entry.record.spec.backend)));
  if (!opened.ok()) {
    entry.backend = nullptr;
    entry.reason = ReasonOf(opened.status());
    entry.message = MessageOf(opened.status());
    LogWarning(
        "pool is not ready",
        {{"pool", entry.record.spec.name}, {"reason", entry.reason}, {"message", entry.message}});
    return;
  }
  const bool news = entry.backend == nullptr || entry.devices != opened->devices;
  entry.backend = std::move(opened->backend);
  entry.devices = std::move(opened->devices);
  const bool told = entry.reason == opened->reason;
  entry.reason = std::move(opened->reason);
  entry.message = std::move(opened->message);
  entry.restless = opened->restless;
  if (!told && !entry.reason.empty())
    LogWarning(
        "pool is not as it should be",
        {{"pool", entry.record.spec.name}, {"reason", entry.reason}, {"message", entry.message}});
  if (news)
    LogInfo("pool is ready",
            {{"pool", entry.record.spec.name}, {"devices", absl::StrJoin(entry.devices, ", ")}});
}

absl::Status PoolSet::Close(const CallContext& context, const Entry& entry) {
  return entry.medium != nullptr ? entry.medium->Close(context, entry.record) : absl::OkStatus();
}

absl::Status PoolSet::Remove(const CallContext& context, const std::string& name) {
  ASHLAR_RETURN_IF_ERROR(ValidateName("name", name));
  ASHLAR_RETURN_IF_ERROR(BeginChange());
  const absl::Cleanup end = [this] { EndChange(); };
  const Entry entry = Snapshot(name);
  if (entry.record.spec.name.empty()) return absl::OkStatus();
  if (entry.backend != nullptr) {
    ASHLAR_ASSIGN_OR_RETURN(const std::vector<StoredVolume> volumes, entry.backend->List());
    if (!volumes.empty())
      return absl::FailedPreconditionError(absl::StrCat("pool ", name, " has ", volumes.size(),
                                                        " volumes, such as ", volumes[0].facts.id));
  }
  if (const absl::Status gone = Close(context, entry); !gone.ok()) {
    // Half taken apart it can give no volumes, and must be opened anew.
    const std::shared_ptr<PoolMedium> fresh = make_medium_(entry.record.spec);
    MutexLock lock(mu_);
    Entry& left = entries_[name];
    left.medium = fresh;
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
  status.name = entry.record.spec.name;
  status.uid = entry.record.spec.uid;
  status.backend = entry.record.spec.backend;
  status.devices = entry.devices;
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
    if (const auto& devices = entry.record.spec.devices; devices)
      paths.insert(paths.end(), devices->paths.begin(), devices->paths.end());
  return paths;
}

std::string PoolSet::PoolOfDrive(const Drive& drive) {
  MutexLock lock(mu_);
  for (const auto& [name, entry] : entries_)
    if (entry.medium != nullptr && entry.medium->Carries(drive)) return name;
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
  return it->second.record.spec.uid;
}

absl::StatusOr<int64_t> PoolSet::InlineVolumeMaxBytes(const std::string& pool) {
  MutexLock lock(mu_);
  const auto it = entries_.find(pool);
  if (it == entries_.end())
    return absl::NotFoundError(absl::StrCat("there is no pool ", pool, " on this node"));
  return it->second.record.spec.inline_volume_max_bytes;
}

std::vector<std::string> PoolSet::ReadyPools() {
  MutexLock lock(mu_);
  std::vector<std::string> names;
  for (const auto& [name, entry] : entries_)
    if (entry.backend != nullptr) names.push_back(name);
  return names;
}

}  // namespace ashlar::node_agent
