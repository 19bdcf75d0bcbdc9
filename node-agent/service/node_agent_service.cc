#include "node-agent/service/node_agent_service.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "node-agent/service/claim_convert.h"
#include "node-agent/service/convert.h"

namespace ashlar::node_agent {

namespace pb = agent::v1;

namespace {
constexpr absl::Duration kHeartbeat = absl::Seconds(10);
constexpr int kMostExtents = 1000;  // in one message

// Writes the first ranges, at most `most`, and takes them away.
absl::Status WriteExtents(int64_t snapshot_bytes, size_t most, std::vector<ByteRange>& ranges,
                          rpc::ServerStream<pb::Extents>& stream) {
  pb::Extents message;
  message.set_snapshot_bytes(snapshot_bytes);
  const auto end = ranges.begin() + static_cast<ptrdiff_t>(std::min(most, ranges.size()));
  for (auto range = ranges.begin(); range != end; ++range) {
    pb::Extent& extent = *message.add_extents();
    extent.set_offset_bytes(range->offset);
    extent.set_size_bytes(range->bytes);
  }
  ranges.erase(ranges.begin(), end);
  return stream.Write(message);
}
}  // namespace

pb::Inventory NodeAgentService::Describe(const InventorySnapshot& snapshot) const {
  pb::Inventory inventory;
  inventory.set_node(facts_.node);
  inventory.set_agent_version(facts_.agent_version);
  inventory.set_boot_id(facts_.boot_id);
  inventory.set_kernel(facts_.kernel);
  for (const DriveReport& drive : snapshot.drives) *inventory.add_drives() = ToProto(drive);
  for (const PoolStatus& pool : snapshot.pools) *inventory.add_pools() = ToProto(pool);
  for (const VolumeStatus& volume : snapshot.volumes) *inventory.add_volumes() = ToProto(volume);
  Fill(snapshot.machine, inventory);
  for (const ClaimStatus& claim : snapshot.claims) *inventory.add_claims() = ToProto(claim);
  for (const PodQuestion& question : snapshot.pod_questions)
    *inventory.add_pod_questions() = ToProto(question);
  inventory.set_revision(snapshot.revision);
  return inventory;
}

absl::Status NodeAgentService::Watch(const CallContext& call,
                                     const pb::WatchInventoryRequest& request,
                                     rpc::ServerStream<pb::Inventory>& stream) {
  const absl::Duration heartbeat =
      request.heartbeat_seconds() > 0 ? absl::Seconds(request.heartbeat_seconds()) : kHeartbeat;
  uint64_t seen = 0;
  for (;;) {
    ASHLAR_ASSIGN_OR_RETURN(const std::shared_ptr<const InventorySnapshot> snapshot,
                            feed_.Await(call, seen, clock_.Now() + heartbeat));
    seen = snapshot->revision;
    ASHLAR_RETURN_IF_ERROR(stream.Write(Describe(*snapshot)));
  }
}

grpc::ServerWriteReactor<pb::Inventory>* NodeAgentService::WatchInventory(
    grpc::CallbackServerContext* context, const pb::WatchInventoryRequest* request) {
  return runner_.Stream<pb::Inventory>(
      context, *request,
      [this](const CallContext& call, const pb::WatchInventoryRequest& watch,
             rpc::ServerStream<pb::Inventory>& stream) { return Watch(call, watch, stream); });
}

grpc::ServerUnaryReactor* NodeAgentService::EnsurePool(grpc::CallbackServerContext* context,
                                                       const pb::EnsurePoolRequest* request,
                                                       pb::PoolState* response) {
  return runner_.Unary(context, *request, *response,
                       [this](const CallContext& call,
                              const pb::EnsurePoolRequest& pool) -> absl::StatusOr<pb::PoolState> {
                         ASHLAR_ASSIGN_OR_RETURN(const PoolSpec spec, SpecFromProto(pool));
                         absl::StatusOr<PoolStatus> status =
                             metrics_.Measure("ensure_pool", BackendName(spec.backend),
                                              [&] { return pools_.Ensure(call, spec); });
                         ASHLAR_RETURN_IF_ERROR(status.status());
                         if (status->ready)
                           ASHLAR_RETURN_IF_ERROR(volumes_.Adopt(call, pool.name()));
                         for (const VolumeStatus& volume : volumes_.List())
                           if (volume.facts.pool == pool.name()) ++status->volumes;
                         feed_.Poke();
                         return ToProto(*status);
                       });
}

grpc::ServerUnaryReactor* NodeAgentService::RemovePool(grpc::CallbackServerContext* context,
                                                       const pb::RemovePoolRequest* request,
                                                       pb::RemovePoolResponse* response) {
  return runner_.Unary(
      context, *request, *response,
      [this](const CallContext& call,
             const pb::RemovePoolRequest& pool) -> absl::StatusOr<pb::RemovePoolResponse> {
        ASHLAR_RETURN_IF_ERROR(metrics_.Measure("remove_pool", metrics_.BackendOf(pool.name()),
                                                [&] { return pools_.Remove(call, pool.name()); }));
        feed_.Poke();
        return pb::RemovePoolResponse();
      });
}

grpc::ServerUnaryReactor* NodeAgentService::EnsureVolume(grpc::CallbackServerContext* context,
                                                         const pb::EnsureVolumeRequest* request,
                                                         pb::VolumeState* response) {
  return runner_.Unary(
      context, *request, *response,
      [this](const CallContext& call,
             const pb::EnsureVolumeRequest& volume) -> absl::StatusOr<pb::VolumeState> {
        EnsureVolumeArgs args{volume.volume_id(), volume.pool(),  volume.size_bytes(), {},
                              volume.fs_type(),   volume.source()};
        ASHLAR_ASSIGN_OR_RETURN(args.mode, ModeFromProto(volume.mode()));
        args.drive = volume.drive();
        ASHLAR_ASSIGN_OR_RETURN(const VolumeStatus status,
                                metrics_.Measure("carve", metrics_.BackendOf(volume.pool()),
                                                 [&] { return volumes_.Ensure(call, args); }));
        feed_.Poke();
        return ToProto(status);
      });
}

grpc::ServerUnaryReactor* NodeAgentService::ResizeVolume(grpc::CallbackServerContext* context,
                                                         const pb::ResizeVolumeRequest* request,
                                                         pb::VolumeState* response) {
  return runner_.Unary(
      context, *request, *response,
      [this](const CallContext& call,
             const pb::ResizeVolumeRequest& volume) -> absl::StatusOr<pb::VolumeState> {
        ASHLAR_ASSIGN_OR_RETURN(const VolumeStatus status,
                                metrics_.Measure("resize", BackendOf(volume.volume_id()), [&] {
                                  return volumes_.Resize(call, volume.volume_id(),
                                                         volume.size_bytes());
                                }));
        feed_.Poke();
        return ToProto(status);
      });
}

grpc::ServerUnaryReactor* NodeAgentService::ModifyVolume(grpc::CallbackServerContext* context,
                                                         const pb::ModifyVolumeRequest* request,
                                                         pb::VolumeState* response) {
  return runner_.Unary(
      context, *request, *response,
      [this](const CallContext& call,
             const pb::ModifyVolumeRequest& volume) -> absl::StatusOr<pb::VolumeState> {
        ASHLAR_ASSIGN_OR_RETURN(const VolumeAttributes attributes,
                                AttributesFromProto(volume.attributes()));
        ASHLAR_ASSIGN_OR_RETURN(VolumeStatus status,
                                metrics_.Measure("modify", BackendOf(volume.volume_id()), [&] {
                                  return volumes_.Modify(call, volume.volume_id(), attributes);
                                }));
        ASHLAR_RETURN_IF_ERROR(limits_.Refresh(call));
        status.attributes_message = limits_.Problem(volume.volume_id());
        feed_.Poke();
        return ToProto(status);
      });
}

grpc::ServerUnaryReactor* NodeAgentService::RemoveVolume(grpc::CallbackServerContext* context,
                                                         const pb::RemoveVolumeRequest* request,
                                                         pb::RemoveVolumeResponse* response) {
  return runner_.Unary(
      context, *request, *response,
      [this](const CallContext& call,
             const pb::RemoveVolumeRequest& volume) -> absl::StatusOr<pb::RemoveVolumeResponse> {
        ASHLAR_RETURN_IF_ERROR(metrics_.Measure("remove", BackendOf(volume.volume_id()), [&] {
          return volumes_.Remove(call, volume.volume_id());
        }));
        feed_.Poke();
        return pb::RemoveVolumeResponse();
      });
}

grpc::ServerUnaryReactor* NodeAgentService::EnsureSnapshots(
    grpc::CallbackServerContext* context, const pb::EnsureSnapshotsRequest* request,
    pb::EnsureSnapshotsResponse* response) {
  return runner_.Unary(
      context, *request, *response,
      [this](const CallContext& call, const pb::EnsureSnapshotsRequest& wanted)
          -> absl::StatusOr<pb::EnsureSnapshotsResponse> {
        std::vector<SnapshotArgs> args;
        for (const pb::SnapshotToTake& snapshot : wanted.snapshots())
          args.push_back({snapshot.snapshot_id(), snapshot.volume_id()});
        ASHLAR_ASSIGN_OR_RETURN(
            const std::vector<VolumeStatus> statuses,
            metrics_.Measure("snapshot",
                             args.empty() ? std::string() : BackendOf(args.front().source),
                             [&] { return volumes_.EnsureSnapshots(call, args); }));
        feed_.Poke();
        pb::EnsureSnapshotsResponse made;
        for (const VolumeStatus& status : statuses) *made.add_snapshots() = ToProto(status);
        return made;
      });
}

grpc::ServerUnaryReactor* NodeAgentService::RemoveSnapshot(grpc::CallbackServerContext* context,
                                                           const pb::RemoveSnapshotRequest* request,
                                                           pb::RemoveSnapshotResponse* response) {
  return runner_.Unary(
      context, *request, *response,
      [this](const CallContext& call, const pb::RemoveSnapshotRequest& snapshot)
          -> absl::StatusOr<pb::RemoveSnapshotResponse> {
        ASHLAR_RETURN_IF_ERROR(metrics_.Measure(
            "remove_snapshot", BackendOf(snapshot.snapshot_id()),
            [&] { return volumes_.Remove(call, snapshot.snapshot_id(), VolumeKind::kSnapshot); }));
        feed_.Poke();
        return pb::RemoveSnapshotResponse();
      });
}

grpc::ServerWriteReactor<pb::Extents>* NodeAgentService::ListExtents(
    grpc::CallbackServerContext* context, const pb::ListExtentsRequest* request) {
  return runner_.Stream<pb::Extents>(
      context, *request,
      [this](const CallContext& call, const pb::ListExtentsRequest& wanted,
             rpc::ServerStream<pb::Extents>& stream) -> absl::Status {
        if (wanted.max_extents() < 0)
          return absl::InvalidArgumentError(
              absl::StrCat("max_extents is ", wanted.max_extents(), "; it must not be negative"));
        const int most =
            wanted.max_extents() == 0 ? kMostExtents : std::min(wanted.max_extents(), kMostExtents);
        ASHLAR_ASSIGN_OR_RETURN(
            SnapshotExtents extents,
            volumes_.OpenExtents(call, wanted.snapshot_id(), wanted.base_snapshot_id(),
                                 wanted.starting_offset()));
        std::vector<ByteRange> ranges;
        while (!extents.AtEnd()) {
          ASHLAR_RETURN_IF_ERROR(CheckContext(clock_, call));
          ASHLAR_ASSIGN_OR_RETURN(const std::vector<ByteRange> next, extents.Next());
          AppendRanges(ranges, next);
          // The last one may go on in what is read next.
          while (ranges.size() > static_cast<size_t>(most))
            ASHLAR_RETURN_IF_ERROR(WriteExtents(extents.snapshot_bytes(), most, ranges, stream));
        }
        return WriteExtents(extents.snapshot_bytes(), most, ranges, stream);
      });
}

grpc::ServerUnaryReactor* NodeAgentService::ListVolumes(grpc::CallbackServerContext* context,
                                                        const pb::ListVolumesRequest* request,
                                                        pb::ListVolumesResponse* response) {
  return runner_.Unary(
      context, *request, *response,
      [this](const CallContext&,
             const pb::ListVolumesRequest&) -> absl::StatusOr<pb::ListVolumesResponse> {
        pb::ListVolumesResponse list;
        for (const VolumeStatus& volume : volumes_.List()) *list.add_volumes() = ToProto(volume);
        return list;
      });
}

}  // namespace ashlar::node_agent
