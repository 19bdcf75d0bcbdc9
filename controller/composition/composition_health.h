// What is wrong with the members of a Composition that has all of its devices: their nodes, GPUs,
// NICs and volumes. Pure.
#pragma once

#include <optional>
#include <string>

#include "absl/time/time.h"
#include "controller/composition/composition_plan.h"

namespace ashlar::controller {

// Sentences that name member, device and cause, in the order of the ranks; empty: nothing is
// wrong. Nothing: nobody can tell yet.
std::optional<std::string> TroubleOf(const CompositionFacts& facts, absl::Time now);

// Whether the device could still be the member's. Of a node that says nothing nobody knows better.
bool CouldHave(const composer::Inventory& inventory, const v1alpha1::ComposedMember& member,
               const v1alpha1::ComposedGPU& gpu);

}  // namespace ashlar::controller
