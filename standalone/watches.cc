#include "standalone/watches.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "standalone/api_error.h"
#include "standalone/object_meta.h"

namespace ashlar::standalone {
namespace {

constexpr absl::Duration kBookmarkInterval = absl::Seconds(30);
constexpr size_t kBatch = 256;

bool Selected(const WatchRequest& request, const ObjectPtr& object) {
  if (object == nullptr) return false;
  const api::ObjectKey key = KeyOf(*object);
  return (request.space.empty() || key.space == request.space) &&
         (request.name.empty() || key.name == request.name) && request.labels.Matches(*object) &&
         request.fields.Matches(*object);
}

// One stream: what is written, and whether the client still reads.
class Stream {
 public:
  Stream(const WatchRequest& request, http::ResponseWriter& writer, Clock& clock)
      : request_(request), writer_(writer), clock_(clock) {}

  bool Object(const char* type, const Json& object) {
    return Line(type, EncodeObject(*request_.resource, object, Encoding()));
  }
  bool Bookmark(int64_t version, bool initial_end) {
    return Line("BOOKMARK", EncodeBookmark(*request_.resource, version, initial_end, Encoding()));
  }
  bool Error(const absl::Status& error) { return Line("ERROR", StatusObject(error)); }

  // What the event is for somebody who sees only what the selectors let through.
  bool Send(const Event& event) {
    if (event.storage != request_.resource->Storage()) return true;
    const bool before = Selected(request_, event.before);
    const bool after = Selected(request_, event.after);
    if (after) return Object(before ? "MODIFIED" : "ADDED", *event.after);
    if (!before) return true;
    if (event.removed != nullptr) return Object("DELETED", *event.removed);
    Json last = *event.before;
    last["metadata"]["resourceVersion"] = absl::StrCat(event.version);
    return Object("DELETED", last);
  }

 private:
  standalone::Encoding Encoding() const {
    standalone::Encoding encoding = request_.encoding;
    encoding.now = clock_.Now();
    return encoding;
  }
  bool Line(const char* type, Json object) {
    return writer_.Write(DumpJson({{"type", type}, {"object", std::move(object)}}) + "\n");
  }

  const WatchRequest& request_;
  http::ResponseWriter& writer_;
  Clock& clock_;
};

}  // namespace

Watches::~Watches() {
  std::list<std::unique_ptr<Running>> running;
  {
    MutexLock lock(mu_);
    running.swap(running_);
  }
  for (const auto& watch : running) watch->thread.request_stop();
}

void Watches::Reap() {
  running_.remove_if([](const auto& watch) { return watch->done.load(); });
}

absl::Status Watches::Start(WatchRequest request, std::shared_ptr<http::ResponseWriter> writer) {
  MutexLock lock(mu_);
  Reap();
  if (running_.size() >= limit_) {
    return TooManyRequests(absl::StrCat("there are ", limit_, " watches already"));
  }
  auto watch = std::make_unique<Running>();
  Running* raw = watch.get();
  watch->thread = std::jthread([this, raw, request = std::move(request),
                                writer = std::move(writer)](const std::stop_token& stop) mutable {
    writer->Start(200, {{"content-type", "application/json"}, {"cache-control", "no-cache"}});
    Run(request, *writer, stop);
    writer.reset();
    raw->done = true;
  });
  running_.push_back(std::move(watch));
  return absl::OkStatus();
}

void Watches::Run(WatchRequest& request, http::ResponseWriter& writer,
                  const std::stop_token& stop) {
  Stream stream(request, writer, clock_);
  int64_t cursor = 0;
  if (request.version.has_value()) {
    cursor = *request.version;
    if (cursor > store_.history().Version()) {
      // From a data directory that is no more: such a version never comes by waiting.
      stream.Error(Expired(absl::StrCat("resource version ", cursor, " was never given")));
      return;
    }
  } else {
    Page page = store_.List(request.resource->Storage(), request.space);
    cursor = page.version;
    for (const ObjectPtr& object : page.objects) {
      if (Selected(request, object) && !stream.Object("ADDED", *object)) return;
    }
    if (request.mark_initial_end && !stream.Bookmark(cursor, true)) return;
  }
  while (!stop.stop_requested() && clock_.Now() < request.deadline) {
    const absl::Time wake = std::min(request.deadline, clock_.Now() + kBookmarkInterval);
    auto events = store_.history().After(cursor, kBatch, wake, stop);
    if (!events.ok()) {
      stream.Error(events.status());
      return;
    }
    for (const auto& event : *events) {
      if (!stream.Send(*event)) return;
      cursor = event->version;
    }
    if (events->empty() && request.bookmarks && !stream.Bookmark(cursor, false)) return;
  }
}

}  // namespace ashlar::standalone
