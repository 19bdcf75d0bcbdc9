#include "node-agent/claims/claims.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"

namespace ashlar::node_agent {
namespace {

std::string NameOf(const ClaimFacts& facts, size_t index) {
  return absl::StrCat(facts.uid, "-", index);
}

// The variable that tells a container of all devices of the request. Each of them has it, as
// whichever comes last counts.
std::string Variable(const std::string& driver, const std::string& request,
                     const std::vector<std::string>& values) {
  if (driver == kGpuDriver)
    return absl::StrCat("NVIDIA_VISIBLE_DEVICES=", absl::StrJoin(values, ","));
  std::string name = absl::AsciiStrToUpper(request);
  for (char& c : name)
    if (!absl::ascii_isalnum(c)) c = '_';
  return absl::StrCat("ASHLAR_VOLUME_", name, "=", absl::StrJoin(values, ":"));
}

}  // namespace

Claims::Hold::~Hold() {
  if (of_ == nullptr) return;
  MutexLock lock(of_->mu_);
  of_->held_.erase(uid_);
  of_->moved_.NotifyAll();
}

absl::StatusOr<Claims::Hold> Claims::Acquire(const std::string& uid) {
  MutexLock lock(mu_);
  if (held_.insert(uid).second) return Hold(*this, uid);
  return absl::AbortedError(absl::StrCat("another call on claim ", uid, " is under way: repeat"));
}

absl::StatusOr<Claims::Hold> Claims::Await(const CallContext& context, const std::string& uid,
                                           Want want, absl::Time until) {
  const absl::Time end = std::min(until, context.deadline);
  const std::stop_callback wake(context.stop, [this] {
    MutexLock lock(mu_);
    moved_.NotifyAll();
  });
  MutexLock lock(mu_);
  for (;;) {
    const bool told = records_.count(uid) > 0;
    if ((told || want == Want::kFree) && held_.insert(uid).second) return Hold(*this, uid);
    if (context.stop.stop_requested()) return absl::CancelledError("the call was called off");
    if (clock_.Now() >= end)
      return absl::UnavailableError(
          told || want == Want::kFree
              ? absl::StrCat("another call on claim ", uid, " is under way: repeat")
              : absl::StrCat("the controller has not told this node what claim ", uid,
                             " holds: repeat"));
    clock_.WaitUntil(moved_, mu_, end);
  }
}

std::optional<ClaimRecord> Claims::Get(const std::string& uid) {
  MutexLock lock(mu_);
  const auto found = records_.find(uid);
  if (found == records_.end()) return std::nullopt;
  return found->second;
}

absl::Status Claims::Put(const ClaimRecord& record) {
  ASHLAR_RETURN_IF_ERROR(journal_.Save(record));
  {
    MutexLock lock(mu_);
    records_[record.facts.uid] = record;
  }
  changed_();
  return absl::OkStatus();
}

void Claims::NoteProblem(const std::string& uid, size_t index, const absl::Status& status) {
  MutexLock lock(mu_);
  if (status.ok())
    problems_[uid].erase(index);
  else
    problems_[uid][index] = std::string(status.message());
  if (problems_[uid].empty()) problems_.erase(uid);
}

absl::Status Claims::Recover(const CallContext& context) {
  ASHLAR_ASSIGN_OR_RETURN(std::vector<ClaimRecord> records, journal_.Load());
  std::set<std::pair<std::string, std::string>> files;
  std::map<std::string, std::string> places;
  std::set<std::string> with_gpus;
  for (ClaimRecord& record : records) {
    if (record.boot_id != boot_id_) record.phases.clear();
    {
      MutexLock lock(mu_);
      records_[record.facts.uid] = record;
    }
    const auto phases = record.phases;
    for (const auto& [driver, phase] : phases) {
      if (phase == ClaimPhase::kUnpreparing) {
        const absl::Status gone = TakeBack(context, record, driver);
        // The kubelet asks again.
        if (!gone.ok())
          LogWarning("a claim is not unprepared yet",
                     {{"claim", record.facts.uid}, {"error", gone.ToString()}});
        if (gone.ok()) continue;
      }
      files.insert({driver, record.facts.uid});
      if (driver == kGpuDriver) with_gpus.insert(record.facts.uid);
      for (size_t i = 0; i < record.facts.devices.size(); ++i)
        if (const auto* volume = std::get_if<ClaimVolume>(&record.facts.devices[i].what);
            volume != nullptr && record.facts.devices[i].driver == driver)
          places[NameOf(record.facts, i)] = volume->volume_id;
    }
  }
  volumes_.Sweep(context, places);
  gpus_.Sweep(context, with_gpus);
  return cdi_.Sweep({kNvmeDriver, kGpuDriver}, files);
}

absl::StatusOr<ClaimStatus> Claims::Ensure(const CallContext& context, const ClaimFacts& facts,
                                           const std::vector<std::string>& pods) {
  ASHLAR_RETURN_IF_ERROR(ValidateClaim(facts));
  ASHLAR_ASSIGN_OR_RETURN(const Hold hold, Acquire(facts.uid));
  std::optional<ClaimRecord> record = Get(facts.uid);
  if (record && record->pods != pods) {
    record->pods = pods;
    ASHLAR_RETURN_IF_ERROR(Put(*record));
  }
  if (record && record->facts == facts) return StatusOf(*record);
  if (record) {
    for (const auto& [driver, phase] : record->phases)
      if (phase == ClaimPhase::kPrepared)
        return absl::AlreadyExistsError(absl::StrCat(
            "claim ", facts.uid, " was told with other devices and is prepared for ", driver));
    ASHLAR_RETURN_IF_ERROR(TakeBackAll(context, *record));
  }
  ClaimRecord fresh;
  fresh.facts = facts;
  fresh.pods = pods;
  fresh.boot_id = boot_id_;
  ASHLAR_RETURN_IF_ERROR(Put(fresh));
  LogInfo("claim told", {{"claim", facts.uid},
                         {"name", absl::StrCat(facts.space, "/", facts.name)},
                         {"devices", facts.devices.size()},
                         {"request", context.request_id}});
  return StatusOf(fresh);
}

absl::Status Claims::Remove(const CallContext& context, const std::string& uid) {
  ASHLAR_ASSIGN_OR_RETURN(const Hold hold, Acquire(uid));
  std::optional<ClaimRecord> record = Get(uid);
  if (!record) return absl::OkStatus();
  for (const auto& [driver, phase] : record->phases)
    if (phase == ClaimPhase::kPrepared)
      return absl::FailedPreconditionError(
          absl::StrCat("claim ", uid, " is prepared for ", driver,
                       ": the kubelet takes that back when the pods that use it have ended"));
  ASHLAR_RETURN_IF_ERROR(TakeBackAll(context, *record));
  ASHLAR_RETURN_IF_ERROR(journal_.Remove(uid));
  {
    MutexLock lock(mu_);
    records_.erase(uid);
    problems_.erase(uid);
  }
  changed_();
  LogInfo("claim forgotten", {{"claim", uid}, {"request", context.request_id}});
  return absl::OkStatus();
}

absl::StatusOr<Claims::Made> Claims::Make(const CallContext& context, const ClaimFacts& facts,
                                          size_t index) {
  const ClaimDevice& device = facts.devices[index];
  Made made;
  made.device.name = NameOf(facts, index);
  made.request = device.request_name();
  if (const auto* volume = std::get_if<ClaimVolume>(&device.what); volume != nullptr) {
    made.value = volume->path;
    ASHLAR_RETURN_IF_ERROR(volumes_.Show(context, made.device.name, *volume, made.device));
  } else if (const auto* gpu = std::get_if<ClaimGpu>(&device.what); gpu != nullptr) {
    made.value = gpu->uuid;
    ASHLAR_RETURN_IF_ERROR(gpus_.Give(*gpu, made.device));
  } else {
    ASHLAR_ASSIGN_OR_RETURN(
        made.value,
        gpus_.Make(context, facts.uid, std::get<ClaimGpuPartition>(device.what), made.device));
  }
  return made;
}

absl::Status Claims::Release(const CallContext& context, const ClaimFacts& facts,
                             const std::string& driver) {
  if (driver == kGpuDriver) return gpus_.Release(context, facts.uid);
  absl::Status gone;
  for (size_t i = 0; i < facts.devices.size(); ++i)
    if (const auto* volume = std::get_if<ClaimVolume>(&facts.devices[i].what); volume != nullptr)
      gone.Update(volumes_.Hide(context, NameOf(facts, i), *volume));
  return gone;
}

absl::Status Claims::MakeAll(const CallContext& context, const ClaimFacts& facts,
                             const std::string& driver) {
  std::vector<Made> all;
  std::map<std::string, std::vector<std::string>> values;  // by request
  for (size_t i = 0; i < facts.devices.size(); ++i) {
    if (facts.devices[i].driver != driver) continue;
    absl::StatusOr<Made> made = Make(context, facts, i);
    NoteProblem(facts.uid, i, made.status());
    if (!made.ok())
      return Annotate(made.status(), absl::StrCat("request ", facts.devices[i].request));
    values[made->request].push_back(made->value);
    all.push_back(*std::move(made));
  }
  std::vector<CdiDevice> devices;
  for (Made& made : all) {
    made.device.env.push_back(Variable(driver, made.request, values[made.request]));
    devices.push_back(std::move(made.device));
  }
  return cdi_.Write(driver, facts.uid, devices);
}

absl::StatusOr<std::vector<ClaimDeviceStatus>> Claims::Prepare(const CallContext& context,
                                                               const std::string& driver,
                                                               const std::string& uid,
                                                               absl::Time until) {
  ASHLAR_ASSIGN_OR_RETURN(const Hold hold, Await(context, uid, Want::kTold, until));
  ClaimRecord record = *Get(uid);
  const auto& devices = record.facts.devices;
  if (std::none_of(devices.begin(), devices.end(),
                   [&](const ClaimDevice& device) { return device.driver == driver; }))
    return absl::FailedPreconditionError(
        absl::StrCat("claim ", uid, " holds no device of ", driver, " on this node"));
  // What pods use already stays so, whatever comes out of this call.
  const bool prepared = record.phase(driver) == ClaimPhase::kPrepared;
  if (!prepared) {
    record.phases[driver] = ClaimPhase::kPreparing;
    record.boot_id = boot_id_;
    ASHLAR_RETURN_IF_ERROR(Put(record));
  }
  const absl::Status made = MakeAll(context, record.facts, driver);
  if (!made.ok()) changed_();  // the problem is to be seen
  ASHLAR_RETURN_IF_ERROR(made);
  if (!prepared) {
    record.phases[driver] = ClaimPhase::kPrepared;
    ASHLAR_RETURN_IF_ERROR(Put(record));
    LogInfo("claim prepared",
            {{"claim", uid}, {"driver", driver}, {"request", context.request_id}});
  }
  std::vector<ClaimDeviceStatus> answer;
  for (ClaimDeviceStatus& device : StatusOf(record).devices)
    if (device.device.driver == driver) answer.push_back(std::move(device));
  return answer;
}

absl::Status Claims::TakeBack(const CallContext& context, ClaimRecord& record,
                              const std::string& driver) {
  record.phases[driver] = ClaimPhase::kUnpreparing;
  ASHLAR_RETURN_IF_ERROR(Put(record));
  // First the file, so that no container begins with it any more.
  absl::Status gone = cdi_.Remove(driver, record.facts.uid);
  gone.Update(Release(context, record.facts, driver));
  ASHLAR_RETURN_IF_ERROR(gone);
  record.phases.erase(driver);
  ASHLAR_RETURN_IF_ERROR(Put(record));
  LogInfo("claim unprepared",
          {{"claim", record.facts.uid}, {"driver", driver}, {"request", context.request_id}});
  return absl::OkStatus();
}

absl::Status Claims::TakeBackAll(const CallContext& context, ClaimRecord& record) {
  const auto phases = record.phases;
  for (const auto& [driver, phase] : phases)
    ASHLAR_RETURN_IF_ERROR(TakeBack(context, record, driver));
  return absl::OkStatus();
}

absl::Status Claims::Unprepare(const CallContext& context, const std::string& driver,
                               const std::string& uid, absl::Time until) {
  ASHLAR_ASSIGN_OR_RETURN(const Hold hold, Await(context, uid, Want::kFree, until));
  std::optional<ClaimRecord> record = Get(uid);
  if (!record || record->phases.count(driver) == 0) return absl::OkStatus();
  ASHLAR_RETURN_IF_ERROR(TakeBack(context, *record, driver));
  MutexLock lock(mu_);
  problems_.erase(uid);
  return absl::OkStatus();
}

std::string Claims::ProblemOf(const std::string& uid, ClaimDeviceStatus& status) {
  const auto& what = status.device.what;
  if (const auto* volume = std::get_if<ClaimVolume>(&what); volume != nullptr)
    return volumes_.Problem(*volume);
  if (const auto* gpu = std::get_if<ClaimGpu>(&what); gpu != nullptr) return gpus_.Problem(*gpu);
  return gpus_.Problem(uid, std::get<ClaimGpuPartition>(what), status.mig_device);
}

ClaimStatus Claims::StatusOf(const ClaimRecord& record) {
  std::map<size_t, std::string> problems;
  {
    MutexLock lock(mu_);
    if (const auto found = problems_.find(record.facts.uid); found != problems_.end())
      problems = found->second;
  }
  ClaimStatus status;
  status.uid = record.facts.uid;
  status.prepared = !record.idle();
  for (size_t i = 0; i < record.facts.devices.size(); ++i) {
    ClaimDeviceStatus one;
    one.device = record.facts.devices[i];
    if (record.phase(one.device.driver) == ClaimPhase::kPrepared)
      one.cdi_devices.push_back(CdiDirectory::IdOf(one.device.driver, NameOf(record.facts, i)));
    one.problem = ProblemOf(record.facts.uid, one);
    if (one.problem.empty()) one.problem = problems[i];
    status.devices.push_back(std::move(one));
  }
  return status;
}

void Claims::AddPods(std::vector<VolumeUse>& uses) {
  std::map<std::string, std::vector<std::string>> pods;  // by target
  {
    MutexLock lock(mu_);
    for (const auto& [uid, record] : records_)
      for (size_t i = 0; i < record.facts.devices.size(); ++i)
        if (std::holds_alternative<ClaimVolume>(record.facts.devices[i].what))
          pods[volumes_.TargetPath(NameOf(record.facts, i))] = record.pods;
  }
  for (VolumeUse& use : uses)
    for (const std::string& target : use.targets)
      if (const auto found = pods.find(target); found != pods.end())
        use.claim_pods[target] = found->second;
}

std::string Claims::HolderOf(const std::string& volume) {
  MutexLock lock(mu_);
  for (const auto& [uid, record] : records_) {
    if (record.idle()) continue;
    for (const ClaimDevice& device : record.facts.devices)
      if (const auto* held = std::get_if<ClaimVolume>(&device.what);
          held != nullptr && held->volume_id == volume)
        return absl::StrCat(record.facts.space, "/", record.facts.name);
  }
  return "";
}

std::vector<ClaimStatus> Claims::List() {
  std::vector<ClaimRecord> records;
  {
    MutexLock lock(mu_);
    for (const auto& [uid, record] : records_) records.push_back(record);
  }
  std::vector<ClaimStatus> list;
  for (const ClaimRecord& record : records) list.push_back(StatusOf(record));
  return list;
}

}  // namespace ashlar::node_agent
