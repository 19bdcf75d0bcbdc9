// Watches: the streams of changes that clients hold open, one thread each. Thread-safe.
#pragma once

#include <list>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/http/server.h"
#include "standalone/encoding.h"
#include "standalone/resource.h"
#include "standalone/selector.h"
#include "standalone/store.h"

namespace ashlar::standalone {

struct WatchRequest {
  ResourcePtr resource;
  std::string space;
  std::string name;  // of the path, if it names one object
  LabelSelector labels;
  FieldSelector fields;
  // Go on after this version; unset: begin with the present objects as ADDED.
  std::optional<int64_t> version;
  bool bookmarks = false;
  bool mark_initial_end = false;  // a bookmark behind the initial events
  absl::Time deadline;
  Encoding encoding;
};

class Watches {
 public:
  Watches(Store& store, Clock& clock, size_t limit = 512)
      : store_(store), clock_(clock), limit_(limit) {}
  // Ends all streams.
  ~Watches();

  // Answers the request and keeps the stream going. Unavailable (429) if there are too many.
  absl::Status Start(WatchRequest request, std::shared_ptr<http::ResponseWriter> writer);

 private:
  struct Running {
    std::atomic<bool> done = false;
    std::jthread thread;
  };
  void Run(WatchRequest& request, http::ResponseWriter& writer, const std::stop_token& stop);
  void Reap() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  Store& store_;
  Clock& clock_;
  const size_t limit_;
  Mutex mu_;
  std::list<std::unique_ptr<Running>> running_ ABSL_GUARDED_BY(mu_);
};

}  // namespace ashlar::standalone
