// Metrics: the process's counters, gauges and histograms in Prometheus' form; the only door to
// prometheus-cpp. Thread-safe. A series exists, at zero, from the moment that it is asked for: ask
// for all of them at start, so that an alert on a rate works before the first event. References
// stay valid as long as the registry.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace prometheus {
class Counter;
class Gauge;
class Histogram;
}  // namespace prometheus

namespace ashlar::metrics {

using Labels = std::map<std::string, std::string>;

class Counter {
 public:
  void Increment(double by = 1);

 private:
  friend class Registry;
  prometheus::Counter* series_ = nullptr;
};

class Gauge {
 public:
  void Set(double value);
  void Add(double by);

 private:
  friend class Registry;
  prometheus::Gauge* series_ = nullptr;
};

// Durations in seconds, in buckets from 1 ms to 2 minutes.
class Histogram {
 public:
  void Observe(absl::Duration duration);

 private:
  friend class Registry;
  prometheus::Histogram* series_ = nullptr;
};

class Registry {
 public:
  Registry();
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  // The same name and labels give the same series; the first help text of a name stays. `name`
  // begins with ashlar_ and ends with its unit (_seconds, _bytes) or, for counters, with _total.
  Counter& GetCounter(absl::string_view name, absl::string_view help, const Labels& labels = {});
  Gauge& GetGauge(absl::string_view name, absl::string_view help, const Labels& labels = {});
  Histogram& GetHistogram(absl::string_view name, absl::string_view help,
                          const Labels& labels = {});

  // Ends the series, for things that are gone, such as a pool. The reference that was handed out
  // must not be used again.
  void RemoveGauge(absl::string_view name, const Labels& labels);

  // All series in the text exposition format 0.0.4.
  std::string Text() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ashlar::metrics
