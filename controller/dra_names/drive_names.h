// Names of the driver nvme.ashlar.dev: its devices, which are the drives of pools, and their
// attributes. The pool of a node's devices has the node's name. Standard attributes and the
// switch's are those of device_names.h. Pure.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace ashlar::controller {

inline constexpr char kNvmeDriver[] = "nvme.ashlar.dev";  // its DeviceClass has this name, too

inline constexpr char kPoolAttribute[] = "pool";    // name of the Pool that carves
inline constexpr char kDriveAttribute[] = "drive";  // id in NodeInventory.status.drives
inline constexpr char kModelAttribute[] = "model";
inline constexpr char kSerialAttribute[] = "serial";
inline constexpr char kTransportAttribute[] = "transport";
inline constexpr char kRotationalAttribute[] = "rotational";          // bool
inline constexpr char kPcieGenerationAttribute[] = "pcieGeneration";  // int, of the link now
inline constexpr char kPcieLanesAttribute[] = "pcieLanes";            // int
inline constexpr char kStorageCapacity[] = "storage";                 // bytes

// Of a Volume: uid, and NAMESPACE/NAME, of the ResourceClaim that it was carved for.
inline constexpr char kClaimUidLabel[] = "ashlar.dev/resource-claim-uid";
inline constexpr char kClaimAnnotation[] = "ashlar.dev/resource-claim";

// A DNS label of at most 63 characters that follows from the id alone: what can be read of it, and
// a hash: drive-s4nz0r1234-91d27a1f03bc5e6a. Different ids have different names.
std::string DriveDeviceName(absl::string_view drive_id);

}  // namespace ashlar::controller
