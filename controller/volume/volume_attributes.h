// What may change of a Volume while it is in use (spec.limits, spec.trim): from the object to the
// agent, and from the agent's answers into the status. Pure.
#pragma once

#include <string>

#include "absl/time/time.h"
#include "ashlar/agent/v1/node_agent.pb.h"
#include "ashlar/v1alpha1/volume.pb.h"

namespace ashlar::controller {

// The condition that says whether they hold on the node; absent for a volume that has the defaults.
inline constexpr char kApplied[] = "Applied";
// Its reasons: the agent will not take them; the agent has them but not every pod is bound by them.
inline constexpr char kRefused[] = "Refused";
inline constexpr char kNotInForce[] = "NotInForce";

agent::v1::ModifyVolumeRequest ModifyRequest(const v1alpha1::Volume& volume);

// Whether the agent must be told: it holds other attributes than the spec asks for.
bool WantsModification(const v1alpha1::Volume& volume, const agent::v1::VolumeState& reported);

// Writes what the agent holds into the status, and the condition if that is what the spec asks for.
void ObserveAttributes(v1alpha1::Volume& volume, const agent::v1::VolumeState& state,
                       absl::Time now);
void SetNotApplied(v1alpha1::Volume& volume, const std::string& reason, const std::string& message,
                   absl::Time now);

// For people: "500 reads/s, 10Mi/s written, trim Daily", or "no limits, trim Weekly".
std::string DescribeAttributes(const v1alpha1::VolumeSpec& spec);

}  // namespace ashlar::controller
