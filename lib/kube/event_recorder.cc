#include "lib/kube/event_recorder.h"

#include <algorithm>

#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "lib/base/log.h"
#include "lib/kube/core_kinds.h"
#include "lib/kube/object.h"

namespace ashlar::kube {
namespace {

constexpr size_t kMaxQueued = 1000;
constexpr size_t kMaxMessage = 1024;
constexpr absl::Duration kAggregate = absl::Minutes(10);
constexpr absl::Duration kSendTimeout = absl::Seconds(10);

std::string Rfc3339(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone());
}

// Cuts at the last whole UTF-8 character within `size` bytes.
std::string Shorten(absl::string_view text, size_t size) {
  if (text.size() <= size) return std::string(text);
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xC0) == 0x80) --size;
  return std::string(text.substr(0, size));
}

}  // namespace

ObjectReference ReferenceTo(const Json& object) {
  return {JsonString(object, {"apiVersion"}), JsonString(object, {"kind"}), KeyOf(object),
          JsonString(object, {"metadata", "uid"})};
}

EventRecorder::EventRecorder(Client& client, Clock& clock, std::string component,
                             std::string instance)
    : client_(client),
      clock_(clock),
      component_(std::move(component)),
      instance_(std::move(instance)),
      thread_([this](std::stop_token stop) { Run(stop); }) {}

EventRecorder::~EventRecorder() {
  {
    MutexLock lock(mu_);
    closing_ = true;
    changed_.NotifyAll();
    const absl::Time patience = clock_.Now() + absl::Seconds(2);
    while ((!queue_.empty() || sending_) && clock_.Now() < patience)
      clock_.WaitUntil(changed_, mu_, patience);
  }
  thread_.request_stop();
  thread_.join();
}

void EventRecorder::Record(const ObjectReference& about, EventType type, absl::string_view reason,
                           absl::string_view message) {
  MutexLock lock(mu_);
  if (queue_.size() >= kMaxQueued) {
    LogWarning("event lost: too many wait", {{"reason", reason}, {"object", about.key.ToString()}});
    return;
  }
  queue_.push_back({about, type, std::string(reason), Shorten(message, kMaxMessage), clock_.Now()});
  changed_.NotifyAll();
}

void EventRecorder::Flush() {
  MutexLock lock(mu_);
  while (!queue_.empty() || sending_) changed_.Wait(mu_);
}

void EventRecorder::Run(std::stop_token stop) {
  std::stop_callback wake(stop, [this] {
    MutexLock lock(mu_);
    changed_.NotifyAll();
  });
  for (;;) {
    Entry entry;
    {
      MutexLock lock(mu_);
      sending_ = false;
      changed_.NotifyAll();
      while (queue_.empty() && !closing_ && !stop.stop_requested()) changed_.Wait(mu_);
      if (queue_.empty() || stop.stop_requested()) return;
      entry = std::move(queue_.front());
      queue_.pop_front();
      sending_ = true;
    }
    Send({.deadline = clock_.Now() + kSendTimeout, .stop = stop, .request_id = {}}, entry);
  }
}

EventRecorder::Sent& EventRecorder::Remember(const Entry& entry) {
  std::erase_if(sent_,
                [&](const auto& known) { return entry.at - known.second.last >= kAggregate; });
  const Identity identity{absl::StrCat(entry.about.kind, "/", entry.about.key.ToString()),
                          entry.about.uid, entry.type == EventType::kNormal ? "Normal" : "Warning",
                          entry.reason, entry.message};
  Sent& sent = sent_[identity];
  if (sent.count == 0) {
    sent.first = entry.at;
    // The name tells apart what happens to one object at one time.
    sent.name = absl::StrFormat("%s.%x%08x", entry.about.key.name, absl::ToUnixNanos(entry.at),
                                static_cast<uint32_t>(absl::Hash<Identity>()(identity)));
  }
  sent.last = entry.at;
  ++sent.count;
  return sent;
}

Json EventRecorder::EventOf(const Entry& entry, const Sent& sent) const {
  const std::string space = entry.about.key.space.empty() ? "default" : entry.about.key.space;
  Json involved{{"apiVersion", entry.about.api_version},
                {"kind", entry.about.kind},
                {"name", entry.about.key.name}};
  if (!entry.about.key.space.empty()) involved["namespace"] = entry.about.key.space;
  if (!entry.about.uid.empty()) involved["uid"] = entry.about.uid;
  return {{"apiVersion", "v1"},
          {"kind", "Event"},
          {"metadata", {{"name", sent.name}, {"namespace", space}}},
          {"involvedObject", std::move(involved)},
          {"type", entry.type == EventType::kNormal ? "Normal" : "Warning"},
          {"reason", entry.reason},
          {"message", entry.message},
          {"source", {{"component", component_}, {"host", instance_}}},
          {"firstTimestamp", Rfc3339(sent.first)},
          {"lastTimestamp", Rfc3339(sent.last)},
          {"count", sent.count},
          {"reportingComponent", component_},
          {"reportingInstance", instance_}};
}

void EventRecorder::Send(const CallContext& context, const Entry& entry) {
  // Server-side apply makes the first one and raises the count of the others, and does no harm
  // twice.
  const Json event = EventOf(entry, Remember(entry));
  const auto applied = client_.Apply(context, kEvent, event, {.field_manager = component_});
  if (applied.ok()) return;
  LogWarning("event lost", {{"reason", entry.reason},
                            {"object", entry.about.key.ToString()},
                            {"message", entry.message},
                            {"error", applied.status().ToString()}});
}

}  // namespace ashlar::kube
