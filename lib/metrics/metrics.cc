#include "lib/metrics/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <utility>

#include "lib/base/mutex.h"

namespace ashlar::metrics {
namespace {

const prometheus::Histogram::BucketBoundaries& DurationBuckets() {
  static const auto& buckets = *new prometheus::Histogram::BucketBoundaries{
      0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120};
  return buckets;
}

using SeriesKey = std::pair<std::string, Labels>;

}  // namespace

void Counter::Increment(double by) { series_->Increment(by); }
void Gauge::Set(double value) { series_->Set(value); }
void Gauge::Add(double by) { series_->Increment(by); }
void Histogram::Observe(absl::Duration duration) {
  series_->Observe(absl::ToDoubleSeconds(duration));
}

struct Registry::Impl {
  prometheus::Registry registry{prometheus::Registry::InsertBehavior::Merge};
  Mutex mu;
  std::map<SeriesKey, Counter> counters ABSL_GUARDED_BY(mu);
  std::map<SeriesKey, Gauge> gauges ABSL_GUARDED_BY(mu);
  std::map<SeriesKey, Histogram> histograms ABSL_GUARDED_BY(mu);
  // The family of a name, so that a second series of it needs no help text of its own.
  std::map<std::string, prometheus::Family<prometheus::Counter>*> counter_families
      ABSL_GUARDED_BY(mu);
  std::map<std::string, prometheus::Family<prometheus::Gauge>*> gauge_families ABSL_GUARDED_BY(mu);
  std::map<std::string, prometheus::Family<prometheus::Histogram>*> histogram_families
      ABSL_GUARDED_BY(mu);

  template <class Builder, class Family>
  Family& FindOrMake(std::map<std::string, Family*>& families, Builder builder,
                     absl::string_view name, absl::string_view help) {
    Family*& family = families[std::string(name)];
    if (family == nullptr) {
      family = &builder.Name(std::string(name)).Help(std::string(help)).Register(registry);
    }
    return *family;
  }
};

Registry::Registry() : impl_(std::make_unique<Impl>()) {}
Registry::~Registry() = default;

Counter& Registry::GetCounter(absl::string_view name, absl::string_view help,
                              const Labels& labels) {
  MutexLock lock(impl_->mu);
  Counter& counter = impl_->counters[SeriesKey(name, labels)];
  if (counter.series_ == nullptr) {
    counter.series_ =
        &impl_->FindOrMake(impl_->counter_families, prometheus::BuildCounter(), name, help)
             .Add(labels);
  }
  return counter;
}

Gauge& Registry::GetGauge(absl::string_view name, absl::string_view help, const Labels& labels) {
  MutexLock lock(impl_->mu);
  Gauge& gauge = impl_->gauges[SeriesKey(name, labels)];
  if (gauge.series_ == nullptr) {
    gauge.series_ =
        &impl_->FindOrMake(impl_->gauge_families, prometheus::BuildGauge(), name, help).Add(labels);
  }
  return gauge;
}

Histogram& Registry::GetHistogram(absl::string_view name, absl::string_view help,
                                  const Labels& labels) {
  MutexLock lock(impl_->mu);
  Histogram& histogram = impl_->histograms[SeriesKey(name, labels)];
  if (histogram.series_ == nullptr) {
    histogram.series_ =
        &impl_->FindOrMake(impl_->histogram_families, prometheus::BuildHistogram(), name, help)
             .Add(labels, DurationBuckets());
  }
  return histogram;
}

void Registry::RemoveGauge(absl::string_view name, const Labels& labels) {
  MutexLock lock(impl_->mu);
  auto found = impl_->gauges.find(SeriesKey(name, labels));
  if (found == impl_->gauges.end()) return;
  impl_->gauge_families[std::string(name)]->Remove(found->second.series_);
  impl_->gauges.erase(found);
}

std::string Registry::Text() const {
  return prometheus::TextSerializer().Serialize(impl_->registry.Collect());
}

}  // namespace ashlar::metrics
