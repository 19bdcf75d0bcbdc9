#include "node-agent/storage/directory/directory_backend.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "lib/base/json.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/system/deleted_subvolumes.h"
#include "lib/system/files.h"
#include "lib/system/freed_space.h"
#include "node-agent/storage/room.h"

namespace ashlar::node_agent {
namespace {

using sys::Durability;

constexpr absl::string_view kVolume = ".vol";
constexpr absl::string_view kPartial = ".partial";
constexpr char kData[] = "/data";
constexpr char kFacts[] = "/facts.json";
constexpr absl::Duration kTrimPause = absl::Seconds(1);

absl::Status WriteFacts(const std::string& path, const VolumeFacts& facts, int64_t size_bytes) {
  Json json = FactsToJson(facts);
  json["sizeBytes"] = size_bytes;
  return sys::ReplaceFileDurably(absl::StrCat(path, kFacts), DumpJson(json));
}

absl::StatusOr<Json> ReadFacts(const std::string& path) {
  ASHLAR_ASSIGN_OR_RETURN(const std::string text, sys::ReadFile(absl::StrCat(path, kFacts)));
  return ParseJson(text);
}

}  // namespace

std::string DirectoryBackend::PathOf(const std::string& id) const {
  return absl::StrCat(root_, "/volumes/", FileStem(id), kVolume);
}

void DirectoryBackend::SetLimits(const DirectoryBackendOptions& options) {
  MutexLock lock(space_mu_);
  options_ = options;
}

absl::Status DirectoryBackend::Open() {
  ASHLAR_ASSIGN_OR_RETURN(trees_, OpenQuotaTrees(root_));
  const std::string volumes = absl::StrCat(root_, "/volumes");
  ASHLAR_RETURN_IF_ERROR(sys::EnsureDirectory(volumes, 0700));
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<std::string> names, sys::ListDirectory(volumes));
  for (const std::string& name : names) {
    if (!absl::EndsWith(name, kPartial)) continue;
    LogInfo("removing a volume that was never completed", {{"directory", name}});
    const std::string partial = absl::StrCat(volumes, "/", name);
    wipes_.Start(partial, RemovalOf(partial));
  }
  return absl::OkStatus();
}

absl::StatusOr<PoolUsage> DirectoryBackend::Usage() {
  MutexLock lock(space_mu_);
  return UsageLocked();
}

absl::StatusOr<PoolUsage> DirectoryBackend::UsageLocked() {
  const std::string volumes = absl::StrCat(root_, "/volumes");
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<std::string> names, sys::ListDirectory(volumes));
  int64_t promised = 0, held = 0;
  for (const std::string& name : names) {
    const std::string path = absl::StrCat(volumes, "/", name);
    const absl::StatusOr<Json> facts = ReadFacts(path);
    if (!facts.ok()) continue;  // its room is not promised yet, or no more
    promised += JsonInt(*facts, {"sizeBytes"});
    held += trees_->UsedBytes(absl::StrCat(path, kData)).value_or(0);
  }
  ASHLAR_ASSIGN_OR_RETURN(const sys::FilesystemStat fs, sys::StatFilesystem(root_));
  const int64_t metadata = trees_->MetadataBytes(fs.total_bytes);
  // What others of the filesystem hold is not ours to give. Bytes that volumes share are counted
  // for each of them, so `held` may be more than what is used.
  const int64_t others =
      std::max<int64_t>(0, fs.total_bytes - fs.available_bytes - held - metadata);
  int64_t capacity = fs.total_bytes - metadata - others;
  if (options_.limit_bytes > 0) capacity = std::min(capacity, options_.limit_bytes);
  PoolUsage usage;
  usage.capacity_bytes = FloorMiB(capacity - options_.reserve_bytes);
  usage.allocated_bytes = promised;
  usage.allocatable_bytes = FloorMiB(usage.capacity_bytes - promised);
  usage.largest_bytes = usage.allocatable_bytes;
  return usage;
}

absl::Status DirectoryBackend::CheckRoom(int64_t more_bytes) {
  ASHLAR_ASSIGN_OR_RETURN(const PoolUsage usage, UsageLocked());
  return node_agent::CheckRoom(usage, more_bytes);
}

absl::StatusOr<StoredVolume> DirectoryBackend::Create(const CallContext& context,
                                                      const VolumeFacts& facts, int64_t size_bytes,
                                                      const std::string& drive) {
  ASHLAR_RETURN_IF_ERROR(CheckNoDrive(drive));
  if (facts.mode != VolumeMode::kFilesystem || facts.fs_type != trees_->fs_type())
    return absl::UnimplementedError(absl::StrCat(
        "a volume of this pool of the backend Directory is of mode filesystem and of type ",
        trees_->fs_type()));
  if (!facts.source.empty() && !trees_->copies())
    return absl::UnimplementedError(
        absl::StrCat("the backend Directory makes no copies on ", trees_->fs_type()));
  const std::string path = PathOf(facts.id);
  if (sys::Exists(path)) return absl::AlreadyExistsError(absl::StrCat(path, " exists"));
  const std::string partial = absl::StrCat(path, kPartial);
  ASHLAR_RETURN_IF_ERROR(wipes_.Run(context, partial, RemovalOf(partial)));
  absl::Status made = Build(facts, size_bytes, partial);
  if (made.ok()) made = sys::RenameDurably(partial, path);
  if (!made.ok()) {
    // Nobody learns of the volume, so neither name may stay.
    (void)sys::RenameDurably(path, partial);
    (void)Discard(context, partial);
    return made;
  }
  return Describe(path);
}

absl::Status DirectoryBackend::Build(const VolumeFacts& facts, int64_t size_bytes,
                                     const std::string& partial) {
  std::string source;
  if (!facts.source.empty()) {
    ASHLAR_ASSIGN_OR_RETURN(const StoredVolume found, Find(facts.source));
    if (size_bytes < found.size_bytes)
      return absl::OutOfRangeError(absl::StrCat(size_bytes, " bytes are wanted, the source ",
                                                facts.source, " has ", found.size_bytes));
    source = found.path;
  }
  ASHLAR_RETURN_IF_ERROR(sys::EnsureDirectory(partial, 0700));
  {
    // The facts are the promise.
    MutexLock lock(space_mu_);
    ASHLAR_RETURN_IF_ERROR(CheckRoom(size_bytes));
    ASHLAR_RETURN_IF_ERROR(WriteFacts(partial, facts, size_bytes));
  }
  const std::string data = absl::StrCat(partial, kData);
  ASHLAR_RETURN_IF_ERROR(trees_->Create(data, source, facts.kind == VolumeKind::kSnapshot));
  ASHLAR_RETURN_IF_ERROR(trees_->Limit(data, size_bytes));
  return trees_->Commit(data);
}

absl::StatusOr<StoredVolume> DirectoryBackend::Describe(const std::string& path) {
  ASHLAR_ASSIGN_OR_RETURN(const Json json, ReadFacts(path));
  StoredVolume volume;
  ASHLAR_ASSIGN_OR_RETURN(volume.facts, FactsFromJson(json));
  volume.size_bytes = JsonInt(json, {"sizeBytes"});
  volume.path = absl::StrCat(path, kData);
  volume.form = VolumeForm::kDirectory;
  ASHLAR_ASSIGN_OR_RETURN(volume.used_bytes, trees_->UsedBytes(volume.path));
  return volume;
}

absl::StatusOr<StoredVolume> DirectoryBackend::Find(const std::string& id) {
  const std::string path = PathOf(id);
  if (!sys::Exists(path)) return absl::NotFoundError(absl::StrCat("there is no volume ", id));
  return Describe(path);
}

absl::StatusOr<std::vector<StoredVolume>> DirectoryBackend::List() {
  const std::string folder = absl::StrCat(root_, "/volumes");
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<std::string> names, sys::ListDirectory(folder));
  std::vector<StoredVolume> volumes;
  for (const std::string& name : names) {
    if (!absl::EndsWith(name, kVolume)) continue;
    absl::StatusOr<StoredVolume> volume = Describe(absl::StrCat(folder, "/", name));
    if (volume.ok()) {
      volumes.push_back(*std::move(volume));
    } else {
      LogError("volume that cannot be read",
               {{"directory", name}, {"error", volume.status().ToString()}});
    }
  }
  return volumes;
}

absl::StatusOr<StoredVolume> DirectoryBackend::Grow(const CallContext&, const std::string& id,
                                                    int64_t size_bytes) {
  ASHLAR_ASSIGN_OR_RETURN(const StoredVolume before, Find(id));
  if (size_bytes <= before.size_bytes) return before;
  {
    MutexLock lock(space_mu_);
    ASHLAR_RETURN_IF_ERROR(CheckRoom(size_bytes - before.size_bytes));
    ASHLAR_RETURN_IF_ERROR(WriteFacts(PathOf(id), before.facts, size_bytes));
  }
  ASHLAR_RETURN_IF_ERROR(trees_->Limit(before.path, size_bytes));
  ASHLAR_RETURN_IF_ERROR(trees_->Commit(before.path));
  return Find(id);
}

// The limit is what the facts say, also after a crash between the two.
absl::StatusOr<StoredVolume> DirectoryBackend::Prepare(const CallContext&, const std::string& id) {
  ASHLAR_ASSIGN_OR_RETURN(const StoredVolume volume, Find(id));
  ASHLAR_RETURN_IF_ERROR(trees_->Limit(volume.path, volume.size_bytes));
  return volume;
}

absl::Status DirectoryBackend::Discard(const CallContext& context, const std::string& partial) {
  if (!sys::Exists(partial)) return absl::OkStatus();
  ASHLAR_RETURN_IF_ERROR(trees_->Delete(context, absl::StrCat(partial, kData)));
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<std::string> files, sys::ListDirectory(partial));
  for (const std::string& file : files)
    ASHLAR_RETURN_IF_ERROR(
        sys::RemoveFile(absl::StrCat(partial, "/", file), Durability::kProcessCrash));
  ASHLAR_RETURN_IF_ERROR(sys::RemoveEmptyDirectory(partial));
  return sys::SyncDirectory(absl::StrCat(root_, "/volumes"));
}

Wipes::Work DirectoryBackend::RemovalOf(const std::string& partial) {
  return [this, partial](const CallContext& context) { return Discard(context, partial); };
}

void DirectoryBackend::TrimSoon() {
  {
    MutexLock lock(space_mu_);
    trim_wanted_ = true;
  }
  wipes_.Start("trim", [this](const CallContext& context) {
    Trim(context);
    return absl::OkStatus();
  });
}

void DirectoryBackend::Trim(const CallContext& context) {
  // Several removals are trimmed together. Removed files are freed a moment later, too.
  while (SleepFor(clock_, context, kTrimPause).ok()) {
    {
      MutexLock lock(space_mu_);
      if (!trim_wanted_) return;
      trim_wanted_ = false;
    }
    absl::Status trimmed = sys::AwaitDeletedSubvolumes(clock_, context, root_);
    if (trimmed.ok()) trimmed = trees_->Commit(root_);
    if (trimmed.ok()) trimmed = sys::TrimAllSpace(root_);
    if (trimmed.ok()) continue;
    LogDebug("what removed volumes held is not trimmed",
             {{"directory", root_}, {"error", trimmed.ToString()}});
    return;
  }
}

absl::Status DirectoryBackend::Remove(const CallContext& context, const std::string& id) {
  const std::string path = PathOf(id), partial = absl::StrCat(path, kPartial);
  if (sys::Exists(path)) ASHLAR_RETURN_IF_ERROR(sys::RenameDurably(path, partial));
  ASHLAR_RETURN_IF_ERROR(wipes_.Run(context, partial, RemovalOf(partial)));
  TrimSoon();
  return absl::OkStatus();
}

}  // namespace ashlar::node_agent
