// FitProblem: what several members ask of one node together, in the form in which fit_search.h
// looks for it. Borrows the requests that it was made from.
#pragma once

#include <vector>

#include "controller/composer/member_request.h"

namespace ashlar::composer {

enum class DeviceKind { kGpu, kDrive, kNic };

// One request of one member.
struct FitPart {
  DeviceKind kind = DeviceKind::kGpu;
  int member = 0;   // among the members of the problem
  int request = 0;  // among the member's requests of this kind
  const GpuRequest* gpu = nullptr;
  const DriveRequest* drive = nullptr;
  const NicRequest* nic = nullptr;
  int64_t bytes = 0;       // of a drive
  std::vector<int> bonds;  // that it is part of
};

// A constraint of one member.
struct FitBond {
  int member = 0;
  int constraint = 0;  // among the member's constraints
  Level level = Level::kSystem;
  Enforcement enforcement = Enforcement::kRequired;
  std::vector<int> parts;
};

// One device to be chosen.
struct FitUnit {
  int part = 0;
  // An earlier unit that could change places with this one, or -1: of two such, the earlier takes
  // the device that comes first, so that each choice is looked at once.
  int twin = -1;
};

struct FitProblem {
  std::vector<FitPart> parts;
  std::vector<FitBond> bonds;
  std::vector<FitUnit> units;
  int members = 0;
};

// How many devices the part asks for.
int UnitsOf(const FitPart& part);

FitProblem MakeFitProblem(const std::vector<const MemberRequest*>& members);

}  // namespace ashlar::composer
