#include "node-agent/claims/claim_volumes.h"

#include <filesystem>
#include <optional>
#include <set>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/system/files.h"

namespace ashlar::node_agent {
namespace {

constexpr char kStaged[] = "/staged/";
constexpr char kShown[] = "/shown/";

absl::Status OpenForAll(const std::string& root) {
  ASHLAR_ASSIGN_OR_RETURN(const sys::FileStat stat, sys::StatFile(root));
  constexpr mode_t kAsMade = 0755;
  if (stat.permissions != kAsMade) return absl::OkStatus();
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<std::string> names, sys::ListDirectory(root));
  for (const std::string& name : names)
    if (name != "lost+found") return absl::OkStatus();
  std::error_code error;
  std::filesystem::permissions(root, std::filesystem::perms::all, error);
  if (!error) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("open ", root, " for all users: ", error.message()));
}

// What is left of a mount point; one that is in use stays.
void RemoveLeft(const std::string& path) {
  std::error_code ignored;
  std::filesystem::remove(path, ignored);
}

}  // namespace

std::string ClaimVolumes::StagingPath(const std::string& volume_id) const {
  return absl::StrCat(root_, kStaged, FileStem(volume_id));
}

std::string ClaimVolumes::TargetPath(const std::string& place) const {
  return absl::StrCat(sys::RealPath(root_).value_or(root_), kShown, place);
}

std::string ClaimVolumes::UserOf(const VolumeStatus& volume) const {
  const std::string ours =
      absl::StrCat(sys::RealPath(root_).value_or(root_), kStaged, FileStem(volume.facts.id));
  if (!volume.staged || volume.staging_path == ours) return "";
  return absl::StrCat("volume ", volume.facts.id,
                      " is in use by pods through its PersistentVolumeClaim: a ResourceClaim gets "
                      "it when they have ended (it is staged at ",
                      volume.staging_path, ")");
}

absl::Status ClaimVolumes::Show(const CallContext& context, const std::string& place,
                                const ClaimVolume& volume, CdiDevice& device) {
  const std::optional<VolumeStatus> found = volumes_.Find(volume.volume_id);
  if (!found)
    return absl::NotFoundError(absl::StrCat("volume ", volume.volume_id, " is not on this node"));
  if (const std::string user = UserOf(*found); !user.empty())
    return absl::FailedPreconditionError(user);
  StageArgs stage;
  stage.id = volume.volume_id;
  stage.staging_path = StagingPath(volume.volume_id);
  stage.mode = found->facts.mode;
  ASHLAR_RETURN_IF_ERROR(sys::EnsureDirectory(stage.staging_path, 0750));
  ASHLAR_RETURN_IF_ERROR(volumes_.Stage(context, stage));
  if (stage.mode == VolumeMode::kFilesystem && !volume.existing)
    ASHLAR_RETURN_IF_ERROR(OpenForAll(stage.staging_path));
  PublishArgs publish;
  publish.id = volume.volume_id;
  publish.staging_path = stage.staging_path;
  publish.target_path = TargetPath(place);
  publish.mode = stage.mode;
  publish.read_only = volume.read_only;
  // Of several claims that are told of it by mistake one has it.
  publish.single_writer = volume.existing && !volume.read_only;
  ASHLAR_RETURN_IF_ERROR(volumes_.Publish(context, publish));
  if (stage.mode == VolumeMode::kFilesystem)
    device.mounts.push_back({publish.target_path, volume.path, volume.read_only});
  else
    device.nodes.push_back({volume.path, publish.target_path, volume.read_only});
  return absl::OkStatus();
}

absl::Status ClaimVolumes::UnstageUnused(const CallContext& context, const std::string& volume_id) {
  const std::optional<VolumeStatus> found = volumes_.Find(volume_id);
  if (found && found->publications > 0) return absl::OkStatus();  // by other claims
  const std::string path = StagingPath(volume_id);
  ASHLAR_RETURN_IF_ERROR(volumes_.Unstage(context, volume_id, path));
  RemoveLeft(path);
  return absl::OkStatus();
}

absl::Status ClaimVolumes::Hide(const CallContext& context, const std::string& place,
                                const ClaimVolume& volume) {
  ASHLAR_RETURN_IF_ERROR(volumes_.Unpublish(context, volume.volume_id, TargetPath(place)));
  RemoveLeft(TargetPath(place));
  return UnstageUnused(context, volume.volume_id);
}

void ClaimVolumes::Sweep(const CallContext& context,
                         const std::map<std::string, std::string>& keep) {
  const absl::StatusOr<std::string> real = sys::RealPath(root_);
  if (!real.ok()) return;  // no claim ever had a volume
  std::set<std::string> volumes;
  for (const auto& [place, volume] : keep) volumes.insert(volume);
  for (const VolumeUse& use : volumes_.Uses()) {
    for (const std::string& target : use.targets) {
      const std::string prefix = absl::StrCat(*real, kShown);
      if (!absl::StartsWith(target, prefix)) continue;
      if (keep.count(target.substr(prefix.size())) > 0) continue;
      const absl::Status gone = volumes_.Unpublish(context, use.id, target);
      LogInfo("a volume is taken from a claim that is gone",
              {{"volume", use.id}, {"path", target}, {"result", gone.ToString()}});
    }
    if (volumes.count(use.id) == 0) UnstageUnused(context, use.id).IgnoreError();
  }
  std::set<std::string> stems;
  for (const std::string& volume : volumes) stems.insert(FileStem(volume));
  const auto sweep = [&](const char* folder, const auto& kept) {
    const auto names = sys::ListDirectory(absl::StrCat(root_, folder));
    if (!names.ok()) return;
    for (const std::string& name : *names)
      if (kept.count(name) == 0) RemoveLeft(absl::StrCat(root_, folder, name));
  };
  sweep(kShown, keep);
  sweep(kStaged, stems);
}

std::string ClaimVolumes::Problem(const ClaimVolume& volume) {
  const std::optional<VolumeStatus> found = volumes_.Find(volume.volume_id);
  if (!found) return absl::StrCat("volume ", volume.volume_id, " is not on this node");
  if (const std::string user = UserOf(*found); !user.empty()) return user;
  if (found->healthy) return "";
  return absl::StrCat("volume ", volume.volume_id, ": ",
                      found->reason.empty() ? "" : absl::StrCat(found->reason, ": "),
                      found->message);
}

}  // namespace ashlar::node_agent
