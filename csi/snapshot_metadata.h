// SnapshotMetadata: CSI's calls on which bytes of a snapshot were written, and which of them may
// differ from those of another snapshot of the volume; the agent of the snapshots' node tells.
// Thread-safe. Codes as in the CSI specification.
#pragma once

#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "ashlar/agent/v1/node_agent.pb.h"
#include "csi.pb.h"
#include "csi/snapshots.h"
#include "lib/rpc/call_runner.h"

namespace ashlar::csi_driver {

// The agents, or a fake of them.
class ExtentSource {
 public:
  using Receiver = absl::FunctionRef<absl::Status(const agent::v1::Extents&)>;

  virtual ~ExtentSource() = default;
  // ListExtents of the agent of the node: hands over the messages, in order, on the calling thread.
  // An error of `receive` ends the call and is returned.
  virtual absl::Status List(const CallContext& context, const std::string& node,
                            const agent::v1::ListExtentsRequest& request, Receiver receive) = 0;
};

class SnapshotMetadata {
 public:
  // Both must outlive this object.
  SnapshotMetadata(Snapshots& snapshots, ExtentSource& extents)
      : snapshots_(snapshots), extents_(extents) {}

  // NotFound: no such snapshot, or it was removed meanwhile. OutOfRange: starting_offset.
  // FailedPrecondition: the pool's backend cannot tell. Unavailable: the node's agent is away, or
  // the snapshot is not taken yet.
  absl::Status GetAllocated(const CallContext& context,
                            const csi::v1::GetMetadataAllocatedRequest& request,
                            rpc::ServerStream<csi::v1::GetMetadataAllocatedResponse>& stream);
  // Also InvalidArgument: the snapshots are of different volumes.
  absl::Status GetDelta(const CallContext& context, const csi::v1::GetMetadataDeltaRequest& request,
                        rpc::ServerStream<csi::v1::GetMetadataDeltaResponse>& stream);

 private:
  absl::StatusOr<v1alpha1::Snapshot> FindTaken(const CallContext& context, absl::string_view field,
                                               const std::string& id);
  template <class Response>
  absl::Status PassOn(const CallContext& context, const std::string& node,
                      const agent::v1::ListExtentsRequest& request,
                      rpc::ServerStream<Response>& stream);

  Snapshots& snapshots_;
  ExtentSource& extents_;
};

}  // namespace ashlar::csi_driver
