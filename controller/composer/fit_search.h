// FitSearch: the cheapest choice of devices of one node for a FitProblem, by branch and bound.
//
// Exact: if it ends within its steps, no choice costs less (FitCost), and if it finds none there is
// none. Choices that differ only by an exchange of equal devices or of equal requests are looked at
// once. What it does with equal input is always the same.
#pragma once

#include <optional>

#include "controller/composer/fit_problem.h"

namespace ashlar::composer {

struct FitChoice {
  int device = -1;
  int profile = -1;
  MigPlacement placement;
  friend auto operator<=>(const FitChoice&, const FitChoice&) = default;
};

struct FitAnswer {
  bool found = false;
  bool proven = true;  // false: the steps ended; there may be a cheaper choice, or one at all
  FitCost cost;
  std::vector<FitChoice> choices;  // by unit
  std::vector<Level> reached;      // by bond
};

// Holds the part to a device: its first unit must use it. A start of -1: anywhere on it.
struct FitPin {
  int part = 0;
  int device = 0;
  int start = -1;
};

struct FitOptions {
  int steps = 50'000;
  std::optional<FitPin> pin;
  bool any = false;          // the first fit will do, whatever it costs
  bool levels_only = false;  // of fits that miss as few levels, the first that is found will do
};

FitAnswer SearchFit(const NodeDevices& node, const std::vector<MigLayout>& layouts,
                    const FitProblem& problem, const FitOptions& options = {});

// What the choices give to one member of the problem.
Grants GrantsOf(const FitProblem& problem, const FitAnswer& answer, const NodeDevices& node,
                int member);

// Whether the request may use the GPU at all, whatever is free of it.
bool MayUse(const GpuRequest& request, const Gpu& gpu, const std::vector<MigLayout>& layouts);
// Whether the NIC is such as is asked for, however many use it.
bool Serves(const Nic& nic, const NicRequest& request);
// Whether the drive can hold the volume now, by itself.
bool CanHold(const Drive& drive, const DriveRequest& request, int64_t bytes,
             int64_t allocatable_bytes);

}  // namespace ashlar::composer
