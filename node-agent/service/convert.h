// Between the messages of proto/ashlar/agent/v1 and the agent's own types. Pure.
#pragma once

#include "absl/status/statusor.h"
#include "ashlar/agent/v1/node_agent.pb.h"
#include "node-agent/volume/inventory_feed.h"

namespace ashlar::node_agent {

// InvalidArgument: the mode is not set or unknown.
absl::StatusOr<VolumeMode> ModeFromProto(agent::v1::VolumeMode mode);
agent::v1::VolumeMode ModeToProto(VolumeMode mode);
absl::StatusOr<PoolSpec> SpecFromProto(const agent::v1::EnsurePoolRequest& request);
agent::v1::PoolState ToProto(const PoolStatus& status);
absl::StatusOr<VolumeAttributes> AttributesFromProto(const agent::v1::VolumeAttributes& attributes);
agent::v1::VolumeAttributes ToProto(const VolumeAttributes& attributes);
agent::v1::VolumeState ToProto(const VolumeStatus& status);
agent::v1::Drive ToProto(const DriveReport& report);
agent::v1::PodQuestion ToProto(const PodQuestion& question);
std::vector<PodDevice> DevicesFromProto(const agent::v1::PodAnswer& answer);
agent::v1::GpuPartitionState ToProto(const GpuPartition& part);
void Fill(const MachineReport& machine, agent::v1::Inventory& inventory);

}  // namespace ashlar::node_agent
