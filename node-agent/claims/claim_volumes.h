// ClaimVolumes: volumes as claims see them: staged once, below a directory of the agent's, and
// published there once for each claim. Every call may be repeated. Thread-safe.
#pragma once

#include <map>
#include <string>

#include "node-agent/claims/cdi_directory.h"
#include "node-agent/claims/claim_record.h"
#include "node-agent/volume/volume_manager.h"

namespace ashlar::node_agent {

class ClaimVolumes {
 public:
  // `volumes` must outlive it and may mount below `root`.
  ClaimVolumes(VolumeManager& volumes, std::string root)
      : volumes_(volumes), root_(std::move(root)) {}

  // Stages and publishes the volume; adds it to what the container is given. `place` is the claim's
  // own, and a name of a file. The root of a filesystem that nobody has changed since it was made
  // for the claim is opened for all users, as that of an emptyDir is: nobody tells an owner.
  // FailedPrecondition: pods have the volume by a PersistentVolumeClaim. NotFound: there is no such
  // volume; else the errors of VolumeManager.
  absl::Status Show(const CallContext& context, const std::string& place, const ClaimVolume& volume,
                    CdiDevice& device);
  // Takes back what Show did. What other claims see of the volume stays.
  absl::Status Hide(const CallContext& context, const std::string& place,
                    const ClaimVolume& volume);
  // Takes back everything that is not in `keep`: the volume at each place.
  void Sweep(const CallContext& context, const std::map<std::string, std::string>& keep);
  // Why the volume cannot be used; empty if it can.
  std::string Problem(const ClaimVolume& volume);
  // Where the volume of that place is shown, as VolumeManager tells it.
  std::string TargetPath(const std::string& place) const;

 private:
  std::string StagingPath(const std::string& volume_id) const;
  // Why somebody else has it; empty: nobody does.
  std::string UserOf(const VolumeStatus& volume) const;
  absl::Status UnstageUnused(const CallContext& context, const std::string& volume_id);

  VolumeManager& volumes_;
  const std::string root_;
};

}  // namespace ashlar::node_agent
