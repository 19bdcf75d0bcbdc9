#include "node-agent/gpu/partition/gpu_partitions.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "node-agent/gpu/partition/partition_turn.h"

namespace ashlar::node_agent {
namespace {

namespace pb = agent::v1;

// A change of ours is told as often as it has steps.
constexpr absl::Duration kSettleTime = absl::Seconds(1);

absl::Status StatusOf(absl::string_view reason, absl::string_view message) {
  const std::string text = absl::StrCat(reason, ": ", message);
  if (reason == "BadRequest") return absl::InvalidArgumentError(text);
  if (reason == "NoRoom") return absl::ResourceExhaustedError(text);
  if (reason == "NoPermission") return absl::PermissionDeniedError(text);
  if (reason == "InUse" || reason == "Taken" || reason == "NeedsReset" || reason == "NotSupported")
    return absl::FailedPreconditionError(text);
  if (reason == "GpuLost" || reason == "Busy" || reason == kDriverHung || reason == kDriverFailed ||
      reason == kNoDriver)
    return absl::UnavailableError(text);
  return absl::InternalError(text);
}

absl::Status StatusOf(const pb::GpuChangeAnswer& answer) {
  return answer.reason().empty() ? absl::OkStatus() : StatusOf(answer.reason(), answer.message());
}

// Whether the step may have been done all the same, or may yet be.
bool IsUncertain(const pb::GpuChangeAnswer& answer) {
  return answer.reason() == kDriverHung || answer.reason() == kDriverFailed ||
         answer.reason() == "Failed" || answer.reason() == "GpuLost";
}

void FillPlace(const PartitionRecord& record, pb::GpuPlace& place) {
  place.set_profile(record.profile);
  place.set_start(record.start);
  place.set_size(record.size);
}

bool Overlap(const PartitionRecord& record, const GpuPartitionArgs& wanted) {
  return record.gpu == wanted.gpu && record.start < wanted.start + wanted.size &&
         wanted.start < record.start + record.size;
}

absl::Status Check(const std::string& claim, const GpuPartitionArgs& wanted) {
  // It becomes part of file names.
  const bool name = !wanted.gpu.empty() && wanted.gpu.size() <= 96 &&
                    std::all_of(wanted.gpu.begin(), wanted.gpu.end(),
                                [](char c) { return absl::ascii_isalnum(c) || c == '-'; });
  if (claim.empty() || !name || wanted.profile.empty() || wanted.start < 0 || wanted.size <= 0 ||
      wanted.keep_seconds < 0 || wanted.power_watts < 0)
    return StatusOf("BadRequest",
                    "a part needs a claim, the UUID of a GPU, a profile, and memory slices");
  return absl::OkStatus();
}

}  // namespace

GpuPartition ShowPart(const PartitionRecord& record, const std::string& problem) {
  GpuPartition part;
  part.gpu = record.gpu;
  part.profile = record.profile;
  part.start = record.start;
  part.size = record.size;
  part.gpu_instance = record.instance.value_or(-1);
  part.compute_instance = record.compute_instance;
  part.mig_device = record.mig_device;
  part.claim = record.claim;
  if (record.kept()) part.kept_until = record.kept_until;
  part.problem = problem;
  part.power_watts = record.power_watts;
  return part;
}

bool IsThere(const v1alpha1::Mig& mig, const PartitionRecord& record) {
  for (const v1alpha1::MigInstance& instance : mig.instances())
    if (instance.id() == record.instance.value_or(-1) && instance.profile() == record.profile &&
        instance.start() == record.start && instance.size() == record.size)
      for (const v1alpha1::MigDevice& device : instance.devices())
        if (device.uuid() == record.mig_device) return true;
  return false;
}

absl::Status GpuPartitions::Recover(const CallContext&) {
  ASHLAR_ASSIGN_OR_RETURN(PartitionJournal::Records records, journal_.Load());
  for (const ModeRecord& mode : records.modes) {
    if (mode.boot_id != options_.boot_id) {
      ASHLAR_RETURN_IF_ERROR(journal_.RemoveMode(mode));
      continue;
    }
    MutexLock lock(mu_);
    modes_[mode.gpu] = mode;
  }
  ASHLAR_RETURN_IF_ERROR(powers_.Recover(records.powers));
  for (PartitionRecord& record : records.partitions) {
    if (record.boot_id != options_.boot_id) {
      ASHLAR_RETURN_IF_ERROR(journal_.Remove(record));
      continue;
    }
    const Place place{record.gpu, record.start};
    MutexLock lock(mu_);
    entries_[place].record = std::move(record);
    look_at_ = clock_.Now();
  }
  return absl::OkStatus();
}

void GpuPartitions::Start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
}

void GpuPartitions::Stop() {
  stop_.request_stop();
  if (!thread_.joinable()) return;
  thread_.request_stop();
  LookSoon();
  thread_.join();
}

std::vector<GpuPartition> GpuPartitions::List() {
  MutexLock lock(mu_);
  std::vector<GpuPartition> parts;
  for (const auto& [place, entry] : entries_)
    parts.push_back(ShowPart(entry.record, entry.problem));
  for (const auto& [key, refused] : refused_) parts.push_back(refused);
  return parts;
}

void GpuPartitions::LookSoon() {
  MutexLock lock(mu_);
  look_at_ = std::min(look_at_, clock_.Now() + kSettleTime);
  changed_.NotifyAll();
}

std::vector<GpuPartitions::Entry> GpuPartitions::Entries() {
  MutexLock lock(mu_);
  std::vector<Entry> entries;
  for (const auto& [place, entry] : entries_) entries.push_back(entry);
  return entries;
}

pb::GpuChangeAnswer GpuPartitions::Change(const std::string& gpu,
                                          const std::function<void(pb::ChangeGpu&)>& fill) {
  pb::ChangeGpu change;
  change.set_gpu(gpu);
  fill(change);
  // Not the caller's context: a step that was begun is brought to its end or deadline.
  CallContext context;
  context.stop = stop_.get_token();
  pb::GpuChangeAnswer answer = gpus_.Make(context, std::move(change));
  MutexLock lock(mu_);
  used_ = clock_.Now();
  return answer;
}

absl::StatusOr<v1alpha1::Mig> GpuPartitions::Read(const std::string& gpu) {
  const pb::GpuChangeAnswer answer = Change(gpu, [](pb::ChangeGpu& step) { step.mutable_read(); });
  ASHLAR_RETURN_IF_ERROR(StatusOf(answer));
  return answer.mig();
}

absl::Status GpuPartitions::Save(const PartitionRecord& record) {
  ASHLAR_RETURN_IF_ERROR(journal_.Save(record));
  MutexLock lock(mu_);
  Entry& entry = entries_[{record.gpu, record.start}];
  entry.record = record;
  entry.problem.clear();
  return absl::OkStatus();
}

absl::Status GpuPartitions::Forget(const PartitionRecord& record) {
  ASHLAR_RETURN_IF_ERROR(journal_.Remove(record));
  MutexLock lock(mu_);
  entries_.erase({record.gpu, record.start});
  return absl::OkStatus();
}

absl::StatusOr<GpuPartition> GpuPartitions::Ensure(const CallContext& context,
                                                   const std::string& claim,
                                                   const GpuPartitionArgs& wanted) {
  ASHLAR_RETURN_IF_ERROR(Check(claim, wanted));
  Turn turn(*this);
  ASHLAR_RETURN_IF_ERROR(turn.Await(context));
  const bool had = Has(claim, wanted);
  absl::StatusOr<GpuPartition> made = EnsureInTurn(claim, wanted);
  const absl::Status power = SettlePower(wanted.gpu);
  if (made.ok() && !power.ok()) {
    made = power;
    if (!had) {
      Undo({wanted.gpu, wanted.start}).IgnoreError();  // tried again, as is the limit
      SettlePower(wanted.gpu).IgnoreError();
    }
  }
  {
    MutexLock lock(mu_);
    const auto key = std::make_pair(claim, Place{wanted.gpu, wanted.start});
    if (made.ok()) {
      refused_.erase(key);
    } else {
      GpuPartition& refused = refused_[key];
      refused.gpu = wanted.gpu;
      refused.profile = wanted.profile;
      refused.start = wanted.start;
      refused.size = wanted.size;
      refused.claim = claim;
      refused.problem = std::string(made.status().message());
      refused.power_watts = wanted.power_watts;
    }
  }
  if (!made.ok()) LeaveMode(wanted.gpu);
  if (tell_) tell_();
  return made;
}

bool GpuPartitions::Has(const std::string& claim, const GpuPartitionArgs& wanted) {
  MutexLock lock(mu_);
  const auto it = entries_.find({wanted.gpu, wanted.start});
  return it != entries_.end() && it->second.record.phase == PartitionPhase::kMade &&
         it->second.record.claim == claim;
}

absl::StatusOr<GpuPartition> GpuPartitions::EnsureInTurn(const std::string& claim,
                                                         const GpuPartitionArgs& wanted) {
  // Also if a claim beside it asks for more: it may go first.
  if (wanted.power_watts > 0)
    ASHLAR_RETURN_IF_ERROR(StatusOf(powers_.Check(wanted.gpu, wanted.power_watts)));
  for (const Entry& entry : Entries()) {
    if (entry.record.gpu != wanted.gpu || entry.record.start != wanted.start) continue;
    bool again = false;
    absl::StatusOr<GpuPartition> part = Reuse(claim, wanted, entry, again);
    if (!again) return part;
  }
  ASHLAR_RETURN_IF_ERROR(MakeWay(wanted, /*all=*/false));
  ASHLAR_RETURN_IF_ERROR(EnsureMode(wanted));
  PartitionRecord record;
  record.gpu = wanted.gpu;
  record.profile = wanted.profile;
  record.start = wanted.start;
  record.size = wanted.size;
  record.claim = claim;
  record.keep_seconds = wanted.keep_seconds;
  record.power_watts = wanted.power_watts;
  record.boot_id = options_.boot_id;
  absl::StatusOr<GpuPartition> part = MakePart(record);
  if (!absl::IsResourceExhausted(part.status())) return part;
  // Kept parts elsewhere may use up what the GPU has of compute slices or engines.
  const size_t before = Entries().size();
  ASHLAR_RETURN_IF_ERROR(MakeWay(wanted, /*all=*/true));
  if (Entries().size() == before) return part;
  return MakePart(record);
}

absl::StatusOr<GpuPartition> GpuPartitions::Reuse(const std::string& claim,
                                                  const GpuPartitionArgs& wanted, Entry entry,
                                                  bool& again) {
  PartitionRecord& record = entry.record;
  const bool made = record.phase == PartitionPhase::kMade;
  if (made && !record.kept() && record.claim != claim)
    return StatusOf("Taken", absl::StrCat("claim ", record.claim, " has ", record.profile,
                                          " there until it is unprepared"));
  if (made && record.profile == wanted.profile && record.size == wanted.size) {
    ASHLAR_ASSIGN_OR_RETURN(const v1alpha1::Mig mig, Read(record.gpu));
    if (IsThere(mig, record)) {
      record.claim = claim;
      record.keep_seconds = wanted.keep_seconds;
      record.power_watts = wanted.power_watts;
      ASHLAR_RETURN_IF_ERROR(Save(record));
      return ShowPart(record, "");
    }
    ASHLAR_RETURN_IF_ERROR(Forget(record));
  } else {
    ASHLAR_RETURN_IF_ERROR(Undo({record.gpu, record.start}));
  }
  again = true;
  return ShowPart(record, "");
}

absl::Status GpuPartitions::MakeWay(const GpuPartitionArgs& wanted, bool all) {
  for (const Entry& entry : Entries()) {
    const PartitionRecord& record = entry.record;
    const bool in_the_way = all ? record.gpu == wanted.gpu : Overlap(record, wanted);
    if (!in_the_way) continue;
    if (record.kept() || record.phase != PartitionPhase::kMade)
      ASHLAR_RETURN_IF_ERROR(Undo({record.gpu, record.start}));
    else if (Overlap(record, wanted))
      return StatusOf("Taken", absl::StrCat("claim ", record.claim, " has ", record.profile,
                                            " in the way until it is unprepared"));
  }
  return absl::OkStatus();
}

absl::Status GpuPartitions::EnsureMode(const GpuPartitionArgs& wanted) {
  ASHLAR_ASSIGN_OR_RETURN(const v1alpha1::Mig mig, Read(wanted.gpu));
  // Before there is a record: what is there now, nobody takes for ours later.
  for (const v1alpha1::MigInstance& other : mig.instances())
    if (other.start() < wanted.start + wanted.size && wanted.start < other.start() + other.size())
      return StatusOf(
          "NoRoom",
          absl::StrCat("instance ", other.id(), " (", other.profile(),
                       "), which the agent did not make, has memory slices ", other.start(), " to ",
                       other.start() + other.size() - 1, "; whoever made it must remove it"));
  if (mig.enabled()) return absl::OkStatus();
  if (mig.pending())
    return StatusOf("NeedsReset", "its MIG mode is on after the next reset of the GPU");
  const ModeRecord record{wanted.gpu, options_.boot_id};
  ASHLAR_RETURN_IF_ERROR(journal_.SaveMode(record));
  {
    MutexLock lock(mu_);
    modes_[wanted.gpu] = record;
  }
  const pb::GpuChangeAnswer answer =
      Change(wanted.gpu, [](pb::ChangeGpu& step) { step.mutable_mode()->set_enabled(true); });
  if (!answer.reason().empty() && !IsUncertain(answer)) ASHLAR_RETURN_IF_ERROR(ForgetMode(record));
  return StatusOf(answer);
}

absl::Status GpuPartitions::MakeInstance(PartitionRecord& record) {
  record.phase = PartitionPhase::kMaking;
  ASHLAR_RETURN_IF_ERROR(Save(record));
  const pb::GpuChangeAnswer answer = Change(record.gpu, [&](pb::ChangeGpu& step) {
    FillPlace(record, *step.mutable_make()->mutable_place());
  });
  if (answer.reason().empty()) {
    record.instance = answer.instance();
    return absl::OkStatus();
  }
  // Nothing was made, and what is there is not ours.
  if (!IsUncertain(answer)) {
    ASHLAR_RETURN_IF_ERROR(Forget(record));
  } else {
    Undo({record.gpu, record.start}).IgnoreError();
  }
  return StatusOf(answer);
}

absl::StatusOr<GpuPartition> GpuPartitions::MakePart(PartitionRecord record) {
  ASHLAR_RETURN_IF_ERROR(MakeInstance(record));
  const Place place{record.gpu, record.start};
  record.phase = PartitionPhase::kMakingCompute;
  absl::Status status = Save(record);
  if (status.ok()) {
    const pb::GpuChangeAnswer answer = Change(record.gpu, [&](pb::ChangeGpu& step) {
      FillPlace(record, *step.mutable_make_compute()->mutable_place());
      step.mutable_make_compute()->set_instance(*record.instance);
    });
    status = StatusOf(answer);
    record.compute_instance = answer.compute_instance();
    record.mig_device = answer.mig_device();
  }
  record.phase = PartitionPhase::kMade;
  if (status.ok()) status = Save(record);
  if (!status.ok()) {
    Undo(place).IgnoreError();
    return status;
  }
  LogInfo("made a part of a GPU", {{"gpu", record.gpu},
                                   {"profile", record.profile},
                                   {"start", record.start},
                                   {"claim", record.claim},
                                   {"device", record.mig_device}});
  return ShowPart(record, "");
}

absl::Status GpuPartitions::Undo(const Place& place) {
  Entry entry;
  {
    MutexLock lock(mu_);
    const auto it = entries_.find(place);
    if (it == entries_.end()) return absl::OkStatus();
    entry = it->second;
  }
  PartitionRecord& record = entry.record;
  absl::Status status;
  if (record.phase != PartitionPhase::kRemoving || !record.claim.empty()) {
    record.phase = PartitionPhase::kRemoving;
    record.claim.clear();
    status = Save(record);
  }
  if (status.ok())
    status = StatusOf(Change(record.gpu, [&](pb::ChangeGpu& step) {
      FillPlace(record, *step.mutable_remove()->mutable_place());
      if (record.instance) step.mutable_remove()->set_instance(*record.instance);
      step.mutable_remove()->set_mig_device(record.mig_device);
    }));
  if (status.ok()) status = Forget(record);
  if (status.ok()) return status;
  LogWarning("a part of a GPU is not removed yet", {{"gpu", record.gpu},
                                                    {"profile", record.profile},
                                                    {"start", record.start},
                                                    {"error", status.ToString()}});
  MutexLock lock(mu_);
  entries_[place].problem = std::string(status.message());
  entries_[place].retry_at = clock_.Now() + options_.retry;
  return status;
}

absl::Status GpuPartitions::Release(const CallContext& context, const std::string& claim) {
  if (claim.empty()) return StatusOf("BadRequest", "a claim has a uid");
  Turn turn(*this);
  ASHLAR_RETURN_IF_ERROR(turn.Await(context));
  std::vector<PartitionRecord> going;
  std::set<std::string> gpus;
  for (Entry& entry : Entries()) {
    PartitionRecord& record = entry.record;
    if (record.claim != claim) continue;
    record.claim.clear();
    if (record.phase == PartitionPhase::kMade && record.keep_seconds > 0)
      record.kept_until = clock_.Now() + absl::Seconds(record.keep_seconds);
    else
      record.phase = PartitionPhase::kRemoving;
    ASHLAR_RETURN_IF_ERROR(Save(record));
    gpus.insert(record.gpu);
    if (!record.kept()) going.push_back(record);
  }
  for (const std::string& gpu : gpus) SettlePower(gpu).IgnoreError();  // tried again
  for (const PartitionRecord& record : going) {
    Undo({record.gpu, record.start}).IgnoreError();  // tried again
    LeaveMode(record.gpu);
  }
  {
    MutexLock lock(mu_);
    std::erase_if(refused_, [&](const auto& refused) { return refused.first.first == claim; });
    changed_.NotifyAll();
  }
  if (tell_) tell_();
  return absl::OkStatus();
}

int GpuPartitions::PowerOf(const std::string& gpu) {
  int most = 0;
  for (const auto& [place, entry] : entries_) {
    const PartitionRecord& record = entry.record;
    if (record.gpu != gpu || record.phase != PartitionPhase::kMade || record.claim.empty())
      continue;
    if (record.power_watts == 0) return 0;
    most = std::max(most, record.power_watts);
  }
  return most;
}

absl::Status GpuPartitions::SettlePower(const std::string& gpu) {
  int watts = 0;
  {
    MutexLock lock(mu_);
    watts = PowerOf(gpu);
  }
  ASHLAR_ASSIGN_OR_RETURN(const pb::GpuChangeAnswer answer, powers_.Settle(gpu, watts));
  return StatusOf(answer);
}

}  // namespace ashlar::node_agent
