// EventRecorder: tells people what happened to an object, as Kubernetes Events (core/v1). What
// happens again within 10 minutes (same object, type, reason and message) raises the count of the
// Event that is there. Recording never blocks: a thread of its own sends, best effort; what cannot
// be sent is logged and lost. Thread-safe.
#pragma once

#include <deque>
#include <map>
#include <string>
#include <thread>
#include <tuple>

#include "absl/strings/string_view.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/kube/client.h"

namespace ashlar::kube {

enum class EventType { kNormal, kWarning };

// What an Event is about. `uid` lets `kubectl describe` find it.
struct ObjectReference {
  std::string api_version;
  std::string kind;
  ObjectKey key;
  std::string uid;
};

// From an object with apiVersion, kind and metadata.
ObjectReference ReferenceTo(const Json& object);

class EventRecorder {
 public:
  // `component` is who tells, such as ashlar-controller; `instance` which of them (the pod's name).
  // The recorder's process needs the rights to create and patch events. `client` and `clock` must
  // outlive it.
  EventRecorder(Client& client, Clock& clock, std::string component, std::string instance);
  // Sends for up to 2 seconds what has been recorded.
  ~EventRecorder();
  EventRecorder(const EventRecorder&) = delete;
  EventRecorder& operator=(const EventRecorder&) = delete;

  // `reason` is a CamelCase word for programs, `message` a sentence for people. Events of
  // cluster-scoped objects lie in the namespace `default`, where kubectl looks for them.
  void Record(const ObjectReference& about, EventType type, absl::string_view reason,
              absl::string_view message);

  // Blocks until everything that was recorded has been sent or lost.
  void Flush();

 private:
  struct Entry {
    ObjectReference about;
    EventType type;
    std::string reason;
    std::string message;
    absl::Time at;
  };
  using Identity = std::tuple<std::string, std::string, std::string, std::string, std::string>;
  struct Sent {
    std::string name;
    absl::Time first;
    absl::Time last;
    int count = 0;
  };

  void Run(std::stop_token stop);
  void Send(const CallContext& context, const Entry& entry);
  Sent& Remember(const Entry& entry);
  Json EventOf(const Entry& entry, const Sent& sent) const;

  Client& client_;
  Clock& clock_;
  const std::string component_;
  const std::string instance_;
  std::map<Identity, Sent> sent_;  // of the sending thread alone

  Mutex mu_;
  CondVar changed_;
  std::deque<Entry> queue_ ABSL_GUARDED_BY(mu_);
  bool sending_ ABSL_GUARDED_BY(mu_) = false;
  bool closing_ ABSL_GUARDED_BY(mu_) = false;
  std::jthread thread_;
};

}  // namespace ashlar::kube
