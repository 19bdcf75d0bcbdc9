// What one member of a gang asks of the node that it will run on.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "controller/composer/node_devices.h"

namespace ashlar::composer {

struct GpuRequest {
  std::string name;
  int count = 1;
  std::string profile;                // empty: whole GPUs
  std::vector<std::string> products;  // what its selector selects; empty: all
  std::vector<std::string> gpus;      // the only ones that will do, by name; empty: all
  bool one_clique = false;            // all of one NVLink clique
};

struct DriveRequest {
  std::string name;
  int64_t bytes = 0;
  std::string kind;          // a drive must have it among its kinds; empty: any
  bool whole_drive = false;  // a drive on which nothing else is, and all of it
};

struct NicRequest {
  std::string name;
  int count = 1;           // different ones
  bool rdma = false;       // they must have an RDMA device
  std::string link_layer;  // what they must speak; empty: anything
  int min_speed_mbits = 0;
};

enum class Enforcement { kRequired, kPreferred };

// All devices of the requests are within the level of one another.
struct Constraint {
  std::vector<std::string> requests;  // names; unknown ones are as if they were not there
  Level level = Level::kSystem;
  Enforcement enforcement = Enforcement::kRequired;
};

struct MemberRequest {
  std::string name;  // of the member; requests have names of their own, each once
  std::vector<GpuRequest> gpus;
  std::vector<DriveRequest> drives;
  std::vector<NicRequest> nics;
  std::vector<Constraint> constraints;
};

// What a choice of devices costs; less is better, the first field decides first.
struct FitCost {
  int missed_levels = 0;        // by preferred constraints, summed
  int64_t gpu_value_lost = 0;   // MigLayout::Value before, less after
  int64_t drive_mebibytes = 0;  // allocatable beforehand on the drive of each volume, summed: the
                                // fullest that suffice are used first
  friend auto operator<=>(const FitCost&, const FitCost&) = default;
};

inline FitCost operator+(const FitCost& a, const FitCost& b) {
  return {a.missed_levels + b.missed_levels, a.gpu_value_lost + b.gpu_value_lost,
          a.drive_mebibytes + b.drive_mebibytes};
}

}  // namespace ashlar::composer
