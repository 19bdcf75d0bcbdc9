// FragmentGauges: shows what is stranded as metrics, looked at anew every now and then. The series
// end with it. Thread-safe: Run is called once.
#pragma once

#include <set>
#include <string>
#include <utility>

#include "controller/composition/composition_gatherer.h"
#include "controller/composition/fragment_figures.h"
#include "lib/base/clock.h"
#include "lib/metrics/metrics.h"

namespace ashlar::controller {

struct FragmentOptions {
  absl::Duration period = absl::Seconds(30);
  // A series for each of 10,000 nodes would be more than anybody looks at; those where most is
  // stranded are what is worth knowing, and their number bounds the series.
  size_t most_nodes = 100;
  // Of the shapes that are asked for: what is looked at costs as much as there are.
  size_t most_shapes = 32;
};

class FragmentGauges {
 public:
  // All must outlive the gauges.
  FragmentGauges(const FragmentOptions& options, const CompositionSources& parts, Clock& clock,
                 metrics::Registry& metrics);
  ~FragmentGauges();

  // Looks again and again, until the context is stopped.
  void Run(const CallContext& context);

 private:
  void Look(const CallContext& context);
  std::vector<composer::MemberRequest> Shapes(const composer::Inventory& inventory) const;
  void Show(const FragmentFigures& figures);

  const FragmentOptions options_;
  const CompositionSources parts_;
  const CompositionGatherer gatherer_;
  Clock& clock_;
  metrics::Registry& metrics_;
  metrics::Gauge& free_slices_;
  metrics::Gauge& stranded_slices_;
  metrics::Gauge& free_bytes_;
  metrics::Gauge& stranded_bytes_;
  FragmentCounter counter_;
  std::set<std::pair<std::string, std::string>> shown_;  // node and root
};

}  // namespace ashlar::controller
