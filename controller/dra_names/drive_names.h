// Names of the driver nvme.ashlar.dev: its devices, which are the drives of pools and the volumes
// that are offered as they are, and their attributes. The pool of a node's devices has the node's
// name. Standard attributes, the type's and the switch's are those of device_names.h. Pure.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace ashlar::controller {

inline constexpr char kNvmeDriver[] = "nvme.ashlar.dev";  // its DeviceClass has this name, too

inline constexpr char kDriveType[] = "drive";  // of bytes: a claim gets a volume of its own
inline constexpr char kVolumeType[] = "volume";

inline constexpr char kPoolAttribute[] = "pool";    // name of the Pool that carves
inline constexpr char kDriveAttribute[] = "drive";  // id in NodeInventory.status.drives
inline constexpr char kModelAttribute[] = "model";
inline constexpr char kSerialAttribute[] = "serial";
inline constexpr char kTransportAttribute[] = "transport";
inline constexpr char kRotationalAttribute[] = "rotational";          // bool
inline constexpr char kPcieGenerationAttribute[] = "pcieGeneration";  // int, of the link now
inline constexpr char kPcieLanesAttribute[] = "pcieLanes";            // int
inline constexpr char kStorageCapacity[] = "storage";                 // bytes
// Of volumes; they have no kStorageCapacity, so that who asks for bytes never gets one.
inline constexpr char kVolumeAttribute[] = "volume";  // name of the Volume
inline constexpr char kModeAttribute[] = "mode";      // Filesystem or Block
inline constexpr char kFsTypeAttribute[] = "fsType";
inline constexpr char kReadOnlyAttribute[] = "readOnly";  // bool
inline constexpr char kClaimNamespaceAttribute[] =
    "claimNamespace";  // of the PersistentVolumeClaim
inline constexpr char kClaimNameAttribute[] = "claimName";
inline constexpr char kSizeCapacity[] = "size";  // bytes

// Of a Volume: uid, and NAMESPACE/NAME, of the ResourceClaim that it was carved for.
inline constexpr char kClaimUidLabel[] = "ashlar.dev/resource-claim-uid";
inline constexpr char kClaimAnnotation[] = "ashlar.dev/resource-claim";

// A DNS label of at most 63 characters that follows from the id alone: what can be read of it, and
// a hash: drive-s4nz0r1234-91d27a1f03bc5e6a. Different ids have different names.
std::string DriveDeviceName(absl::string_view drive_id);
// The same of a volume's name: volume-pvc1f2e3d-0c1b2a3948576655.
std::string VolumeDeviceName(absl::string_view volume);
// Whether VolumeDeviceName gave it.
bool IsVolumeDevice(absl::string_view device);

}  // namespace ashlar::controller
