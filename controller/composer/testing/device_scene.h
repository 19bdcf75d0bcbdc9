// Nodes and requests for tests of the composer.
#pragma once

#include <string>
#include <vector>

#include "controller/composer/gang.h"

namespace ashlar::composer {

inline constexpr int64_t kGi = int64_t{1} << 30;

// Of GPUs with 80 GB and seven compute slices, as NVIDIA's MIG User Guide publishes it.
MigLayout A100Layout();

// GPU "gpuN" and drive "driveN", free, at a place.
Gpu GpuAt(int number, Place place);
Drive DriveAt(int number, Place place, int64_t bytes);

// Two sockets with two roots each, a switch below each root, and two GPUs and two drives of 1000Gi
// at each switch.
NodeDevices TwoSockets(const std::string& name);

// `gpus` GPUs and a volume.
MemberRequest GpusAndVolume(int gpus, int64_t bytes, Level level, Enforcement enforcement);

// Nothing if every member of the plan got just what it asked for, of free and healthy devices, with
// every required constraint met, the levels and the cost are as the plan says, and no device is
// given twice. Shares no code with the search.
std::string WrongIn(const Inventory& inventory, const GangRequest& request, const GangPlan& plan);

}  // namespace ashlar::composer
