#include "node-agent/volume/inline_volumes.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"

namespace ashlar::node_agent {
namespace {

constexpr absl::Duration kLook = absl::Minutes(1);
// For taking away what a call has made whose own time may be over.
constexpr absl::Duration kUndoTime = absl::Minutes(1);

}  // namespace

class InlineVolumes::Busy {
 public:
  static absl::StatusOr<Busy> Claim(InlineVolumes& of, const std::string& id) {
    MutexLock lock(of.mu_);
    if (!of.busy_.insert(id).second)
      return absl::AbortedError(
          absl::StrCat("another call on inline volume ", id, " is under way: repeat"));
    return Busy(of, id);
  }
  Busy(Busy&& other) noexcept : of_(std::exchange(other.of_, nullptr)), id_(other.id_) {}
  ~Busy() {
    if (of_ == nullptr) return;
    MutexLock lock(of_->mu_);
    of_->busy_.erase(id_);
  }

 private:
  Busy(InlineVolumes& of, std::string id) : of_(&of), id_(std::move(id)) {}
  InlineVolumes* of_;
  std::string id_;
};

std::string InlineVolumes::StagingPath(const std::string& id) const {
  return absl::StrCat(staging_root_, "/", FileStem(id));
}

absl::Status InlineVolumes::CheckAllowed(const InlineVolumeArgs& args) {
  ASHLAR_ASSIGN_OR_RETURN(const int64_t most, pools_.InlineVolumeMaxBytes(args.pool));
  if (most <= 0)
    return absl::FailedPreconditionError(
        absl::StrCat("pool ", args.pool,
                     " gives pods no inline volumes: its spec.inlineVolumes.maxSize is not set"));
  if (args.size_bytes <= most) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("an inline volume of ", args.size_bytes, " bytes is wanted: pool ", args.pool,
                   " gives at most ", most, " by its spec.inlineVolumes.maxSize"));
}

absl::Status InlineVolumes::CarveNear(const CallContext& context, const InlineVolumeArgs& args,
                                      EnsureVolumeArgs carve) {
  ASHLAR_ASSIGN_OR_RETURN(const std::shared_ptr<StorageBackend> backend, pools_.Backend(args.pool));
  ASHLAR_ASSIGN_OR_RETURN(const PoolUsage usage, backend->Usage());
  ASHLAR_ASSIGN_OR_RETURN(const int64_t size, RoundedSize(args.size_bytes, args.fs_type));
  ASHLAR_ASSIGN_OR_RETURN(const NearPlan plan, near_.Plan(context, usage, size, *args.near));
  absl::Status carved;
  for (const NearDrive& drive : plan.drives) {
    carve.drive = drive.id;
    carve.locality = {plan.gpus, std::string(LevelName(drive.level)), args.near->pod.name_space,
                      args.near->pod.name};
    carved = volumes_.Ensure(context, carve).status();
    if (carved.ok())
      LogInfo("inline volume carved near GPUs", {{"volume", args.id},
                                                 {"drive", drive.id},
                                                 {"level", carve.locality.level},
                                                 {"gpus", absl::StrJoin(plan.gpus, ", ")},
                                                 {"request", context.request_id}});
    // Somebody may have taken its room, or the drive leaves the pool.
    if (!absl::IsResourceExhausted(carved) && !absl::IsFailedPrecondition(carved)) return carved;
  }
  if (!plan.anywhere) return carved;
  if (!plan.why.empty())
    LogWarning("inline volume is carved wherever there is room",
               {{"volume", args.id}, {"why", plan.why}, {"request", context.request_id}});
  carve.drive.clear();
  carve.locality = {};
  return volumes_.Ensure(context, carve).status();
}

absl::Status InlineVolumes::Make(const CallContext& context, const InlineVolumeArgs& args) {
  EnsureVolumeArgs carve;
  carve.id = args.id;
  carve.pool = args.pool;
  carve.size_bytes = args.size_bytes;
  carve.fs_type = args.fs_type;
  carve.kind = VolumeKind::kInline;
  // A volume that exists stays where it is.
  if (args.near && !volumes_.Find(args.id))
    ASHLAR_RETURN_IF_ERROR(CarveNear(context, args, carve));
  else
    ASHLAR_RETURN_IF_ERROR(volumes_.Ensure(context, carve).status());
  StageArgs stage;
  stage.id = args.id;
  stage.staging_path = StagingPath(args.id);
  stage.mount_flags = args.mount_flags;
  ASHLAR_RETURN_IF_ERROR(volumes_.Stage(context, stage));
  PublishArgs publish;
  publish.id = args.id;
  publish.staging_path = stage.staging_path;
  publish.target_path = args.target_path;
  publish.read_only = args.read_only;
  publish.single_writer = true;
  publish.mount_group = args.mount_group;
  return volumes_.Publish(context, publish);
}

absl::Status InlineVolumes::TakeAway(const CallContext& context, const std::string& id) {
  const std::optional<VolumeStatus> volume = volumes_.Find(id);
  if (!volume || volume->facts.kind != VolumeKind::kInline) return absl::OkStatus();
  ASHLAR_RETURN_IF_ERROR(volumes_.Unstage(context, id, StagingPath(id)));
  return volumes_.Remove(context, id, VolumeKind::kInline);
}

absl::Status InlineVolumes::TakeAwaySoon(const CallContext& context, const std::string& id) {
  const absl::Status gone = TakeAway(context, id);
  MutexLock lock(mu_);
  if (gone.ok())
    unseen_since_.erase(id);
  else
    unseen_since_[id] = absl::InfinitePast();
  return gone;
}

absl::Status InlineVolumes::Publish(const CallContext& context, const InlineVolumeArgs& args) {
  ASHLAR_RETURN_IF_ERROR(ValidateName("volume_id", args.id));
  ASHLAR_RETURN_IF_ERROR(ValidateName("pool", args.pool));
  ASHLAR_ASSIGN_OR_RETURN(const Busy busy, Busy::Claim(*this, args.id));
  const bool known = volumes_.Find(args.id).has_value();
  if (!known) ASHLAR_RETURN_IF_ERROR(CheckAllowed(args));
  const absl::Status made = Make(context, args);
  if (made.ok()) {
    MutexLock lock(mu_);
    unseen_since_.erase(args.id);
    return made;
  }
  if (known) return made;  // an earlier call made it, and a pod may have written to it
  CallContext undo;
  undo.request_id = context.request_id;
  const absl::Status gone = TakeAwaySoon(undo.Until(clock_.Now() + kUndoTime), args.id);
  if (!gone.ok())
    LogError("an inline volume that could not be published is left for later",
             {{"volume", args.id}, {"error", gone.ToString()}, {"request", context.request_id}});
  return made;
}

absl::Status InlineVolumes::Unpublish(const CallContext& context, const std::string& id,
                                      const std::string& target_path) {
  const std::optional<VolumeStatus> before = volumes_.Find(id);
  if (!before || before->facts.kind != VolumeKind::kInline)
    return volumes_.Unpublish(context, id, target_path);
  ASHLAR_ASSIGN_OR_RETURN(const Busy busy, Busy::Claim(*this, id));
  ASHLAR_RETURN_IF_ERROR(volumes_.Unpublish(context, id, target_path));
  const std::optional<VolumeStatus> after = volumes_.Find(id);
  if (!after || after->publications > 0) return absl::OkStatus();
  const absl::Status gone = TakeAwaySoon(context, id);
  // A pod must be able to go when its drive is dead.
  if (gone.ok() || pools_.Backend(before->facts.pool).ok()) return gone;
  LogWarning("the bytes of an inline volume are given back when its pool is ready",
             {{"volume", id}, {"error", gone.ToString()}, {"request", context.request_id}});
  return absl::OkStatus();
}

void InlineVolumes::RemoveForgotten(const CallContext& context) {
  const absl::Time now = clock_.Now();
  std::map<std::string, absl::Time> unseen;
  for (const VolumeStatus& volume : volumes_.List()) {
    const std::string& id = volume.facts.id;
    if (volume.facts.kind != VolumeKind::kInline || volume.publications > 0) continue;
    MutexLock lock(mu_);
    unseen[id] = unseen_since_.try_emplace(id, now).first->second;
  }
  for (const auto& [id, since] : unseen) {
    if (now - since < kInlineVolumePatience) continue;
    const absl::StatusOr<Busy> busy = Busy::Claim(*this, id);
    if (!busy.ok()) continue;
    if (const absl::Status gone = TakeAwaySoon(context, id); !gone.ok()) {
      LogWarning("an inline volume that no pod uses cannot be removed yet",
                 {{"volume", id}, {"error", gone.ToString()}});
      continue;
    }
    LogInfo("removed an inline volume whose pod did not come", {{"volume", id}});
    changed_();
  }
}

void InlineVolumes::Start() {
  thread_ = std::jthread([this](const std::stop_token& stop) {
    CallContext context;
    context.stop = stop;
    do {
      RemoveForgotten(context);
    } while (SleepFor(clock_, context, kLook).ok());
  });
}

void InlineVolumes::Stop() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
}

}  // namespace ashlar::node_agent
