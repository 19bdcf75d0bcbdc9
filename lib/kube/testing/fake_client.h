// FakeClient: an API server in memory, for tests of reconcilers, that keeps the promises which they
// depend on and passes the same contract suite as the real one (test/contract):
//   - resourceVersion grows with every change and with nothing else; a stale one is Aborted;
//   - metadata.generation grows when something other than metadata or status changes (kinds of
//     custom groups);
//   - for kinds with a status subresource (custom groups, Pod, Node, PersistentVolume(Claim),
//     ResourceClaim), a write to the object leaves the status alone, and a write to the status
//     everything else;
//   - finalizers hold a deletion until they are gone;
//   - a watch starts at any version that is still in the history, and is OutOfRange otherwise;
//   - server-side apply merges, removes what its manager no longer applies and reports conflicts.
// Not here: admission, defaults, namespaces that must exist, owner references, quotas.
// Thread-safe.
#pragma once

#include <deque>
#include <map>
#include <set>
#include <string>

#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/kube/client.h"
#include "lib/kube/testing/field_ownership.h"

namespace ashlar::kube {

class FakeClient final : public Client {
 public:
  explicit FakeClient(Clock& clock) : clock_(clock) {}

  absl::StatusOr<Json> Get(const CallContext&, const KindInfo&, const ObjectKey&) override;
  absl::StatusOr<ListResult> List(const CallContext&, const KindInfo&, const ListOptions&) override;
  absl::StatusOr<Json> Create(const CallContext&, const KindInfo&, const Json& object) override;
  absl::StatusOr<Json> Update(const CallContext&, const KindInfo&, const Json& object,
                              Subresource) override;
  absl::StatusOr<Json> Apply(const CallContext&, const KindInfo&, const Json& object,
                             const ApplyOptions&) override;
  absl::Status Delete(const CallContext&, const KindInfo&, const ObjectKey&,
                      const DeleteOptions&) override;
  absl::Status Watch(const CallContext&, const KindInfo&, const WatchOptions&,
                     absl::FunctionRef<absl::Status(WatchEvent)> event) override;
  // The core group, ashlar.dev/v1alpha1, and what Serve was called for.
  absl::StatusOr<bool> Serves(const CallContext&, const KindInfo&) override;

  // For tests: puts the object there as it stands, status and all, whether it exists or not.
  void Put(const KindInfo& kind, Json object);
  // As if the kind's definition had been made, or deleted: Serves says so. Objects can be made in
  // any case.
  void Serve(const KindInfo& kind, bool serves = true);
  // Forgets the history: watches from versions before now are OutOfRange.
  void ForgetHistory();
  // Ends every running watch as a server does that is restarted: with OK.
  void EndWatches();
  // Tells every running watch the present version.
  void SendBookmarks();
  // Blocks until `count` watches run.
  void AwaitWatches(int count);
  struct Begun {
    int number = 0;    // of all watches, the first is 1
    std::string from;  // resourceVersion
  };
  Begun LastWatch();

 private:
  using KindKey = std::pair<std::string, std::string>;  // group and plural
  struct Stored {
    Json object;
    FieldOwnership ownership;
  };
  struct Change {
    int64_t version;
    KindKey kind;
    WatchEvent::Type type;
    Json object;
    Json before;  // null for an addition
  };
  using Objects = std::map<ObjectKey, Stored>;
  struct Selection;

  void Record(const KindInfo& kind, WatchEvent::Type type, Json& object, Json before)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Replaces the stored object by `next` if they differ; removes it if nothing holds its deletion.
  Json Commit(const KindInfo& kind, const ObjectKey& key, Stored& stored, Json next)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<Json> CreateLocked(const KindInfo& kind, Json object, FieldOwnership ownership)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<Json> ApplyToExisting(const KindInfo& kind, const ObjectKey& key, Stored& stored,
                                       const Json& object, const ApplyOptions& options)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The events after `from` that the selection sees, and where it stands afterwards. OutOfRange.
  absl::StatusOr<std::vector<WatchEvent>> EventsAfter(int64_t& from, const Selection& selection)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<std::vector<WatchEvent>> AwaitEvents(const CallContext& context, int64_t& from,
                                                      int64_t epoch, int64_t& bookmarks,
                                                      const Selection& selection, bool& ended);

  Clock& clock_;
  Mutex mu_;
  CondVar changed_;
  std::map<KindKey, Objects> kinds_ ABSL_GUARDED_BY(mu_);
  std::deque<Change> history_ ABSL_GUARDED_BY(mu_);
  int64_t version_ ABSL_GUARDED_BY(mu_) = 1000;
  int64_t oldest_watchable_ ABSL_GUARDED_BY(mu_) = 1000;
  int64_t next_uid_ ABSL_GUARDED_BY(mu_) = 1;
  int64_t watch_epoch_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t bookmarks_ ABSL_GUARDED_BY(mu_) = 0;
  int watches_ ABSL_GUARDED_BY(mu_) = 0;
  std::set<std::pair<std::string, std::string>> served_
      ABSL_GUARDED_BY(mu_);  // apiVersion and plural
  Begun last_watch_ ABSL_GUARDED_BY(mu_);
};

}  // namespace ashlar::kube
