// InlineVolumesReconciler: tells in Volume objects of the inline volumes that were carved near the
// GPUs of their pods. A key is the name of a node. Thread-safe.
//
// Such a volume is its pod's and the agent's alone; its object (Volume.spec.pod) comes when the
// agent reports it and goes when the agent does so no more, or its node is gone. Nothing that
// anybody asks of the object is done: deleted, it is made anew.
#pragma once

#include <map>
#include <string>

#include "controller/agents/agent_directory.h"
#include "controller/objects/object_writer.h"
#include "controller/pool/node_offers.h"
#include "lib/base/clock.h"
#include "lib/runtime/cache.h"
#include "lib/runtime/reconciler.h"

namespace ashlar::controller {

// All must outlive the reconciler.
struct InlineVolumesParts {
  kube::Client& client;
  const runtime::Cache& volumes;
  ObjectWriter& volume_writer;
  const AgentDirectory& agents;
  const NodeOffers& nodes;
  Clock& clock;
};

class InlineVolumesReconciler final : public runtime::Reconciler {
 public:
  explicit InlineVolumesReconciler(const InlineVolumesParts& parts) : parts_(parts) {}

  absl::StatusOr<runtime::Action> Reconcile(const CallContext& context,
                                            const api::ObjectKey& key) override;

 private:
  absl::Status Tell(const CallContext& context, const AgentView& agent,
                    const agent::v1::VolumeState& state);

  const InlineVolumesParts parts_;
};

}  // namespace ashlar::controller
