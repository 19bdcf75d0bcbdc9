// What is to be done about one Composition, and what its status says: decided from facts alone.
//
//   status.members   what exists of it          step
//   ──────────────   ────────────────────────   ──────────────────────────────────────────────
//   none             nothing                    kChoose (the choice is a promise once it is
//                                               written) or kRefuse
//   some             not all Volumes            kCarve: the bytes are the Composition's now
//   some             a Volume cannot be         kBeginRelease, to choose anew
//                    carved, or a GPU was
//                    taken before its use
//   some             all Volumes, not all       kProvision
//                    claims
//   some             all                        kObserve; kBeginRelease when nobody has used it
//                                               for its time
//   Released=False   something                  kRelease
//   Released=False   nothing                    kEndRelease: Released=True, or to choose anew
//   being deleted    something, or nothing      kRelease, or kDropFinalizer
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ashlar/k8s/resource.pb.h"
#include "ashlar/v1alpha1/composition.pb.h"
#include "ashlar/v1alpha1/volume.pb.h"
#include "controller/composition/device_stock.h"

namespace ashlar::controller {

// Of the kinds that are made for it, names of what bears the uid of the Composition.
struct ComposedObjects {
  std::map<std::string, v1alpha1::Volume> volumes;
  std::map<std::string, k8s::ResourceClaim> claims;
  std::set<std::string> persistent_volumes;
  std::set<std::string> volume_claims;
  std::set<std::string> config_maps;
  std::set<std::string> gang_objects;  // of the kind that status.gangScheduler says

  bool Empty() const {
    return volumes.empty() && claims.empty() && persistent_volumes.empty() &&
           volume_claims.empty() && config_maps.empty() && gang_objects.empty();
  }
};

// A node that members are on, as it is now.
struct MemberNode {
  std::string problem;       // that it has as a whole; empty: none
  std::string gpus_problem;  // why its GPUs are not Ashlar's to give
  bool settling = false;     // nobody should draw conclusions from what its agent does not say yet
  const agent::v1::Inventory* inventory = nullptr;  // the last report
};

struct CompositionFacts {
  v1alpha1::Composition object;  // its spec with its class
  v1alpha1::CompositionClassSpec its_class;
  bool class_missing = false;  // it names one that there is none of
  bool has_finalizer = false;
  bool serves_claims = true;  // resource.k8s.io/v1
  // Names of schedulers of gangs. Asked for while status.gangScheduler is not set.
  std::set<std::string> installed_schedulers = {};
  ComposedObjects made;
  std::map<std::string, MemberNode> member_nodes = {};  // by name
  // What there is without what others have, as far as it has no members also without what is
  // promised to others.
  DeviceStock stock;
};

enum class CompositionStep {
  kNothing,
  kRefuse,
  kTakeFinalizer,
  kChoose,
  kCarve,
  kProvision,
  kObserve,
  kBeginRelease,
  kRelease,
  kEndRelease,
  kDropFinalizer,
};

struct CompositionDecision {
  CompositionStep step = CompositionStep::kNothing;
  std::string reason, message;                                // of kRefuse and kBeginRelease
  std::vector<v1alpha1::CompositionMisfit> unsatisfied = {};  // of kRefuse
  std::vector<v1alpha1::ComposedMember> members = {};         // of kChoose
};

CompositionDecision DecideComposition(const CompositionFacts& facts, absl::Time now);

// How long devices are kept that nobody uses.
absl::Duration TimeToLive(const v1alpha1::CompositionSpec& spec);
// Whether pods have, or are given, any of it.
bool IsUsed(const ComposedObjects& made);

// The changes to the status of `facts.object`. Each keeps what it does not speak of.
void SetRefused(CompositionFacts& facts, const CompositionDecision& decision, absl::Time now);
void SetChosen(CompositionFacts& facts, const CompositionDecision& decision, absl::Time now);
void SetCarving(CompositionFacts& facts, absl::Time now);
void SetProvisioning(CompositionFacts& facts, const std::string& reason, const std::string& message,
                     absl::Time now);
void SetObserved(CompositionFacts& facts, absl::Time now);
// Chooses the scheduler to be told, if none was. Whether it did.
bool SetScheduler(CompositionFacts& facts);
// `made`: what came of the object for it.
void SetSchedulerTold(CompositionFacts& facts, const absl::Status& made, absl::Time now);
void SetReleasing(CompositionFacts& facts, const CompositionDecision& decision, absl::Time now);
void SetReleased(CompositionFacts& facts, absl::Time now);

}  // namespace ashlar::controller
