#include "controller/volume/volume_locality.h"

#include <algorithm>
#include <iterator>

namespace ashlar::controller {
namespace {

// From near to far; what is none of these is not known.
constexpr absl::string_view kLevels[] = {"Switch", "Root", "NUMANode", "System"};

size_t Farness(absl::string_view level) {
  return std::find(std::begin(kLevels), std::end(kLevels), level) - std::begin(kLevels);
}

// A drive with several namespaces is called by the serial of its controller; they are equally near.
bool Is(const agent::v1::Drive& drive, const std::string& id) {
  return drive.id() == id || drive.serial() == id;
}

// The number of a level; that of none if no way is known.
size_t Between(const agent::v1::Inventory& inventory, const std::string& drive,
               const std::string& gpu) {
  size_t nearest = std::size(kLevels);
  for (const agent::v1::Drive& known : inventory.drives()) {
    if (!Is(known, drive)) continue;
    for (const v1alpha1::GpuDrivePath& path : inventory.paths())
      if (path.drive() == known.id() && path.gpu() == gpu)
        nearest = std::min(nearest, Farness(path.level()));
  }
  return nearest;
}

}  // namespace

void ObserveLocality(const agent::v1::Inventory& inventory, absl::Time now,
                     v1alpha1::Volume& volume) {
  const std::string& drive = volume.status().device().drive();
  const auto& gpus = volume.spec().near().gpus();
  v1alpha1::VolumeStatus& status = *volume.mutable_status();
  if (gpus.empty() || drive.empty()) return status.clear_locality();
  size_t farthest = 0;
  for (const std::string& gpu : gpus) farthest = std::max(farthest, Between(inventory, drive, gpu));
  if (farthest == std::size(kLevels)) return;
  v1alpha1::VolumeLocality locality;
  locality.set_level(std::string(kLevels[farthest]));
  locality.set_drive(drive);
  *locality.mutable_gpus() = gpus;
  *locality.mutable_since() = status.locality().since();
  if (status.has_locality() &&
      locality.SerializeAsString() == status.locality().SerializeAsString())
    return;
  locality.clear_since();
  locality.mutable_since()->set_seconds(absl::ToUnixSeconds(now));
  *status.mutable_locality() = std::move(locality);
}

}  // namespace ashlar::controller
