#include "node-agent/service/convert.h"

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"

namespace ashlar::node_agent {

namespace pb = agent::v1;
namespace {

void Fill(const DrivePath& path, pb::DrivePath& out) {
  out.set_controller(path.controller);
  out.set_pcie_root(path.pcie_root);
  out.mutable_pci()->Assign(path.pci.begin(), path.pci.end());
  out.set_numa_node(path.numa_node);
  out.set_link_speed(path.link_speed);
  out.set_max_link_speed(path.max_link_speed);
  out.set_link_width(path.link_width);
  out.set_max_link_width(path.max_link_width);
  out.set_iommu_group(path.iommu_group);
  out.set_iommu_translates(path.iommu_translates);
}

void Fill(const NvmeFacts& facts, pb::NvmeFacts& out) {
  out.set_namespace_id(facts.nsid);
  out.set_eui64(facts.eui64);
  out.set_nguid(facts.nguid);
  out.set_uuid(facts.uuid);
  for (const sys::LbaFormat& format : facts.lba_formats) {
    pb::LbaFormat& to = *out.add_lba_formats();
    to.set_index(format.index);
    to.set_data_bytes(format.data_bytes);
    to.set_metadata_bytes(format.metadata_bytes);
    to.set_relative_performance(format.relative_performance);
    to.set_in_use(format.in_use);
  }
  out.set_namespace_management(facts.namespace_management);
  out.set_sanitize_crypto(facts.sanitize_crypto_erase);
  out.set_sanitize_block(facts.sanitize_block_erase);
  out.set_sanitize_overwrite(facts.sanitize_overwrite);
  out.set_format_crypto(facts.format_crypto_erase);
  out.set_capacity_bytes(facts.capacity_bytes);
  out.set_unallocated_bytes(facts.unallocated_bytes);
}

void Fill(const sys::NvmeHealth& health, pb::DriveHealth& out) {
  out.set_critical_warnings(health.critical_warnings);
  out.set_temperature_celsius(health.temperature_celsius);
  out.set_used_percent(health.used_percent);
  out.set_spare_percent(health.available_spare_percent);
  out.set_spare_threshold_percent(health.spare_threshold_percent);
  out.set_media_errors(health.media_errors);
}

}  // namespace

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
  spec.wipe.assign(request.wipe().begin(), request.wipe().end());
  spec.drain.assign(request.drain().begin(), request.drain().end());
  spec.lvm = {request.lvm_stripes() == 0 ? 1 : request.lvm_stripes(), request.lvm_mirrors()};
  spec.inline_volume_max_bytes = request.inline_volume_max_bytes();
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
  for (const DriveUsage& drive : status.usage.drives) {
    pb::PoolDriveState& out = *state.add_drives();
    out.set_id(drive.id);
    out.set_capacity_bytes(drive.capacity_bytes);
    out.set_allocated_bytes(drive.allocated_bytes);
    out.set_allocatable_bytes(drive.allocatable_bytes);
    out.set_largest_volume_bytes(drive.largest_bytes);
  }
  return state;
}

absl::StatusOr<VolumeAttributes> AttributesFromProto(const pb::VolumeAttributes& attributes) {
  VolumeAttributes read;
  read.limits = {attributes.read_iops(), attributes.write_iops(),
                 attributes.read_bytes_per_second(), attributes.write_bytes_per_second()};
  switch (attributes.trim()) {
    case pb::TRIM_SCHEDULE_UNSPECIFIED:
    case pb::TRIM_SCHEDULE_WEEKLY:
      return read;
    case pb::TRIM_SCHEDULE_DAILY:
      read.trim = TrimSchedule::kDaily;
      return read;
    case pb::TRIM_SCHEDULE_NEVER:
      read.trim = TrimSchedule::kNever;
      return read;
    default:
      return absl::InvalidArgumentError(
          absl::StrCat("attributes.trim is ", static_cast<int>(attributes.trim()),
                       ": TRIM_SCHEDULE_NEVER, _DAILY and _WEEKLY are accepted"));
  }
}

pb::VolumeAttributes ToProto(const VolumeAttributes& attributes) {
  pb::VolumeAttributes out;
  out.set_read_iops(attributes.limits.read_iops);
  out.set_write_iops(attributes.limits.write_iops);
  out.set_read_bytes_per_second(attributes.limits.read_bytes_per_second);
  out.set_write_bytes_per_second(attributes.limits.write_bytes_per_second);
  out.set_trim(attributes.trim == TrimSchedule::kNever   ? pb::TRIM_SCHEDULE_NEVER
               : attributes.trim == TrimSchedule::kDaily ? pb::TRIM_SCHEDULE_DAILY
                                                         : pb::TRIM_SCHEDULE_WEEKLY);
  return out;
}

pb::VolumeState ToProto(const VolumeStatus& status) {
  pb::VolumeState state;
  state.set_volume_id(status.facts.id);
  state.set_pool(status.facts.pool);
  state.set_size_bytes(status.size_bytes);
  state.set_mode(ModeToProto(status.facts.mode));
  state.set_fs_type(status.facts.fs_type);
  state.set_device_path(status.path);
  state.set_drive(status.drive);
  state.set_extents(status.extents);
  state.set_staged(status.staged);
  state.set_publications(status.publications);
  state.set_healthy(status.healthy);
  state.set_reason(status.reason);
  state.set_message(status.message);
  state.set_snapshot(status.facts.kind == VolumeKind::kSnapshot);
  state.set_source(status.facts.source);
  state.set_inline_volume(status.facts.kind == VolumeKind::kInline);
  *state.mutable_attributes() = ToProto(status.attributes);
  state.set_attributes_message(status.attributes_message);
  if (!status.locality.gpus.empty()) {
    pb::VolumeLocality& locality = *state.mutable_locality();
    locality.mutable_gpus()->Assign(status.locality.gpus.begin(), status.locality.gpus.end());
    locality.set_level(status.locality.level);
    locality.set_pod_namespace(status.locality.pod_namespace);
    locality.set_pod_name(status.locality.pod_name);
  }
  if (!status.gpu_direct.mode.empty()) {
    state.mutable_gpu_direct()->set_mode(status.gpu_direct.mode);
    state.mutable_gpu_direct()->set_message(status.gpu_direct.message);
  }
  return state;
}

pb::PodQuestion ToProto(const PodQuestion& question) {
  pb::PodQuestion out;
  out.set_id(question.id);
  out.set_pod_namespace(question.pod_namespace);
  out.set_pod_uid(question.pod_uid);
  return out;
}

std::vector<PodDevice> DevicesFromProto(const pb::PodAnswer& answer) {
  std::vector<PodDevice> devices;
  for (const pb::PodClaimDevice& one : answer.devices())
    devices.push_back(
        {one.driver(), one.device(), one.uuid(), one.parent_uuid(), one.pci_address()});
  return devices;
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
  out.set_firmware(drive.firmware);
  for (const DrivePath& path : drive.paths) Fill(path, *out.add_paths());
  if (drive.nvme) Fill(*drive.nvme, *out.mutable_nvme());
  if (drive.health) Fill(*drive.health, *out.mutable_health());
  out.set_pool(report.pool);
  if (report.pool.empty()) out.set_busy_reason(drive.busy_reason);
  return out;
}

pb::GpuPartitionState ToProto(const GpuPartition& part) {
  pb::GpuPartitionState out;
  out.set_gpu(part.gpu);
  out.set_profile(part.profile);
  out.set_start(part.start);
  out.set_size(part.size);
  out.set_gpu_instance(part.gpu_instance);
  out.set_compute_instance(part.compute_instance);
  out.set_mig_device(part.mig_device);
  out.set_claim(part.claim);
  if (part.kept_until != absl::UnixEpoch())
    out.mutable_kept_until()->set_seconds(absl::ToUnixSeconds(part.kept_until));
  out.set_problem(part.problem);
  out.set_power_watts(part.power_watts);
  return out;
}

void Fill(const MachineReport& machine, pb::Inventory& inventory) {
  for (const GpuPartition& part : machine.partitions)
    *inventory.add_gpu_partitions() = ToProto(part);
  if (machine.gpus.driver.state().empty()) return;
  *inventory.mutable_gpu_driver() = machine.gpus.driver;
  inventory.mutable_gpus()->Assign(machine.gpus.gpus.begin(), machine.gpus.gpus.end());
  inventory.mutable_domains()->Assign(machine.domains.begin(), machine.domains.end());
  inventory.mutable_paths()->Assign(machine.paths.begin(), machine.paths.end());
  inventory.mutable_nics()->Assign(machine.nics.begin(), machine.nics.end());
  if (!machine.gpus.gpus.empty()) *inventory.mutable_gds() = machine.gds;
}

}  // namespace ashlar::node_agent
