// Drive: what is known of a drive of this machine. Values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lib/system/block_probe.h"
#include "lib/system/nvme_pages.h"

namespace ashlar::node_agent {

// A way from a processor to a drive. A drive of several NVMe controllers has several.
struct DrivePath {
  std::string controller;        // nvme0; empty where the controller has no name
  std::string pcie_root;         // root complex: pci0000:40
  std::vector<std::string> pci;  // addresses from the root port over switches to the controller
  int32_t numa_node = -1;
  std::string link_speed;  // "16.0 GT/s", of the controller's link at the moment
  std::string max_link_speed;
  int32_t link_width = 0;  // lanes; 0: not known
  int32_t max_link_width = 0;
  std::string iommu_group;        // its number; empty: no IOMMU is in the way
  bool iommu_translates = false;  // false with a group: addresses pass through

  // Of the controller; empty without PCI.
  std::string pci_address() const { return pci.empty() ? "" : pci.back(); }
  bool operator==(const DrivePath&) const = default;
};

// What only an NVMe drive tells.
struct NvmeFacts {
  uint32_t nsid = 0;
  std::string eui64;
  std::string nguid;
  std::string uuid;
  std::vector<sys::LbaFormat> lba_formats;
  // Of the controller; all that it says of itself but names.
  bool namespace_management = false;
  bool format_crypto_erase = false;
  bool sanitize_crypto_erase = false;
  bool sanitize_block_erase = false;
  bool sanitize_overwrite = false;
  int64_t capacity_bytes = 0;
  int64_t unallocated_bytes = 0;
  bool operator==(const NvmeFacts&) const = default;
};

// What does not change by itself. A fact that the system does not tell is empty, 0 or absent.
struct DriveFacts {
  std::string id;      // wwid, else serial, else the device path; unique on this machine
  std::string device;  // /dev/nvme0n1
  std::string serial;
  std::string wwid;  // empty if the drive tells none, or zeros
  std::string model;
  std::string firmware;
  std::string transport;  // nvme, sata, sas, usb, virtio, loop
  int64_t size_bytes = 0;
  int32_t logical_block_bytes = 0;
  int32_t physical_block_bytes = 0;
  bool rotational = false;
  int32_t numa_node = -1;        // of the first path
  std::string pci_address;       // of the first path
  std::vector<DrivePath> paths;  // by the controller's PCI address
  std::optional<NvmeFacts> nvme;
  std::string busy_reason;  // why it is not proven free; empty: it is free
  bool operator==(const DriveFacts&) const = default;
};

struct Drive : DriveFacts {
  sys::Signature signature;
  std::optional<sys::NvmeHealth> health;
};

}  // namespace ashlar::node_agent
