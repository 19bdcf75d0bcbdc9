// NamespaceMedium: a pool of the NVMe controllers that match, by serial, model, transport, capacity
// and path (of the controller or of a namespace that it shows). Of these the pool has what they can
// still create, and their namespaces that are proven free.
//
// A namespace that no controller has is attached once to be looked at, and detached again. One that
// is attached to a controller of another machine is never touched. The medium itself writes to no
// namespace, but to wipe it (drive_wipe.h): a volume is claimed when it is made.
//
// A serial in spec.drain names a controller, with all that it has or would create; a WWID one
// namespace.
#pragma once

#include "node-agent/storage/namespace/namespace_backend.h"
#include "node-agent/storage/pool_medium.h"

namespace ashlar::node_agent {

class NamespaceMedium final : public PoolMedium {
 public:
  // `nvme` must outlive it.
  NamespaceMedium(const PoolEnvironment& env, const PoolSpec& spec, NvmeSubsystems& nvme);

  absl::StatusOr<OpenedPool> Open(const CallContext& context, PoolRecord& record,
                                  SavePoolRecord save) override;
  absl::Status Close(const CallContext&, const PoolRecord&) override { return absl::OkStatus(); }
  bool Carries(const Drive& drive) const override { return backend_->HoldsDevice(drive.device); }

 private:
  // Who looks, and for which pool.
  struct Looker {
    const CallContext& context;
    PoolRecord& record;
    SavePoolRecord save;
  };
  absl::StatusOr<std::vector<PoolSubsystem>> Gather(const Looker& looker,
                                                    NamespaceBackend::Held held);
  // The namespace is not a volume.
  absl::StatusOr<NamespaceLook> LookAt(const Looker& looker, const NvmeSubsystem& subsystem,
                                       const NvmeNamespaceState& space);
  absl::StatusOr<NamespaceLook> LookAtDevice(const Looker& looker, const std::string& device);
  absl::StatusOr<NamespaceLook> LookAtDetached(const Looker& looker, const NvmeSubsystem& subsystem,
                                               const NvmeNamespaceState& space);

  const PoolEnvironment& env_;
  NvmeSubsystems& nvme_;
  const std::shared_ptr<NamespaceBackend> backend_;
  PoolSpec seen_;                                  // for which the following holds
  std::map<std::string, NamespaceLook> detached_;  // what was found on namespaces that are detached
  std::vector<std::string> devices_, refused_, waiting_;  // of the last look
};

}  // namespace ashlar::node_agent
