// IoCgroups: limits of block I/O by control group. Two implementations: BlkioCgroups (cgroup v1,
// Documentation/admin-guide/cgroup-v1/blkio-controller.rst) and IoMaxCgroups (cgroup v2,
// Documentation/admin-guide/cgroup-v2.rst, io.max). Thread-safe; nothing is kept in memory.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "node-agent/limits/volume_use.h"

namespace ashlar::node_agent {

class IoCgroups {
 public:
  virtual ~IoCgroups() = default;

  // Paths of the groups in which a limit must be set so that it holds for the whole pod. The pod's
  // group is found by its name, below whatever parent the kubelet was given. NotFound: there is no
  // group of that pod (yet). FailedPrecondition: this machine cannot limit block I/O.
  virtual absl::StatusOr<std::vector<std::string>> GroupsOf(const std::string& pod_uid) = 0;
  // Makes these the group's limits on the device; what is 0 is not limited any more. NotFound: the
  // group is gone.
  virtual absl::Status Limit(const std::string& group, DeviceNumber device,
                             const IoLimits& limits) = 0;
  // Whether a pod gets groups later on that have to be limited too.
  virtual bool grows() const = 0;
};

// cgroup v1. The kernel's throttling is flat there: a limit of a pod's group does not bind the
// groups of its containers, so each of them gets the limits, for itself.
class BlkioCgroups final : public IoCgroups {
 public:
  // `root`: where the hierarchy of blkio is mounted.
  explicit BlkioCgroups(std::string root) : root_(std::move(root)) {}
  absl::StatusOr<std::vector<std::string>> GroupsOf(const std::string& pod_uid) override;
  absl::Status Limit(const std::string& group, DeviceNumber device,
                     const IoLimits& limits) override;
  bool grows() const override { return true; }

 private:
  const std::string root_;
};

// cgroup v2: a limit of the pod's group binds all that is below it.
class IoMaxCgroups final : public IoCgroups {
 public:
  // `root`: where the unified hierarchy is mounted.
  explicit IoMaxCgroups(std::string root) : root_(std::move(root)) {}
  absl::StatusOr<std::vector<std::string>> GroupsOf(const std::string& pod_uid) override;
  absl::Status Limit(const std::string& group, DeviceNumber device,
                     const IoLimits& limits) override;
  bool grows() const override { return false; }

 private:
  const std::string root_;
};

// The implementation for the hierarchies below `root`, usually /sys/fs/cgroup. Where there is none
// with block I/O the answer is one whose GroupsOf says so.
std::unique_ptr<IoCgroups> FindIoCgroups(const std::string& root);

// The uid of the pod to which the kubelet's target path belongs: DIR/pods/UID/volumes/... or, for
// block, DIR/plugins/kubernetes.io/csi/volumeDevices/publish/NAME/UID. Empty if it is neither.
std::string PodOfTarget(absl::string_view target);

}  // namespace ashlar::node_agent
