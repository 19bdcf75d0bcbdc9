#include "controller/node_inventory/drive_status.h"

#include <iterator>

namespace ashlar::controller {
namespace {

v1alpha1::DrivePath PathOf(const agent::v1::DrivePath& from) {
  v1alpha1::DrivePath path;
  path.set_controller(from.controller());
  path.set_pcie_root(from.pcie_root());
  *path.mutable_pci() = from.pci();
  path.set_numa_node(from.numa_node());
  path.set_link_speed(from.link_speed());
  path.set_max_link_speed(from.max_link_speed());
  if (from.link_width() > 0) path.set_link_width(from.link_width());
  if (from.max_link_width() > 0) path.set_max_link_width(from.max_link_width());
  path.set_iommu_group(from.iommu_group());
  if (!from.iommu_group().empty()) path.set_iommu_translates(from.iommu_translates());
  return path;
}

v1alpha1::LbaFormat FormatOf(const agent::v1::LbaFormat& from) {
  static constexpr const char* kPerformance[] = {"Best", "Better", "Good", "Degraded"};
  v1alpha1::LbaFormat format;
  format.set_index(from.index());
  format.set_data_bytes(from.data_bytes());
  format.set_metadata_bytes(from.metadata_bytes());
  format.set_performance(kPerformance[from.relative_performance() & 3]);
  format.set_in_use(from.in_use());
  return format;
}

v1alpha1::NvmeFacts NvmeOf(const agent::v1::NvmeFacts& from) {
  v1alpha1::NvmeFacts facts;
  if (from.namespace_id() > 0) facts.set_namespace_id(from.namespace_id());
  facts.set_eui64(from.eui64());
  facts.set_nguid(from.nguid());
  facts.set_uuid(from.uuid());
  for (const agent::v1::LbaFormat& format : from.lba_formats())
    *facts.add_lba_formats() = FormatOf(format);
  facts.set_namespace_management(from.namespace_management());
  if (from.sanitize_crypto()) facts.add_erase("SanitizeCrypto");
  if (from.sanitize_block()) facts.add_erase("SanitizeBlock");
  if (from.sanitize_overwrite()) facts.add_erase("SanitizeOverwrite");
  if (from.format_crypto()) facts.add_erase("FormatCrypto");
  if (from.capacity_bytes() == 0) return facts;
  facts.set_capacity(from.capacity_bytes());
  facts.set_unallocated(from.unallocated_bytes());
  return facts;
}

v1alpha1::DriveHealth HealthOf(const agent::v1::DriveHealth& from) {
  // By bit of the SMART log's byte 0.
  static constexpr const char* kWarnings[] = {"SpareLow", "Temperature",  "Degraded",
                                              "ReadOnly", "BackupFailed", "PersistentMemory"};
  v1alpha1::DriveHealth health;
  for (size_t bit = 0; bit < std::size(kWarnings); ++bit)
    if ((from.critical_warnings() >> bit & 1) != 0) health.add_warnings(kWarnings[bit]);
  if (from.temperature_celsius() != 0) health.set_temperature_celsius(from.temperature_celsius());
  health.set_used_percent(from.used_percent());
  health.set_spare_percent(from.spare_percent());
  health.set_spare_threshold_percent(from.spare_threshold_percent());
  health.set_media_errors(from.media_errors());
  return health;
}

}  // namespace

v1alpha1::Drive DriveOf(const agent::v1::Drive& from) {
  v1alpha1::Drive drive;
  drive.set_id(from.id());
  drive.set_device(from.device());
  drive.set_serial(from.serial());
  drive.set_wwid(from.wwid());
  drive.set_model(from.model());
  drive.set_transport(from.transport());
  drive.set_size(from.size_bytes());
  drive.set_logical_block_bytes(from.logical_block_bytes());
  drive.set_physical_block_bytes(from.physical_block_bytes());
  drive.set_rotational(from.rotational());
  drive.set_numa_node(from.numa_node());
  drive.set_pci_address(from.pci_address());
  drive.set_firmware(from.firmware());
  for (const agent::v1::DrivePath& path : from.paths()) *drive.add_paths() = PathOf(path);
  if (from.has_nvme()) *drive.mutable_nvme() = NvmeOf(from.nvme());
  if (from.has_health()) *drive.mutable_health() = HealthOf(from.health());
  drive.set_pool(from.pool());
  drive.set_reason(from.busy_reason());
  drive.set_state(!from.pool().empty() ? "Pool" : from.busy_reason().empty() ? "Free" : "InUse");
  return drive;
}

}  // namespace ashlar::controller
