// Informer: keeps a Cache of one kind true to the API server: lists once, then watches, and lists
// again when the server has forgotten where the watch was (410) or the watch can not be followed.
//
//           list fails: backoff           watch ends: watch again from the last version
//             ┌────┐                              ┌────┐
//             ▼    │      list taken in           ▼    │     410
//   start ─► listing ────────────────────────► watching ────────► listing
//
// A connection that breaks is mended with backoff, and the cache goes on answering meanwhile. One
// object that is no Kubernetes object (no name or no resourceVersion) is logged and skipped.
// Thread-safe. Handlers run on the thread of Run or of Put, without a lock held.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/kube/client.h"
#include "lib/runtime/backoff.h"
#include "lib/runtime/cache.h"

namespace ashlar::runtime {

struct InformerOptions {
  std::string space;  // namespace; empty: all
  std::string label_selector;
  std::string field_selector;
  // Calls every handler for every object this often. Infinite: never.
  absl::Duration resync = absl::InfiniteDuration();
  Backoff backoff{.initial = absl::Milliseconds(200), .max = absl::Seconds(30)};
};

class Informer final : public Cache {
 public:
  // `client` and `clock` must outlive the informer.
  Informer(kube::Client& client, api::KindInfo kind, Clock& clock, InformerOptions options = {});

  // Keeps the cache true until `stop` is requested. Call it once.
  void Run(std::stop_token stop);

  // Blocks until the first list has been taken in. Cancelled, DeadlineExceeded as the context says;
  // the message holds the last error of the list.
  absl::Status AwaitSync(const CallContext& context);

  // Takes in an object that the caller got as the answer to a write, so that its next read sees at
  // least that. Does nothing if the cache has seen that version or a newer one. An object whose
  // last finalizer the write took off leaves the cache, whatever its version: the server may answer
  // with the version before its end. The object must be one that the informer's selectors select.
  void Put(const Json& object);

  const api::KindInfo& kind() const { return kind_; }

  ObjectPtr Get(const api::ObjectKey& key) const override;
  std::vector<ObjectPtr> List() const override;
  bool Synced() const override;
  void AddHandler(std::function<void(const api::ObjectKey&)> changed) override;

 private:
  using Handlers = std::vector<std::function<void(const api::ObjectKey&)>>;
  struct Entry {
    ObjectPtr object;
    std::string version;
  };

  absl::Status ListOnce(const CallContext& context);
  // Returns when the cache must be listed again, or the context ended.
  void Follow(const CallContext& context);
  absl::Status WatchOnce(const CallContext& context, bool& saw_event);
  void TakeIn(kube::WatchEvent event);
  void Replace(std::vector<Json> items, const std::string& version);
  void NoteListError(const absl::Status& status);
  void Notify(const std::vector<api::ObjectKey>& keys) const;
  std::string version() const;

  kube::Client& client_;
  const api::KindInfo kind_;
  Clock& clock_;
  const InformerOptions options_;

  mutable Mutex mu_;
  CondVar synced_changed_;
  absl::flat_hash_map<api::ObjectKey, Entry> objects_ ABSL_GUARDED_BY(mu_);
  std::string version_ ABSL_GUARDED_BY(mu_);  // what the cache has seen of the server's history
  bool synced_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status list_error_ ABSL_GUARDED_BY(mu_);
  Handlers handlers_ ABSL_GUARDED_BY(mu_);
};

}  // namespace ashlar::runtime
