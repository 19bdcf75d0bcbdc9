// ClaimGpus: what a container is given of a GPU or of a part of one, and whether it can be used.
// Only nodes that exist are given; files of NVIDIA's driver are what its own container toolkit
// adds. It is told of the GPU in both ways that it knows: the variable NVIDIA_VISIBLE_DEVICES, of
// which a container with several claims has the last, and a mount of /dev/null for each GPU, which
// a container has of all of them (decision 0028). Thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>

#include "node-agent/claims/cdi_directory.h"
#include "node-agent/claims/claim_record.h"
#include "node-agent/gpu/gpu_watch.h"
#include "node-agent/gpu/partition/gpu_partitions.h"

namespace ashlar::node_agent {

class ClaimGpus {
 public:
  using Latest = std::function<std::shared_ptr<const GpuReport>()>;  // never null

  // `parts` must outlive it. Device nodes, and what the driver tells of them below
  // /proc/driver/nvidia, are looked for below `root`; empty: in the system's own directories.
  ClaimGpus(Latest latest, GpuPartitions& parts, std::string root)
      : latest_(std::move(latest)), parts_(parts), root_(std::move(root)) {}

  // Adds the GPU to what the container is given.
  // FailedPrecondition: it is not there, or has no device node, or is of no use.
  absl::Status Give(const ClaimGpu& gpu, CdiDevice& device) const;
  // Makes the part of the GPU for the claim, unless it has it, and adds it to what the container is
  // given. The UUID of its MIG device. Errors as above, and those of GpuPartitions::Ensure.
  absl::StatusOr<std::string> Make(const CallContext& context, const std::string& claim,
                                   const ClaimGpuPartition& part, CdiDevice& device) const;
  // The claim has no part of a GPU any more.
  absl::Status Release(const CallContext& context, const std::string& claim) const;
  // Of the claims that are not in `keep`.
  void Sweep(const CallContext& context, const std::set<std::string>& keep) const;

  // Why the GPU cannot be used; empty if it can.
  std::string Problem(const ClaimGpu& gpu) const;
  // The same of the claim's part of a GPU; and its MIG device, empty if it is not made.
  std::string Problem(const std::string& claim, const ClaimGpuPartition& part,
                      std::string& mig_device) const;

 private:
  // Adds the node if it exists.
  bool GiveNode(const std::string& node, CdiDevice& device) const;
  absl::Status GiveGpu(const std::string& uuid, CdiDevice& device, int& minor) const;
  // The node by which the driver lets programs use what `access` belongs to.
  absl::Status GiveCapability(const std::string& access, CdiDevice& device) const;

  const Latest latest_;
  GpuPartitions& parts_;
  const std::string root_;
};

// Why the GPU of that UUID cannot be used, as the report has it; empty if it can.
std::string GpuProblem(const GpuReport& report, const std::string& uuid);

}  // namespace ashlar::node_agent
