#include "node-agent/service/convert.h"

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"

namespace ashlar::node_agent {

namespace pb = agent::v1;

absl::StatusOr<VolumeMode> ModeFromProto(pb::VolumeMode mode) {
  if (mode == pb::VOLUME_MODE_FILESYSTEM) return VolumeMode::kFilesystem;
  if (mode == pb::VOLUME_MODE_BLOCK) return VolumeMode::kBlock;
  return absl::InvalidArgumentError(
      absl::StrCat("mode is ", static_cast<int>(mode),
                   ": VOLUME_MODE_FILESYSTEM and VOLUME_MODE_BLOCK are accepted"));
}

pb::VolumeMode ModeToProto(VolumeMode mode) {
  return mode == VolumeMode::kBlock ? pb::VOLUME_MODE_BLOCK : pb::VOLUME_MODE_FILESYSTEM;
}

absl::StatusOr<PoolSpec> SpecFromProto(const pb::EnsurePoolRequest& request) {
  PoolSpec spec;
  ASHLAR_ASSIGN_OR_RETURN(spec.backend, BackendFromName(request.backend()));
  spec.name = request.name();
  spec.uid = request.uid();
  if (request.has_directory())
    spec.directory =
        DirectorySource{request.directory().path(), request.directory().capacity_bytes()};
  if (request.has_devices()) {
    const pb::DeviceSource& devices = request.devices();
    spec.devices.emplace();
    spec.devices->serials.assign(devices.serials().begin(), devices.serials().end());
    spec.devices->paths.assign(devices.paths().begin(), devices.paths().end());
    spec.devices->models.assign(devices.models().begin(), devices.models().end());
    spec.devices->transports.assign(devices.transports().begin(), devices.transports().end());
    spec.devices->min_size_bytes = devices.min_size_bytes();
    spec.devices->max_size_bytes = devices.max_size_bytes();
  }
  spec.sparse = request.provisioning() == pb::PROVISIONING_SPARSE;
  spec.reserve_bytes = request.reserve_bytes();
  spec.overprovision_percent =
      request.overprovision_percent() == 0 ? 100 : request.overprovision_percent();
  return spec;
}

pb::PoolState ToProto(const PoolStatus& status) {
  pb::PoolState state;
  state.set_name(status.name);
  state.set_uid(status.uid);
  state.set_ready(status.ready);
  state.set_reason(status.reason);
  state.set_message(status.message);
  state.set_capacity_bytes(status.usage.capacity_bytes);
  state.set_allocated_bytes(status.usage.allocated_bytes);
  state.set_allocatable_bytes(status.usage.allocatable_bytes);
  state.set_volumes(status.volumes);
  state.mutable_devices()->Assign(status.devices.begin(), status.devices.end());
  state.set_largest_volume_bytes(status.usage.largest_bytes);
  return state;
}

pb::VolumeState ToProto(const VolumeStatus& status) {
  pb::VolumeState state;
  state.set_volume_id(status.facts.id);
  state.set_pool(status.facts.pool);
  state.set_size_bytes(status.size_bytes);
  state.set_mode(ModeToProto(status.facts.mode));
  state.set_fs_type(status.facts.fs_type);
  state.set_device_path(status.path);
  state.set_extents(status.extents);
  state.set_staged(status.staged);
  state.set_publications(status.publications);
  state.set_healthy(status.healthy);
  state.set_message(status.message);
  return state;
}

pb::Drive ToProto(const DriveReport& report) {
  const Drive& drive = report.drive;
  pb::Drive out;
  out.set_id(drive.id);
  out.set_device(drive.device);
  out.set_serial(drive.serial);
  out.set_wwid(drive.wwid);
  out.set_model(drive.model);
  out.set_transport(drive.transport);
  out.set_size_bytes(drive.size_bytes);
  out.set_logical_block_bytes(drive.logical_block_bytes);
  out.set_physical_block_bytes(drive.physical_block_bytes);
  out.set_rotational(drive.rotational);
  out.set_numa_node(drive.numa_node);
  out.set_pci_address(drive.pci_address);
  out.set_pool(report.pool);
  if (report.pool.empty()) out.set_busy_reason(drive.busy_reason);
  return out;
}

}  // namespace ashlar::node_agent
