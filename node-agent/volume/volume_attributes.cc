// Attributes: what may change of a volume in use, and what is in use.
#include "absl/strings/str_cat.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/system/files.h"
#include "node-agent/volume/volume_manager.h"

namespace ashlar::node_agent {

absl::StatusOr<VolumeStatus> VolumeManager::Modify(const CallContext& context,
                                                   const std::string& id,
                                                   const VolumeAttributes& attributes) {
  ASHLAR_RETURN_IF_ERROR(ValidateName("volume_id", id));
  ASHLAR_RETURN_IF_ERROR(CheckAttributes(attributes));
  ASHLAR_ASSIGN_OR_RETURN(const VolumeTable::Claim claim, table_.Acquire(id));
  ASHLAR_ASSIGN_OR_RETURN(const VolumeEntry entry, Existing(id));
  const bool directory = entry.stored && entry.stored->form == VolumeForm::kDirectory;
  if (directory && attributes.limits.any())
    return absl::InvalidArgumentError(
        absl::StrCat("attributes has limits: volume ", id,
                     " is of a pool of the backend Directory, whose "
                     "volumes have no block device of their own; limits can't be kept"));
  if (env_.attributes.Get(id) == attributes) return StatusOf(entry);
  ASHLAR_RETURN_IF_ERROR(env_.attributes.Put(id, attributes));
  LogInfo("volume modified", {{"volume", id},
                              {"attributes", DumpJson(AttributesToJson(attributes))},
                              {"request", context.request_id}});
  return StatusOf(entry);
}

std::vector<VolumeUse> VolumeManager::Uses() {
  std::vector<VolumeUse> uses;
  for (const VolumeEntry& entry : table_.All()) {
    const VolumeRecord& record = entry.record;
    if (!record.attached() || !entry.stored) continue;
    VolumeUse use;
    use.id = record.facts.id;
    use.attributes = env_.attributes.Get(use.id);
    if (const absl::StatusOr<sys::FileStat> stat = sys::StatFile(record.device);
        stat.ok() && stat->is_block_device)
      use.device = DeviceNumber::Of(stat->special_device);
    if (record.facts.mode == VolumeMode::kFilesystem) use.mount_point = record.staging_path;
    use.returns_space = entry.stored->discard;
    for (const auto& [target, publication] : record.publications) use.targets.push_back(target);
    use.gpu_direct = record.gpu_direct;
    uses.push_back(std::move(use));
  }
  return uses;
}

std::map<std::string, DirectWay> VolumeManager::DirectWays(const NearFacts& node,
                                                           const DirectPlaces& places) {
  std::map<std::string, DirectWay> ways;
  std::vector<VolumeUse> uses = Uses();
  std::erase_if(uses, [](const VolumeUse& use) { return !use.gpu_direct; });
  if (uses.empty()) return ways;
  const absl::StatusOr<std::vector<sys::MountEntry>> mounts = env_.mounts.List();
  for (const VolumeUse& use : uses) {
    const std::optional<VolumeStatus> volume = Find(use.id);
    if (!volume) continue;
    ways[use.id] = mounts.ok() ? JudgeDirectWay(ReadDirectFacts(use, *mounts, places),
                                                volume->drive, volume->locality.gpus, node)
                               : DirectWay{kUnknownMode, std::string(mounts.status().message())};
  }
  return ways;
}

}  // namespace ashlar::node_agent
