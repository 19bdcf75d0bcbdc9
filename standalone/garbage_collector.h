// GarbageCollector: removes what nobody owns any more (ownerReferences, by background, foreground
// and orphan propagation), empties namespaces and definitions that are being deleted, and drops
// events that are older than an hour. One thread, from construction to destruction.
#pragma once

#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "standalone/objects.h"

namespace ashlar::standalone {

class GarbageCollector {
 public:
  explicit GarbageCollector(Objects& objects);
  ~GarbageCollector();

 private:
  struct Found {
    ResourcePtr resource;
    ObjectPtr object;
  };
  void Loop(const std::stop_token& stop);
  // Looks at everything once. Safe to repeat, also after a crash anywhere.
  void Sweep();
  std::vector<Found> Everything() const;
  void Remove(const Found& found);
  void SweepOwned(const std::vector<Found>& all);
  void SweepDeleting(const Found& owner, const std::vector<Found>& all);
  void ReleaseDependent(const Found& dependent, const std::string& owner_uid);
  void SweepNamespace(const Found& space, const std::vector<Found>& all);
  void SweepDefinition(const Found& definition, const std::vector<Found>& all);
  void SweepEvents(const std::vector<Found>& all);

  Objects& objects_;
  std::jthread thread_;  // last: it uses the rest
};

}  // namespace ashlar::standalone
