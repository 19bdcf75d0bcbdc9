// Claims: the ResourceClaims that hold devices of this node, from the moment that the controller
// tells of one until it takes it back, and what the kubelet asks of them in between
// (claim_record.h). Every call may be repeated, also after the process was killed in the middle of
// it. Thread-safe; a second call of the controller on a claim that one is working on is Aborted,
// the kubelet's calls wait for their turn.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/call_context.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "node-agent/claims/cdi_directory.h"
#include "node-agent/claims/claim_gpus.h"
#include "node-agent/claims/claim_journal.h"
#include "node-agent/claims/claim_volumes.h"

namespace ashlar::node_agent {

class Claims {
 public:
  // Everything must outlive it. `changed` is called, without locks, when List has changed.
  Claims(ClaimJournal& journal, ClaimVolumes& volumes, const ClaimGpus& gpus, CdiDirectory& cdi,
         Clock& clock, std::string boot_id, std::function<void()> changed)
      : journal_(journal),
        volumes_(volumes),
        gpus_(gpus),
        cdi_(cdi),
        clock_(clock),
        boot_id_(std::move(boot_id)),
        changed_(std::move(changed)) {}

  // Reads the journal, finishes what was being unprepared, and takes away what is of no claim.
  // Called once, before anything else, when the volumes are recovered.
  absl::Status Recover(const CallContext& context);

  // Codes and meaning: proto/ashlar/agent/v1/node_claims.proto.
  absl::StatusOr<ClaimStatus> Ensure(const CallContext& context, const ClaimFacts& facts,
                                     const std::vector<std::string>& pods = {});
  absl::Status Remove(const CallContext& context, const std::string& uid);

  // Makes the claim's devices of the driver ready for containers. Waits until `until` for a claim
  // that was not told yet; Unavailable then, and while somebody else works on it.
  // FailedPrecondition: the claim has no devices of the driver. Whatever was made when it fails is
  // taken back by Unprepare.
  absl::StatusOr<std::vector<ClaimDeviceStatus>> Prepare(const CallContext& context,
                                                         const std::string& driver,
                                                         const std::string& uid, absl::Time until);
  // Takes back what Prepare made. A claim that nobody knows is none.
  absl::Status Unprepare(const CallContext& context, const std::string& driver,
                         const std::string& uid, absl::Time until);
  std::vector<ClaimStatus> List();
  // Adds to each use of a volume by a claim the pods that the claim is reserved for.
  void AddPods(std::vector<VolumeUse>& uses);
  // NAMESPACE/NAME of a claim that has the volume, or may have; empty: none does.
  std::string HolderOf(const std::string& volume);

 private:
  // While it lives nobody else works on the claim.
  class Hold {
   public:
    Hold(Claims& of, std::string uid) : of_(&of), uid_(std::move(uid)) {}
    Hold(Hold&& other) noexcept
        : of_(std::exchange(other.of_, nullptr)), uid_(std::move(other.uid_)) {}
    ~Hold();

   private:
    Claims* of_;
    std::string uid_;
  };
  enum class Want { kFree, kTold };
  absl::StatusOr<Hold> Acquire(const std::string& uid);
  // Waits for it.
  absl::StatusOr<Hold> Await(const CallContext& context, const std::string& uid, Want want,
                             absl::Time until);
  std::optional<ClaimRecord> Get(const std::string& uid);
  // The one way in which a claim changes: saved first, then visible.
  absl::Status Put(const ClaimRecord& record);
  void NoteProblem(const std::string& uid, size_t index, const absl::Status& status);

  struct Made {
    CdiDevice device;
    std::string request;
    std::string value;  // what the container is told of it: a path, or a UUID
  };
  absl::StatusOr<Made> Make(const CallContext& context, const ClaimFacts& facts, size_t index);
  absl::Status Release(const CallContext& context, const ClaimFacts& facts,
                       const std::string& driver);
  absl::Status MakeAll(const CallContext& context, const ClaimFacts& facts,
                       const std::string& driver);
  absl::Status TakeBack(const CallContext& context, ClaimRecord& record, const std::string& driver);
  absl::Status TakeBackAll(const CallContext& context, ClaimRecord& record);
  // Why the device cannot be prepared or used; fills what is made of it.
  std::string ProblemOf(const std::string& uid, ClaimDeviceStatus& status);
  ClaimStatus StatusOf(const ClaimRecord& record);

  ClaimJournal& journal_;
  ClaimVolumes& volumes_;
  const ClaimGpus& gpus_;
  CdiDirectory& cdi_;
  Clock& clock_;
  const std::string boot_id_;
  const std::function<void()> changed_;

  Mutex mu_;
  CondVar moved_;
  std::map<std::string, ClaimRecord> records_ ABSL_GUARDED_BY(mu_);
  std::set<std::string> held_ ABSL_GUARDED_BY(mu_);
  // Why the last Prepare failed, by uid and index of the device.
  std::map<std::string, std::map<size_t, std::string>> problems_ ABSL_GUARDED_BY(mu_);
};

}  // namespace ashlar::node_agent
