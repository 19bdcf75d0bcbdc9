#include "node-agent/near/drive_choice.h"

#include <algorithm>
#include <iterator>
#include <tuple>

#include "absl/strings/str_cat.h"

namespace ashlar::node_agent {
namespace {

constexpr absl::string_view kNames[] = {"Switch", "Root", "NUMANode", "System"};

NearLevel LevelBetween(const std::string& drive, const std::string& gpu,
                       const std::vector<v1alpha1::GpuDrivePath>& paths) {
  for (const v1alpha1::GpuDrivePath& path : paths)
    if (path.drive() == drive && path.gpu() == gpu)
      return LevelFromName(path.level()).value_or(NearLevel::kSystem);
  return NearLevel::kSystem;
}

// To the farthest of the GPUs.
NearLevel LevelOf(const std::string& drive, const std::vector<v1alpha1::GpuDrivePath>& paths,
                  const std::vector<std::string>& gpus) {
  NearLevel level = NearLevel::kSwitch;
  for (const std::string& gpu : gpus) level = std::max(level, LevelBetween(drive, gpu, paths));
  return gpus.empty() ? NearLevel::kSystem : level;
}

}  // namespace

absl::string_view LevelName(NearLevel level) { return kNames[static_cast<size_t>(level)]; }

absl::StatusOr<NearLevel> LevelFromName(absl::string_view name) {
  const auto found = std::find(std::begin(kNames), std::end(kNames), name);
  if (found != std::end(kNames)) return static_cast<NearLevel>(found - std::begin(kNames));
  return absl::InvalidArgumentError(
      absl::StrCat("level is \"", name, "\": Switch, Root, NUMANode and System are accepted"));
}

std::vector<NearDrive> OrderDrives(const std::vector<DriveUsage>& rooms,
                                   const std::vector<Drive>& drives,
                                   const std::vector<v1alpha1::GpuDrivePath>& paths,
                                   const std::vector<std::string>& gpus) {
  std::vector<NearDrive> ordered;
  for (const DriveUsage& room : rooms) {
    NearDrive one{room.id, NearLevel::kSystem, room.largest_bytes};
    // Namespaces of one controller are equally near.
    for (const Drive& drive : drives)
      if (drive.id == room.id || drive.serial == room.id)
        one.level = std::min(one.level, LevelOf(drive.id, paths, gpus));
    ordered.push_back(std::move(one));
  }
  std::sort(ordered.begin(), ordered.end(), [](const NearDrive& a, const NearDrive& b) {
    return std::tie(a.level, b.room_bytes, a.id) < std::tie(b.level, a.room_bytes, b.id);
  });
  return ordered;
}

std::string ExplainFar(const std::vector<NearDrive>& ordered, NearLevel level, int64_t size_bytes) {
  const auto fits = [&](const NearDrive& drive) { return drive.room_bytes >= size_bytes; };
  const auto nearest = std::find_if(ordered.begin(), ordered.end(), fits);
  std::string text =
      nearest == ordered.end()
          ? absl::StrCat("no drive of the pool has room for ", size_bytes, " bytes")
          : absl::StrCat("the nearest drive with room for ", size_bytes, " bytes is ", nearest->id,
                         " at level ", LevelName(nearest->level));
  bool any = false;
  for (auto drive = ordered.begin(); drive != nearest; ++drive) {
    absl::StrAppend(&text, any ? ", " : "; of nearer ones ", drive->id, " (",
                    LevelName(drive->level), ") has room for ", drive->room_bytes);
    any = true;
  }
  const bool near = std::any_of(ordered.begin(), ordered.end(),
                                [&](const NearDrive& drive) { return drive.level <= level; });
  if (!near) absl::StrAppend(&text, "; the pool has no drive within level ", LevelName(level));
  return text;
}

}  // namespace ashlar::node_agent
