// Names of the driver gpu.ashlar.dev: its devices and their attributes. Who publishes
// ResourceSlices writes them, who makes a ResourceClaim for one certain device selects by them.
// Pure.
//
// The pool of a node's devices has the node's name. A device's name follows from the UUID of its
// GPU and from nothing else that could change: not from the order of GPUs, nor from which of them
// answer. So a name that an allocation speaks of never becomes another device's.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace ashlar::controller {

inline constexpr char kGpuDriver[] = "gpu.ashlar.dev";  // its DeviceClass has this name, too

// Attributes of the driver; where NVIDIA's driver has the same, with its name and meaning. Every
// device has kTypeAttribute: a CEL expression that looks at it first meets no absent attribute.
inline constexpr char kTypeAttribute[] = "type";  // kWholeGpuType or kGpuPartType
inline constexpr char kWholeGpuType[] = "gpu";
inline constexpr char kGpuPartType[] = "mig";
inline constexpr char kUuidAttribute[] =
    "uuid";  // of whole GPUs: a part has none before it is made
inline constexpr char kProductAttribute[] = "productName";
inline constexpr char kArchitectureAttribute[] = "architecture";
inline constexpr char kCudaCapabilityAttribute[] = "cudaComputeCapability";
inline constexpr char kDriverVersionAttribute[] = "driverVersion";
inline constexpr char kCudaVersionAttribute[] = "cudaDriverVersion";
// Of parts alone.
inline constexpr char kParentAttribute[] = "parentUUID";
inline constexpr char kProfileAttribute[] = "profile";                // as NVML names it: 3g.40gb
inline constexpr char kPlacementStartAttribute[] = "placementStart";  // int, memory slices
inline constexpr char kPlacementSizeAttribute[] = "placementSize";
// Key of a taint (NoSchedule): the device is reserved for the Composition of the uid that is its
// value, whose claims tolerate it.
inline constexpr char kReservedTaint[] = "ashlar.dev/reserved";
// Capacities.
inline constexpr char kMemoryCapacity[] = "memory";
inline constexpr char kMultiprocessorsCapacity[] = "multiprocessors";
// Standard ones, which devices of several drivers share.
inline constexpr char kPciBusIdAttribute[] = "resource.kubernetes.io/pciBusID";
inline constexpr char kPcieRootAttribute[] = "resource.kubernetes.io/pcieRoot";
inline constexpr char kNumaNodeAttribute[] = "resource.kubernetes.io/numaNode";
// Address of the upstream port of the nearest switch. With a domain of its own, not the driver's,
// so that GPUs and drives can be matched by it.
inline constexpr char kPcieSwitchAttribute[] = "ashlar.dev/pcieSwitch";

// Names of devices: DNS labels, at most 63 characters. Equal arguments give equal names, different
// ones different names, also in later versions.
//
// gpu-7a1f03bc-91d2 for the GPU of UUID GPU-7a1f03bc-91d2-...
std::string GpuDeviceName(absl::string_view gpu_uuid);
// mig-7a1f03bc-91d2-3g-40gb-4-4 for the profile 3g.40gb at memory slices 4 to 7; + in a profile's
// name becomes -plus-, and - becomes -no-.
std::string GpuPartDeviceName(absl::string_view gpu_uuid, absl::string_view profile, int start,
                              int size);

// CEL expressions that hold for the one device, on whatever node it is.
std::string SelectGpu(absl::string_view gpu_uuid);
std::string SelectGpuPart(absl::string_view gpu_uuid, absl::string_view profile, int start,
                          int size);

}  // namespace ashlar::controller
