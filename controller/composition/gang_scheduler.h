// Which scheduler of gangs is told of a Composition, what is made for it, and what pods must bear.
// Pure (docs/decisions/0026-schedulers-of-gangs.md).
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "ashlar/v1alpha1/composition.pb.h"
#include "lib/api/kind_info.h"
#include "lib/base/json.h"

namespace ashlar::controller {

struct GangScheduler {
  std::string name;                  // as in spec.gangScheduler
  std::vector<api::KindInfo> kinds;  // one of them is served where it is installed
  bool gets_object = true;           // of the first kind
};

// In the order in which Auto takes them.
const std::vector<GangScheduler>& GangSchedulers();
// The kind of the object that the scheduler of the name gets; nullptr: none.
const api::KindInfo* GangKindOf(const std::string& scheduler);

// The scheduler to be told of the Composition, whose spec is with its class, of those that are
// installed; nothing: none.
std::optional<v1alpha1::ComposedGangScheduler> ChooseGangScheduler(
    const v1alpha1::Composition& object, const std::set<std::string>& installed);
// Why the scheduler that the spec names is not told; empty: it names none.
std::string MissingScheduler(const v1alpha1::CompositionSpec& spec);

// What status.gangScheduler says is there for it.
Json GangObjectOf(const v1alpha1::Composition& object);
// What pods must bear, for people.
std::string PodsMustBear(const v1alpha1::ComposedGangScheduler& scheduler);

}  // namespace ashlar::controller
