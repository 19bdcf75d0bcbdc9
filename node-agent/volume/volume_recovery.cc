// Recovery: what a new process makes of records, medium, loop devices and mounts.
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/system/files.h"
#include "node-agent/volume/volume_manager.h"

namespace ashlar::node_agent {
namespace {

bool IsInline(const VolumeRecord& record) { return record.facts.kind == VolumeKind::kInline; }

// An inline volume that no pod saw, or whose pod is gone.
bool IsAbandoned(const VolumeRecord& record) {
  return IsInline(record) && record.publications.empty() && !record.awaited;
}

}  // namespace

absl::StatusOr<VolumeManager::KernelState> VolumeManager::ReadKernelState() {
  KernelState state;
  ASHLAR_ASSIGN_OR_RETURN(state.mounts, env_.mounts.List());
  ASHLAR_ASSIGN_OR_RETURN(state.loops, env_.loops.List());
  return state;
}

absl::Status VolumeManager::Recover(const CallContext& context) {
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<VolumeRecord> records, env_.journal.Load());
  for (VolumeRecord record : records) {
    if (record.frozen && record.boot_id == table_.boot_id()) {
      // Pods may hang on it: this comes before all else.
      ASHLAR_RETURN_IF_ERROR(env_.mounts.Thaw(record.staging_path));
      LogWarning("thawed what a crash left frozen", {{"volume", record.facts.id}});
    }
    record.frozen = false;
    table_.Insert({record, std::nullopt});
  }
  for (const std::string& pool : env_.pools.ReadyPools())
    ASHLAR_RETURN_IF_ERROR(Adopt(context, pool));
  return absl::OkStatus();
}

absl::Status VolumeManager::Adopt(const CallContext&, const std::string& pool) {
  ASHLAR_ASSIGN_OR_RETURN(const std::shared_ptr<StorageBackend> backend, env_.pools.Backend(pool));
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<StoredVolume> on_medium, backend->List());
  ASHLAR_ASSIGN_OR_RETURN(const KernelState kernel, ReadKernelState());
  std::set<std::string> present;
  for (const StoredVolume& stored : on_medium) {
    const absl::StatusOr<VolumeTable::Claim> claim = table_.Acquire(stored.facts.id);
    if (!claim.ok()) continue;  // a call has it, so it is known
    present.insert(stored.facts.id);
    std::optional<VolumeEntry> known = table_.Get(stored.facts.id);
    if (known && known->stored) continue;
    if (known && known->record.facts.pool != pool) {
      LogError("two pools have a volume of the same name",
               {{"volume", stored.facts.id}, {"pool", pool}});
      continue;
    }
    VolumeEntry entry = known ? *std::move(known) : Reconstruct(stored, kernel);
    entry.record.facts = stored.facts;
    entry.stored = stored;
    ASHLAR_RETURN_IF_ERROR(Settle(std::move(entry), kernel));
  }
  for (const VolumeEntry& entry : table_.All())
    if (entry.record.facts.pool == pool && !entry.stored &&
        present.count(entry.record.facts.id) == 0)
      ASHLAR_RETURN_IF_ERROR(SettleMissing(entry));
  return absl::OkStatus();
}

// The volume is not on the medium.
absl::Status VolumeManager::SettleMissing(const VolumeEntry& entry) {
  const std::string& id = entry.record.facts.id;
  const absl::StatusOr<VolumeTable::Claim> claim = table_.Acquire(id);
  if (!claim.ok()) return absl::OkStatus();
  const bool never_was_or_went = entry.record.phase == VolumePhase::kCarving ||
                                 entry.record.phase == VolumePhase::kRemoving ||
                                 entry.record.boot_id != table_.boot_id();
  if (never_was_or_went) return table_.Erase(id);
  LogError("a volume is gone from its pool", {{"volume", id}, {"pool", entry.record.facts.pool}});
  return absl::OkStatus();
}

// There is no record: the state directory was lost. Mounts that live must not be disturbed.
VolumeEntry VolumeManager::Reconstruct(const StoredVolume& stored, const KernelState& kernel) {
  VolumeEntry entry;
  entry.record.facts = stored.facts;
  entry.record.boot_id = table_.boot_id();
  const absl::StatusOr<std::optional<Attachment>> found = attachments_.Find(stored, kernel.loops);
  if (!found.ok() || !*found) return entry;
  const Attachment& attached = **found;
  for (const sys::MountEntry& mount : kernel.mounts) {
    if (!attached.ShownBy(mount)) continue;
    entry.record.phase = VolumePhase::kStaged;
    entry.record.device = attached.device;
    // The filesystem is mounted at the staging path before anything else is bound to it.
    if (entry.record.staging_path.empty() && stored.facts.mode == VolumeMode::kFilesystem)
      entry.record.staging_path = mount.mount_point;
    else
      entry.record.publications[mount.mount_point].read_only = mount.read_only();
  }
  return entry;
}

absl::Status VolumeManager::Settle(VolumeEntry entry, const KernelState& kernel) {
  // What hangs on a drive that went while no agent ran is not forgotten: HealStaged, or those who
  // staged it, end that.
  if (entry.record.boot_id == table_.boot_id() && entry.record.phase == VolumePhase::kStaged &&
      IsStale(entry, kernel.mounts))
    return table_.Put(entry);
  ASHLAR_ASSIGN_OR_RETURN(const std::optional<Attachment> attached,
                          attachments_.Find(*entry.stored, kernel.loops));
  // Devices and directories are there in every boot; what is mounted is of this one.
  const bool of_this_boot = entry.record.boot_id == table_.boot_id();
  if (attached && (entry.stored->form == VolumeForm::kImage || of_this_boot))
    return SettleAttached(std::move(entry), kernel, *attached);
  if (IsInline(entry.record) && !entry.record.publications.empty()) entry.record.awaited = true;
  const bool abandoned = IsAbandoned(entry.record);
  if (entry.record.phase == VolumePhase::kRemoving && !abandoned)
    return FinishRemoval(entry.record.facts.pool, entry.record.facts.id);
  entry.record.device.clear();
  // Nothing is mounted; targets that a crash left empty go too.
  if (!entry.record.target_path.empty() && entry.record.boot_id == table_.boot_id())
    (void)env_.mounts.RemoveTarget(entry.record.target_path);
  ASHLAR_RETURN_IF_ERROR(TearDown(entry));
  return abandoned ? FinishRemoval(entry.record.facts.pool, entry.record.facts.id)
                   : absl::OkStatus();
}

absl::Status VolumeManager::FinishRemoval(const std::string& pool, const std::string& id) {
  ASHLAR_ASSIGN_OR_RETURN(const std::shared_ptr<StorageBackend> backend, env_.pools.Backend(pool));
  ASHLAR_RETURN_IF_ERROR(backend->Remove({}, id));
  return table_.Erase(id);
}

// The volume is attached: it is adopted where it was staged, and taken away where the
// step that made it never finished.
absl::Status VolumeManager::SettleAttached(VolumeEntry entry, const KernelState& kernel,
                                           const Attachment& attached) {
  VolumeRecord& record = entry.record;
  record.device = attached.device;
  const auto shown_at = [&](const std::string& path) {
    const sys::MountEntry* mount = sys::FindMount(kernel.mounts, path);
    return mount != nullptr && attached.ShownBy(*mount);
  };
  if (record.phase == VolumePhase::kPublishing || record.phase == VolumePhase::kUnpublishing) {
    if (shown_at(record.target_path))
      ASHLAR_RETURN_IF_ERROR(env_.mounts.Unmount(record.target_path));
    ASHLAR_RETURN_IF_ERROR(env_.mounts.RemoveTarget(record.target_path));
    record.publications.erase(record.target_path);
    record.target_path.clear();
    record.phase = VolumePhase::kStaged;
  }
  const bool was_seen = !record.publications.empty();
  // What a pod sees of a drive that went is unpublished by those who published it.
  const auto left_at = [&](const std::string& path) {
    const sys::MountEntry* mount = sys::FindMount(kernel.mounts, path);
    return mount != nullptr && attachments_.IsLeft(*mount);
  };
  std::erase_if(record.publications,
                [&](const auto& item) { return !shown_at(item.first) && !left_at(item.first); });
  if (IsInline(record) && was_seen && record.publications.empty()) record.awaited = true;
  if (IsAbandoned(record)) record.phase = VolumePhase::kRemoving;
  const bool staged = record.facts.mode == VolumeMode::kBlock ? !record.staging_path.empty()
                                                              : shown_at(record.staging_path);
  const bool was_staged =
      record.phase == VolumePhase::kStaged || record.phase == VolumePhase::kExpanding;
  if ((was_staged && staged) || !record.publications.empty()) {
    record.phase = VolumePhase::kStaged;
    const absl::Status grown = attachments_.UpdateCapacity(*entry.stored, record.device);
    if (!grown.ok())
      LogWarning("device not updated", {{"device", record.device}, {"error", grown.ToString()}});
    return table_.Put(entry);
  }
  const bool removing = record.phase == VolumePhase::kRemoving;
  if (const absl::Status down = TearDown(entry); !down.ok()) {
    // Somebody uses it; it stays staged in the record, so that it can be unstaged later.
    LogWarning("leftover of a crash is in use",
               {{"volume", record.facts.id}, {"error", down.ToString()}});
    return table_.Put(entry);
  }
  return removing ? FinishRemoval(record.facts.pool, record.facts.id) : absl::OkStatus();
}

}  // namespace ashlar::node_agent
