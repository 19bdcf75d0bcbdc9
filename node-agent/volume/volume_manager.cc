// Carving: volumes come to be, grow and go.
#include "node-agent/volume/volume_manager.h"

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/system/files.h"

namespace ashlar::node_agent {
namespace {

absl::Status CheckSameVolume(const VolumeEntry& entry, const VolumeFacts& wanted,
                             int64_t size_bytes, const std::string& drive) {
  const VolumeFacts& has = entry.record.facts;
  const auto differs = [&](absl::string_view field, absl::string_view is, absl::string_view want) {
    return absl::AlreadyExistsError(absl::StrCat("volume ", has.id, " exists with ", field, " \"",
                                                 is, "\", wanted is \"", want, "\""));
  };
  if (has.kind != wanted.kind) return differs("kind", KindName(has.kind), KindName(wanted.kind));
  if (has.source != wanted.source) return differs("source", has.source, wanted.source);
  if (has.pool != wanted.pool) return differs("pool", has.pool, wanted.pool);
  if (has.mode != wanted.mode) return differs("mode", ModeName(has.mode), ModeName(wanted.mode));
  if (has.fs_type != wanted.fs_type) return differs("fs_type", has.fs_type, wanted.fs_type);
  if (!drive.empty() && entry.stored->drive != drive)
    return differs("drive", entry.stored->drive, drive);
  if (entry.stored->size_bytes < size_bytes)
    return absl::AlreadyExistsError(absl::StrCat("volume ", has.id, " exists with size_bytes ",
                                                 entry.stored->size_bytes, ", wanted is ",
                                                 size_bytes, ": resize it"));
  return absl::OkStatus();
}

}  // namespace

VolumeStatus VolumeManager::StatusOf(const VolumeEntry& entry) const {
  VolumeStatus status;
  status.facts = entry.record.facts;
  status.attributes = env_.attributes.Get(status.facts.id);
  status.locality = entry.record.locality;
  status.staged = entry.record.attached();
  status.staging_path = entry.record.staging_path;
  status.publications = static_cast<int>(entry.record.publications.size());
  const auto blame = [&](const char* reason, std::string message) {
    status.healthy = false;
    status.reason = reason;
    status.message = std::move(message);
  };
  const absl::Status pool = env_.pools.Backend(status.facts.pool).status();
  if (!entry.stored) {
    if (pool.ok())
      blame("VolumeLost", "the volume is gone from its pool");
    else
      blame("PoolNotReady", std::string(pool.message()));
    return status;
  }
  status.size_bytes = entry.stored->size_bytes;
  status.path = entry.stored->path;
  status.drive = entry.stored->drive;
  status.extents = entry.stored->extents;
  status.message = entry.record.corrected;
  const std::string& problem = entry.stored->problem;
  if (!problem.empty())
    blame(!pool.ok()                  ? "PoolNotReady"
          : entry.stored->unreachable ? "DriveMissing"
                                      : "Degraded",
          problem);
  else if (!sys::Exists(entry.stored->path))
    blame("DriveMissing", absl::StrCat(entry.stored->path, " is gone"));
  else if (!entry.trouble.reason.empty())
    blame(entry.trouble.reason.c_str(), entry.trouble.message);
  else if (!entry.record.broken.empty())
    blame("FilesystemDamaged", entry.record.broken);
  return status;
}

absl::StatusOr<VolumeEntry> VolumeManager::Existing(const std::string& id) {
  std::optional<VolumeEntry> entry = table_.Get(id);
  if (!entry) return absl::NotFoundError(absl::StrCat("there is no volume ", id, " on this node"));
  ASHLAR_RETURN_IF_ERROR(env_.pools.Backend(entry->record.facts.pool).status());
  if (!entry->stored)
    return absl::DataLossError(absl::StrCat("volume ", id, " is gone from its pool"));
  return *std::move(entry);
}

absl::Status VolumeManager::ChooseFormat(EnsureVolumeArgs& args) {
  const bool unnamed = args.mode == VolumeMode::kFilesystem && args.fs_type.empty();
  if (!unnamed) ASHLAR_RETURN_IF_ERROR(ValidateFormat(args.mode, args.fs_type));
  ASHLAR_ASSIGN_OR_RETURN(const std::shared_ptr<StorageBackend> backend,
                          env_.pools.Backend(args.pool));
  const BackendTraits traits = backend->Traits();
  if (args.mode == VolumeMode::kBlock) {
    if (traits.block) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("mode is \"block\": pool ", args.pool, " has filesystem volumes only"));
  }
  if (unnamed) args.fs_type = traits.fs_types.front();
  if (std::count(traits.fs_types.begin(), traits.fs_types.end(), args.fs_type) > 0)
    return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("fs_type is \"", args.fs_type, "\": pool ",
                                                 args.pool, " accepts ",
                                                 absl::StrJoin(traits.fs_types, ", ")));
}

absl::StatusOr<VolumeStatus> VolumeManager::Ensure(const CallContext& context,
                                                   EnsureVolumeArgs args) {
  ASHLAR_RETURN_IF_ERROR(ValidateName("volume_id", args.id));
  ASHLAR_RETURN_IF_ERROR(ValidateName("pool", args.pool));
  ASHLAR_RETURN_IF_ERROR(ChooseFormat(args));
  ASHLAR_ASSIGN_OR_RETURN(const int64_t size, RoundedSize(args.size_bytes, args.fs_type));
  ASHLAR_ASSIGN_OR_RETURN(const VolumeTable::Claim claim, table_.Acquire(args.id));
  VolumeFacts facts;
  facts.id = args.id;
  facts.pool = args.pool;
  facts.mode = args.mode;
  facts.fs_type = args.fs_type;
  facts.source = args.source;
  facts.kind = args.kind;
  if (!args.source.empty()) ASHLAR_RETURN_IF_ERROR(ValidateName("source", args.source));
  if (args.source == args.id)
    return absl::InvalidArgumentError(
        absl::StrCat("source is \"", args.source, "\", which is the volume itself"));
  if (table_.Get(args.id)) {
    ASHLAR_ASSIGN_OR_RETURN(const VolumeEntry entry, Existing(args.id));
    ASHLAR_RETURN_IF_ERROR(CheckSameVolume(entry, facts, size, args.drive));
    return StatusOf(entry);
  }
  ASHLAR_ASSIGN_OR_RETURN(facts.pool_uid, env_.pools.Uid(args.pool));
  return Carve(context, facts, size, args);
}

absl::StatusOr<VolumeStatus> VolumeManager::Carve(const CallContext& context,
                                                  const VolumeFacts& facts, int64_t size_bytes,
                                                  const EnsureVolumeArgs& args) {
  ASHLAR_ASSIGN_OR_RETURN(const std::shared_ptr<StorageBackend> backend,
                          env_.pools.Backend(facts.pool));
  VolumeEntry entry;
  entry.record.facts = facts;
  entry.record.phase = VolumePhase::kCarving;
  entry.record.locality = args.locality;
  ASHLAR_RETURN_IF_ERROR(env_.journal.Save(entry.record));
  absl::StatusOr<StoredVolume> made = facts.source.empty()
                                          ? backend->Create(context, facts, size_bytes, args.drive)
                                          : MakeClone(context, facts, size_bytes, args.drive);
  if (absl::IsAlreadyExists(made.status())) made = backend->Find(facts.id);
  if (!made.ok()) {
    ASHLAR_RETURN_IF_ERROR(table_.Erase(facts.id));
    return made.status();
  }
  entry.record.facts = made->facts;
  entry.record.phase = VolumePhase::kCarved;
  entry.stored = *std::move(made);
  ASHLAR_RETURN_IF_ERROR(table_.Put(entry));
  ASHLAR_RETURN_IF_ERROR(CheckSameVolume(entry, facts, size_bytes, args.drive));
  LogInfo("volume carved", {{"volume", facts.id},
                            {"pool", facts.pool},
                            {"bytes", entry.stored->size_bytes},
                            {"drive", entry.stored->drive},
                            {"extents", entry.stored->extents},
                            {"request", context.request_id}});
  return StatusOf(entry);
}

absl::StatusOr<VolumeStatus> VolumeManager::Resize(const CallContext& context,
                                                   const std::string& id, int64_t size_bytes) {
  ASHLAR_RETURN_IF_ERROR(ValidateName("volume_id", id));
  ASHLAR_ASSIGN_OR_RETURN(const VolumeTable::Claim claim, table_.Acquire(id));
  ASHLAR_ASSIGN_OR_RETURN(VolumeEntry entry, Existing(id));
  if (entry.record.facts.kind == VolumeKind::kSnapshot)
    return absl::FailedPreconditionError(absl::StrCat(id, " is a snapshot, which does not grow"));
  ASHLAR_ASSIGN_OR_RETURN(const int64_t size, RoundedSize(size_bytes, ""));
  if (size <= entry.stored->size_bytes) return StatusOf(entry);
  const VolumePhase before = entry.record.phase;
  ASHLAR_ASSIGN_OR_RETURN(const std::shared_ptr<StorageBackend> backend,
                          env_.pools.Backend(entry.record.facts.pool));
  entry.record.phase = VolumePhase::kExpanding;
  ASHLAR_RETURN_IF_ERROR(table_.Put(entry));
  const absl::StatusOr<StoredVolume> grown = backend->Grow(context, id, size);
  if (grown.ok()) entry.stored = *grown;
  absl::Status status = grown.status();
  if (status.ok() && entry.record.attached())
    status = attachments_.UpdateCapacity(*entry.stored, entry.record.device);
  entry.record.phase = before;
  ASHLAR_RETURN_IF_ERROR(table_.Put(entry));
  ASHLAR_RETURN_IF_ERROR(status);
  LogInfo("volume resized", {{"volume", id}, {"bytes", size}, {"request", context.request_id}});
  return StatusOf(entry);
}

absl::Status VolumeManager::Remove(const CallContext& context, const std::string& id,
                                   VolumeKind kind) {
  ASHLAR_RETURN_IF_ERROR(ValidateName("volume_id", id));
  ASHLAR_ASSIGN_OR_RETURN(const VolumeTable::Claim claim, table_.Acquire(id));
  std::optional<VolumeEntry> entry = table_.Get(id);
  if (!entry || entry->record.facts.kind != kind) return absl::OkStatus();
  if (entry->record.attached())
    return absl::FailedPreconditionError(
        absl::StrCat("volume ", id, " is staged at ", entry->record.staging_path));
  ASHLAR_ASSIGN_OR_RETURN(const std::shared_ptr<StorageBackend> backend,
                          env_.pools.Backend(entry->record.facts.pool));
  entry->record.phase = VolumePhase::kRemoving;
  ASHLAR_RETURN_IF_ERROR(table_.Put(*entry));
  if (entry->stored) ASHLAR_RETURN_IF_ERROR(attachments_.Detach(*entry->stored, ""));
  ASHLAR_RETURN_IF_ERROR(backend->Remove(context, id));
  ASHLAR_RETURN_IF_ERROR(env_.attributes.Erase(id));
  ASHLAR_RETURN_IF_ERROR(table_.Erase(id));
  LogInfo("volume removed", {{"volume", id}, {"request", context.request_id}});
  return absl::OkStatus();
}

std::vector<VolumeStatus> VolumeManager::List() {
  std::vector<VolumeStatus> statuses;
  for (const VolumeEntry& entry : table_.All()) statuses.push_back(StatusOf(entry));
  return statuses;
}

std::optional<VolumeStatus> VolumeManager::Find(const std::string& id) {
  const std::optional<VolumeEntry> entry = table_.Get(id);
  if (!entry) return std::nullopt;
  return StatusOf(*entry);
}

absl::StatusOr<std::map<std::string, VolumeManager::Problem>> VolumeManager::ProblemsOf(
    const std::string& pool) {
  ASHLAR_ASSIGN_OR_RETURN(const std::shared_ptr<StorageBackend> backend, env_.pools.Backend(pool));
  std::map<std::string, Problem> problems;  // by volume
  if (!backend->Traits().tells_problems) return problems;
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<StoredVolume> found, backend->List());
  for (const StoredVolume& stored : found)
    problems[stored.facts.id] = {stored.problem, stored.unreachable, stored.drive};
  for (const VolumeEntry& entry : table_.All()) {
    const std::string& id = entry.record.facts.id;
    if (entry.record.facts.pool != pool || problems.count(id) > 0) continue;
    problems[id] = {std::string(backend->Find(id).status().message()), true,
                    entry.stored ? entry.stored->drive : ""};
  }
  return problems;
}

void VolumeManager::LookForProblems() {
  std::map<std::string, absl::StatusOr<std::map<std::string, Problem>>> pools;
  for (const VolumeEntry& entry : table_.All()) {
    const std::string& id = entry.record.facts.id;
    const std::string& pool = entry.record.facts.pool;
    if (!entry.stored || entry.record.phase == VolumePhase::kRemoving) continue;
    if (pools.count(pool) == 0) pools.emplace(pool, ProblemsOf(pool));
    auto& problems = pools.at(pool);
    // Who tells no problems tells no drives either: a volume then stays on its own.
    Problem problem{"", false, entry.stored->drive};
    if (!problems.ok())
      problem = {std::string(problems.status().message()), true, entry.stored->drive};
    else if (const auto told = problems->find(id); told != problems->end())
      problem = told->second;
    if (Problem{entry.stored->problem, entry.stored->unreachable, entry.stored->drive} == problem)
      continue;
    const absl::StatusOr<VolumeTable::Claim> claim = table_.Acquire(id);
    std::optional<VolumeEntry> now = claim.ok() ? table_.Get(id) : std::nullopt;
    if (!now || !now->stored) continue;  // a call has it: next time
    now->stored->problem = problem.message;
    now->stored->unreachable = problem.unreachable;
    now->stored->drive = problem.drive;
    table_.Insert(*std::move(now));
  }
}

}  // namespace ashlar::node_agent
