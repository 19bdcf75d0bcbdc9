// The devices of a node that placement deals with, and how near they are to one another. Plain
// facts: whoever gathers them subtracts what is promised and not yet visible.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "controller/composer/mig_layout.h"

namespace ashlar::composer {

// How near two devices are, the nearest first.
enum class Level { kSwitch, kRoot, kNuma, kSystem };

// "Switch", "Root", "NUMANode" or "System", as the API says.
absl::string_view LevelName(Level level);

// Where a device is: numbers within its node (NodeDevices::switches and ::roots). -1: in none, or
// not known.
struct Place {
  int pcie_switch = -1;
  int pcie_root = -1;
  int numa_node = -1;
  friend bool operator==(const Place&, const Place&) = default;
};

// The first of switch, root and NUMA node that both have and share; System if they share none.
Level LevelBetween(const Place& a, const Place& b);

struct Gpu {
  std::string name;  // UUID
  std::string product;
  Place place;
  int clique = -1;          // NVLink clique; -1: none
  std::string problem;      // why it takes nothing new; empty: nothing stands against it
  bool gives_whole = true;  // it may be given undivided
  int layout = -1;          // of Inventory::layouts; -1: it cannot be divided
  bool taken = false;       // given undivided
  MigOccupancy used;
};

// A drive, or a pool of which every byte is in the same place.
struct Drive {
  std::string name;
  Place place;
  std::string problem;
  std::vector<std::string> kinds;  // of volumes that it can hold
  int64_t capacity_bytes = 0;
  int64_t allocatable_bytes = 0;
};

struct Nic {
  std::string name;
  Place place;
  std::string problem;
  int free = 0;  // members that can use it beside those that do
  bool rdma = false;
  std::string link_layer;
  int speed_mbits = 0;  // 0: it does not tell
};

struct NodeDevices {
  std::string name;
  std::string problem;                        // why nothing is placed here; empty: usable
  std::map<std::string, std::string> labels;  // of topology: rack, block, ...
  std::vector<std::string> switches;          // names, by Place::pcie_switch
  std::vector<std::string> roots;             // names, by Place::pcie_root
  std::vector<Gpu> gpus;
  std::vector<Drive> drives;
  std::vector<Nic> nics;
};

struct Inventory {
  std::vector<MigLayout> layouts;
  std::vector<NodeDevices> nodes;  // each name once
};

// What one member gets of a node. Numbers are places in the vectors of the node and the request.
struct GpuGrant {
  int request = 0;
  int gpu = 0;
  int profile = -1;        // of the GPU's layout; -1: all of it
  MigPlacement placement;  // if a profile was asked for
  friend bool operator==(const GpuGrant&, const GpuGrant&) = default;
};
struct DriveGrant {
  int request = 0;
  int drive = 0;
  int64_t bytes = 0;  // a volume that takes a whole drive has all of its bytes
  friend bool operator==(const DriveGrant&, const DriveGrant&) = default;
};
struct NicGrant {
  int request = 0;
  int nic = 0;
  friend bool operator==(const NicGrant&, const NicGrant&) = default;
};
struct Grants {
  std::vector<GpuGrant> gpus;
  std::vector<DriveGrant> drives;
  std::vector<NicGrant> nics;
  friend bool operator==(const Grants&, const Grants&) = default;
};

// Takes the grants from what is free of the node, or adds them to it. The grants must be free, or
// in use.
void Occupy(NodeDevices& node, const std::vector<MigLayout>& layouts, const Grants& grants);
void GiveBack(NodeDevices& node, const std::vector<MigLayout>& layouts, const Grants& grants);

// What of a GPU can be used still, as MigLayout::Value counts it. 0: nothing.
int64_t ValueOf(const Gpu& gpu, const std::vector<MigLayout>& layouts);

}  // namespace ashlar::composer
