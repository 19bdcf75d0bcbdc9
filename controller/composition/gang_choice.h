// What a Composition asks for, with what its class says, and which devices it gets. Pure.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "ashlar/v1alpha1/composition.pb.h"
#include "controller/composer/gang.h"
#include "controller/composition/device_stock.h"

namespace ashlar::controller {

// The spec with what the class says where it is silent.
v1alpha1::CompositionSpec WithClass(const v1alpha1::CompositionSpec& spec,
                                    const v1alpha1::CompositionClassSpec& its_class);

// OK, or InvalidArgument with the field, its value and what is accepted. What the API's schema
// accepts and cannot be had anyhow is refused here.
absl::Status CheckComposition(const std::string& name, const v1alpha1::CompositionSpec& spec,
                              const v1alpha1::CompositionClassSpec& its_class);

// What one member of the kind asks for, in the words of placement.
composer::MemberRequest MemberRequestOf(const v1alpha1::CompositionMember& member);
// The same of all; the spec is with its class.
composer::GangRequest GangRequestOf(const v1alpha1::CompositionSpec& spec);

struct NoGang {
  std::string reason;  // NoNodes or NoRoom
  std::string message;
  std::vector<v1alpha1::CompositionMisfit> unsatisfied;
};
using GangChoice = std::variant<std::vector<v1alpha1::ComposedMember>, NoGang>;

// Members by rank. `object` has passed CheckComposition, and its spec is with its class.
GangChoice ChooseGang(const DeviceStock& stock, const v1alpha1::Composition& object);

}  // namespace ashlar::controller
