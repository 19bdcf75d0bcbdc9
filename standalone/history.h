// History: what changed, in the order of the resourceVersion, for watches. It keeps the newest
// events in memory; whoever asks for what came before them is told to list again. Thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "lib/api/kind_info.h"
#include "lib/base/clock.h"
#include "lib/base/json.h"
#include "lib/base/mutex.h"

namespace ashlar::standalone {

using ObjectPtr = std::shared_ptr<const Json>;

struct Event {
  int64_t version = 0;
  std::string storage;  // Resource::Storage()
  api::ObjectKey key;
  ObjectPtr before;  // nullptr: the object was added
  ObjectPtr after;   // nullptr: it was removed
  // The last state of a removed object, with the version of its removal.
  ObjectPtr removed;
};

class History {
 public:
  // Events up to `version` are not known.
  History(Clock& clock, int64_t version, size_t capacity);

  void Add(Event event);
  // The newest version that is in the history.
  int64_t Version() const;

  // The events after `version`, in order, at most `limit`. If there are none, waits for one until
  // `deadline` or a stop, then answers an empty list. OutOfRange (410) if events after `version`
  // were dropped already.
  absl::StatusOr<std::vector<std::shared_ptr<const Event>>> After(int64_t version, size_t limit,
                                                                  absl::Time deadline,
                                                                  const std::stop_token& stop);

 private:
  Clock& clock_;
  const size_t capacity_;
  mutable Mutex mu_;
  CondVar added_;
  std::deque<std::shared_ptr<const Event>> events_ ABSL_GUARDED_BY(mu_);
  int64_t dropped_ ABSL_GUARDED_BY(mu_);  // the newest version that is not known any more
  int64_t version_ ABSL_GUARDED_BY(mu_);
};

}  // namespace ashlar::standalone
