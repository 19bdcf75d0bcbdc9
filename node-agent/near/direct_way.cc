#include "node-agent/near/direct_way.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "lib/system/files.h"
#include "lib/system/mount_table.h"

namespace ashlar::node_agent {
namespace {

constexpr int64_t kSector = 512;
constexpr int64_t kAlignment = 4096;

std::string NameOf(const std::string& path) { return path.substr(path.rfind('/') + 1); }

std::string ParentOf(const std::string& path) { return path.substr(0, path.rfind('/')); }

int64_t ReadNumber(const std::string& path) {
  const absl::StatusOr<std::string> text = sys::ReadFile(path);
  int64_t number = 0;
  if (!text.ok() || !absl::SimpleAtoi(absl::StripAsciiWhitespace(*text), &number)) return 0;
  return number;
}

// What the kernel has made of other devices, or of files.
std::string MadeOf(const std::string& device) {
  for (const auto& [sign, what] :
       {std::pair{"dm", "device-mapper"}, std::pair{"md", "software RAID"},
        std::pair{"loop", "a loop device"}})
    if (sys::Exists(absl::StrCat(device, "/", sign)))
      return absl::StrCat(NameOf(device), " (", what, ")");
  return "";
}

// Why cuFile will not go straight, as far as the volume alone says; empty: nothing is in the way.
std::string FaultOf(const DirectFacts& facts) {
  if (!facts.between.empty())
    return absl::StrCat(facts.between, " lies between the volume and its drive");
  if (!absl::StartsWith(facts.disk, "nvme"))
    return absl::StrCat("the volume lies on no NVMe drive",
                        facts.disk.empty() ? "" : absl::StrCat(" but on ", facts.disk));
  if (!facts.block && facts.fs_type != "ext4" && facts.fs_type != "xfs")
    return absl::StrCat("its filesystem is ", facts.fs_type, ": ext4 and xfs can");
  if (facts.fs_type == "ext4") {
    const std::vector<std::string> options = absl::StrSplit(facts.fs_options, ',');
    if (std::count(options.begin(), options.end(), "data=ordered") == 0)
      return "ext4 is mounted without the option data=ordered, which cuFile looks for: it belongs "
             "among the mountOptions of the StorageClass";
  }
  if (facts.offset_bytes % kAlignment != 0)
    return absl::StrCat("the volume begins at byte ", facts.offset_bytes,
                        " of its drive, which is no multiple of ", kAlignment);
  if (!facts.udev_knows)
    return "udev has no data of its device, from which cuFile learns what it is: /run/udev of the "
           "node has none";
  return "";
}

bool Is(const Drive& drive, const std::string& id) { return drive.id == id || drive.serial == id; }

// The best way between the drive and one of the GPUs; nullptr: none is known.
const v1alpha1::GpuDrivePath* BestPath(const std::string& drive,
                                       const std::vector<std::string>& gpus,
                                       const NearFacts& node) {
  const auto rank = [](const v1alpha1::GpuDrivePath& path) {
    const int openness = path.peer_to_peer() == "Yes"       ? 0
                         : path.peer_to_peer() == "Unknown" ? 1
                                                            : 2;
    return std::pair(openness, LevelFromName(path.level()).value_or(NearLevel::kSystem));
  };
  const v1alpha1::GpuDrivePath* best = nullptr;
  for (const v1alpha1::GpuDrivePath& path : node.paths) {
    if (!gpus.empty() && std::count(gpus.begin(), gpus.end(), path.gpu()) == 0) continue;
    if (!std::any_of(node.drives.begin(), node.drives.end(), [&](const Drive& known) {
          return known.id == path.drive() && Is(known, drive);
        }))
      continue;
    if (best == nullptr || rank(path) < rank(*best)) best = &path;
  }
  return best;
}

}  // namespace

DirectFacts ReadDirectFacts(const VolumeUse& use, const std::vector<sys::MountEntry>& mounts,
                            const DirectPlaces& places) {
  DirectFacts facts;
  facts.shown = !use.targets.empty();
  if (!facts.shown) return facts;
  facts.block = use.mount_point.empty();
  if (!facts.block) {
    const sys::MountEntry* mount = sys::FindMount(mounts, use.targets.front());
    facts.shown = mount != nullptr;
    if (!facts.shown) return facts;
    facts.fs_type = mount->fs_type;
    facts.fs_options = mount->super_options;
  }
  const std::string number = absl::StrCat(use.device.major, ":", use.device.minor);
  facts.udev_knows = sys::Exists(absl::StrCat(places.udev_root, "/data/b", number));
  const auto found = sys::RealPath(absl::StrCat(places.sys_root, "/dev/block/", number));
  if (!found.ok()) return facts;
  std::string device = *found;
  if (sys::Exists(absl::StrCat(device, "/partition"))) {
    facts.offset_bytes = ReadNumber(absl::StrCat(device, "/start")) * kSector;
    device = ParentOf(device);
  }
  facts.disk = NameOf(device);
  facts.between = MadeOf(device);
  return facts;
}

DirectWay JudgeDirectWay(const DirectFacts& facts, const std::string& drive,
                         const std::vector<std::string>& gpus, const NearFacts& node) {
  if (!facts.shown) return {};
  if (std::string fault = FaultOf(facts); !fault.empty())
    return {kCompatibilityMode, std::move(fault)};
  if (node.gpus.empty()) return {kCompatibilityMode, "the node has no GPU that it knows of"};
  const v1alpha1::GpuDrivePath* path = BestPath(drive, gpus, node);
  if (path == nullptr)
    return {kUnknownMode, absl::StrCat("no way between drive ", drive, " and a GPU is known")};
  const std::string between = absl::StrCat("GPU ", path->gpu(), " and drive ", path->drive(),
                                           " (level ", path->level(), "): ");
  if (path->peer_to_peer() == "Yes")
    return {kDirectMode, absl::StrCat(between,
                                      "data looks able to go straight; the pod needs "
                                      "/run/udev and, with nvidia-fs, its devices")};
  return {path->peer_to_peer() == "Unknown" ? kUnknownMode : kCompatibilityMode,
          absl::StrCat(between, path->reason())};
}

}  // namespace ashlar::node_agent
