#include "node-agent/limits/io_cgroups.h"

#include <algorithm>
#include <array>
#include <deque>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "lib/base/status_macros.h"
#include "lib/system/files.h"

namespace ashlar::node_agent {
namespace {

// The kubelet's groups lie below its --cgroup-root, kubepods, and the class of service; a lab or a
// nested kubelet puts some more in front.
constexpr int kDeepest = 8;

bool IsPodGroup(absl::string_view name) {
  return absl::StartsWith(name, "pod") || absl::StrContains(name, "-pod");
}

// Directories below `directory`. A group that has gone meanwhile has none.
std::vector<std::string> Children(const std::string& directory) {
  std::vector<std::string> children;
  const absl::StatusOr<std::vector<std::string>> names = sys::ListDirectory(directory);
  if (!names.ok()) return children;
  for (const std::string& name : *names) {
    // The files of a controller are named CONTROLLER.WHAT; a group may have a dot too (a slice).
    const std::string path = absl::StrCat(directory, "/", name);
    const absl::StatusOr<sys::FileStat> stat = sys::StatFile(path);
    if (stat.ok() && stat->is_directory) children.push_back(path);
  }
  return children;
}

absl::string_view Base(absl::string_view path) { return path.substr(path.rfind('/') + 1); }

absl::StatusOr<std::string> FindPodGroup(const std::string& root, const std::string& pod_uid) {
  if (pod_uid.empty()) return absl::NotFoundError("the pod is not known");
  // cgroupfs: podUID. systemd: PARENT-podUID.slice, with the dashes of the uid as underscores.
  const std::string plain = absl::StrCat("pod", pod_uid);
  const std::string slice =
      absl::StrCat("-pod", absl::StrReplaceAll(pod_uid, {{"-", "_"}}), ".slice");
  std::deque<std::pair<std::string, int>> left = {{root, 0}};
  while (!left.empty()) {
    const auto [directory, depth] = std::move(left.front());
    left.pop_front();
    for (std::string& child : Children(directory)) {
      const absl::string_view name = Base(child);
      if (name == plain || absl::EndsWith(name, slice)) return std::move(child);
      if (!IsPodGroup(name) && depth + 1 < kDeepest) left.emplace_back(std::move(child), depth + 1);
    }
  }
  return absl::NotFoundError(
      absl::StrCat("there is no control group of pod ", pod_uid, " below ", root));
}

void AddTree(const std::string& group, std::vector<std::string>& all) {
  all.push_back(group);
  for (const std::string& child : Children(group)) AddTree(child, all);
}

std::string DeviceName(DeviceNumber device) {
  return absl::StrCat(device.major, ":", device.minor);
}

// Neither version of cgroups: the container does not see them, or the kernel lacks them.
class NoCgroups final : public IoCgroups {
 public:
  explicit NoCgroups(std::string why) : why_(std::move(why)) {}
  absl::StatusOr<std::vector<std::string>> GroupsOf(const std::string&) override {
    return absl::FailedPreconditionError(why_);
  }
  absl::Status Limit(const std::string&, DeviceNumber, const IoLimits&) override {
    return absl::FailedPreconditionError(why_);
  }
  bool grows() const override { return false; }

 private:
  const std::string why_;
};

bool HasIoController(const std::string& root) {
  const absl::StatusOr<std::string> controllers =
      sys::ReadFile(absl::StrCat(root, "/cgroup.controllers"));
  if (!controllers.ok()) return false;
  for (const absl::string_view name : absl::StrSplit(*controllers, absl::ByAnyChar(" \n")))
    if (name == "io") return true;
  return false;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> BlkioCgroups::GroupsOf(const std::string& pod_uid) {
  ASHLAR_ASSIGN_OR_RETURN(const std::string pod, FindPodGroup(root_, pod_uid));
  std::vector<std::string> groups;
  AddTree(pod, groups);
  return groups;
}

absl::Status BlkioCgroups::Limit(const std::string& group, DeviceNumber device,
                                 const IoLimits& limits) {
  const std::array<std::pair<const char*, int64_t>, 4> files = {
      {{"read_iops_device", limits.read_iops},
       {"write_iops_device", limits.write_iops},
       {"read_bps_device", limits.read_bytes_per_second},
       {"write_bps_device", limits.write_bytes_per_second}}};
  for (const auto& [file, value] : files) {
    // The kernel keeps operations per second in 32 bits.
    const int64_t kept = absl::StrContains(file, "iops")
                             ? std::min<int64_t>(value, std::numeric_limits<uint32_t>::max())
                             : value;
    ASHLAR_RETURN_IF_ERROR(sys::WriteExisting(absl::StrCat(group, "/blkio.throttle.", file),
                                              absl::StrCat(DeviceName(device), " ", kept, "\n")));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> IoMaxCgroups::GroupsOf(const std::string& pod_uid) {
  ASHLAR_ASSIGN_OR_RETURN(std::string pod, FindPodGroup(root_, pod_uid));
  if (!sys::Exists(absl::StrCat(pod, "/io.max")) && sys::Exists(pod))
    return absl::FailedPreconditionError(
        absl::StrCat(pod,
                     " has no io.max: the controller io is not enabled for pods; with systemd "
                     "set DefaultIOAccounting=yes, otherwise write +io to the "
                     "cgroup.subtree_control of its parents"));
  return std::vector<std::string>{std::move(pod)};
}

absl::Status IoMaxCgroups::Limit(const std::string& group, DeviceNumber device,
                                 const IoLimits& limits) {
  const auto term = [](absl::string_view key, int64_t value) {
    return value == 0 ? absl::StrCat(" ", key, "=max") : absl::StrCat(" ", key, "=", value);
  };
  return sys::WriteExisting(
      absl::StrCat(group, "/io.max"),
      absl::StrCat(DeviceName(device), term("rbps", limits.read_bytes_per_second),
                   term("wbps", limits.write_bytes_per_second), term("riops", limits.read_iops),
                   term("wiops", limits.write_iops), "\n"));
}

std::unique_ptr<IoCgroups> FindIoCgroups(const std::string& root) {
  const std::string blkio = absl::StrCat(root, "/blkio");
  if (sys::Exists(absl::StrCat(blkio, "/blkio.throttle.read_bps_device")))
    return std::make_unique<BlkioCgroups>(blkio);
  for (const std::string& unified : {root, absl::StrCat(root, "/unified")})
    if (HasIoController(unified)) return std::make_unique<IoMaxCgroups>(unified);
  return std::make_unique<NoCgroups>(absl::StrCat(
      "limits cannot be enforced: ", root, " shows neither the controller io of cgroup v2 nor the ",
      "controller blkio of cgroup v1"));
}

std::string PodOfTarget(absl::string_view target) {
  const std::vector<absl::string_view> parts = absl::StrSplit(target, '/');
  for (size_t i = 1; i < parts.size(); ++i) {
    if (parts[i - 1] == "pods" && i + 1 < parts.size() && parts[i + 1] == "volumes")
      return std::string(parts[i]);
    if (parts[i - 1] == "volumeDevices" && parts[i] == "publish" && i + 3 == parts.size())
      return std::string(parts[i + 2]);
  }
  return "";
}

}  // namespace ashlar::node_agent
