#include "csi/snapshot_metadata.h"

#include "absl/strings/str_cat.h"
#include "csi/request_validation.h"
#include "lib/base/status_macros.h"

namespace ashlar::csi_driver {
namespace {

using v1alpha1::Snapshot;

absl::Status CheckPart(int64_t starting_offset, int32_t max_results) {
  if (starting_offset < 0)
    return absl::OutOfRangeError(
        absl::StrCat("starting_offset is ", starting_offset, "; it must not be negative"));
  if (max_results < 0)
    return absl::InvalidArgumentError(
        absl::StrCat("max_results is ", max_results, "; it must not be negative"));
  return absl::OkStatus();
}

agent::v1::ListExtentsRequest Ask(const std::string& snapshot, const std::string& base,
                                  int64_t starting_offset, int32_t max_results) {
  agent::v1::ListExtentsRequest request;
  request.set_snapshot_id(snapshot);
  request.set_base_snapshot_id(base);
  request.set_starting_offset(starting_offset);
  request.set_max_extents(max_results);
  return request;
}

// The specification's word for a storage system that does not keep track of blocks.
absl::Status AsCsi(const absl::Status& status) {
  if (!absl::IsUnimplemented(status)) return status;
  return absl::FailedPreconditionError(status.message());
}

}  // namespace

absl::StatusOr<Snapshot> SnapshotMetadata::FindTaken(const CallContext& context,
                                                     absl::string_view field,
                                                     const std::string& id) {
  if (id.empty()) return absl::InvalidArgumentError(absl::StrCat(field, " is required"));
  if (!IsObjectName(id))
    return absl::NotFoundError(absl::StrCat(field, ": there is none of that name"));
  ASHLAR_ASSIGN_OR_RETURN(Snapshot snapshot, snapshots_.Find(context, id));
  if (snapshot.status().has_size()) return snapshot;
  return absl::UnavailableError(absl::StrCat("snapshot ", id, " is not taken yet"));
}

template <class Response>
absl::Status SnapshotMetadata::PassOn(const CallContext& context, const std::string& node,
                                      const agent::v1::ListExtentsRequest& request,
                                      rpc::ServerStream<Response>& stream) {
  return AsCsi(extents_.List(context, node, request,
                             [&stream](const agent::v1::Extents& extents) -> absl::Status {
                               Response response;
                               response.set_block_metadata_type(csi::v1::VARIABLE_LENGTH);
                               response.set_volume_capacity_bytes(extents.snapshot_bytes());
                               for (const agent::v1::Extent& extent : extents.extents()) {
                                 csi::v1::BlockMetadata& block = *response.add_block_metadata();
                                 block.set_byte_offset(extent.offset_bytes());
                                 block.set_size_bytes(extent.size_bytes());
                               }
                               return stream.Write(response);
                             }));
}

absl::Status SnapshotMetadata::GetAllocated(
    const CallContext& context, const csi::v1::GetMetadataAllocatedRequest& request,
    rpc::ServerStream<csi::v1::GetMetadataAllocatedResponse>& stream) {
  ASHLAR_RETURN_IF_ERROR(CheckPart(request.starting_offset(), request.max_results()));
  ASHLAR_ASSIGN_OR_RETURN(const Snapshot snapshot,
                          FindTaken(context, "snapshot_id", request.snapshot_id()));
  return PassOn(context, snapshot.spec().node_name(),
                Ask(request.snapshot_id(), "", request.starting_offset(), request.max_results()),
                stream);
}

absl::Status SnapshotMetadata::GetDelta(
    const CallContext& context, const csi::v1::GetMetadataDeltaRequest& request,
    rpc::ServerStream<csi::v1::GetMetadataDeltaResponse>& stream) {
  ASHLAR_RETURN_IF_ERROR(CheckPart(request.starting_offset(), request.max_results()));
  ASHLAR_ASSIGN_OR_RETURN(const Snapshot base,
                          FindTaken(context, "base_snapshot_id", request.base_snapshot_id()));
  ASHLAR_ASSIGN_OR_RETURN(const Snapshot target,
                          FindTaken(context, "target_snapshot_id", request.target_snapshot_id()));
  if (base.spec().volume() != target.spec().volume())
    return absl::InvalidArgumentError(absl::StrCat(
        "base_snapshot_id is \"", request.base_snapshot_id(), "\", a snapshot of ",
        base.spec().volume(), "; target_snapshot_id is one of ", target.spec().volume()));
  return PassOn(context, target.spec().node_name(),
                Ask(request.target_snapshot_id(), request.base_snapshot_id(),
                    request.starting_offset(), request.max_results()),
                stream);
}

}  // namespace ashlar::csi_driver
