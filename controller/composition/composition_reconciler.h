// CompositionReconciler: chooses devices for gangs, has their volumes carved, makes what pods name,
// and takes all of it back. What is to be done is decided in composition_plan.h. One key at a time:
// a choice must be seen by the next one. Thread-safe.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "controller/composition/composition_gatherer.h"
#include "controller/objects/event_sink.h"
#include "controller/objects/object_writer.h"
#include "lib/base/clock.h"
#include "lib/runtime/reconciler.h"

namespace ashlar::controller {

// All must outlive the reconciler.
struct CompositionReconcilerParts {
  CompositionSources sources;
  ObjectWriter& writer;  // of Compositions
  ObjectWriter& volume_writer;
  EventSink& events;
  Clock& clock;
};

struct CompositionReconcilerOptions {
  // How often is looked for what nobody tells of, and tried again what did not go.
  absl::Duration look = absl::Seconds(30);
  // The same while something is on its way.
  absl::Duration soon = absl::Seconds(1);
  // How often is looked at most for what could be moved to make room.
  absl::Duration moves = absl::Minutes(1);
};

class CompositionReconciler final : public runtime::Reconciler {
 public:
  CompositionReconciler(CompositionReconcilerOptions options, CompositionReconcilerParts parts)
      : options_(options), parts_(parts), gatherer_(parts.sources) {}

  absl::StatusOr<runtime::Action> Reconcile(const CallContext& context,
                                            const api::ObjectKey& key) override;

 private:
  struct Pass {
    const CallContext& context;
    runtime::ObjectPtr object;
    CompositionFacts facts;
    // Held for `facts`.
    std::vector<std::shared_ptr<const AgentReport>> reports;
    std::vector<ComposableNode> nodes;
    v1alpha1::CompositionStatus status_before;
  };
  using Result = absl::StatusOr<runtime::Action>;

  Result Act(Pass& pass, const CompositionDecision& decision);
  // What could be moved so that it fits: told, and not done.
  void LookForMoves(Pass& pass, const CompositionDecision& decision);
  Result Carve(Pass& pass);
  Result Provision(Pass& pass);
  // Has what the scheduler of gangs wants made, and says what came of it. What it answers ends the
  // pass.
  std::optional<Result> TellScheduler(Pass& pass);
  // The first thing that does not go, or OK.
  absl::Status MakeAll(Pass& pass);
  absl::Status Make(Pass& pass, const api::KindInfo& kind, const Json& object);
  Result Release(Pass& pass);
  absl::Status Delete(Pass& pass, const api::KindInfo& kind, const api::ObjectKey& key);
  Result EndRelease(Pass& pass);
  absl::Status WriteStatus(Pass& pass);

  const CompositionReconcilerOptions options_;
  const CompositionReconcilerParts parts_;
  const CompositionGatherer gatherer_;
  // Of its one worker: when was looked for moves, by uid.
  std::map<std::string, absl::Time> looked_;
};

}  // namespace ashlar::controller
