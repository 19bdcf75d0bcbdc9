#include "controller/agents/testing/fake_agent.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace ashlar::controller {
namespace {

constexpr int64_t kMi = int64_t{1} << 20;
int64_t Rounded(int64_t bytes) { return (bytes + kMi - 1) / kMi * kMi; }

}  // namespace

FakeAgent::FakeAgent(std::string node, int64_t pool_bytes, Clock& clock)
    : node_(std::move(node)), pool_bytes_(pool_bytes), clock_(clock) {}

absl::Status FakeAgent::TakeFailure(const std::string& method, When when) {
  auto it = failures_.find(method);
  if (it == failures_.end() || it->second.count == 0 || it->second.when != when) {
    return absl::OkStatus();
  }
  --it->second.count;
  return it->second.status;
}

absl::Status FakeAgent::Enter(const CallContext& context, const std::string& method) {
  ++calls_[method];
  request_ids_[method] = context.request_id;
  changed_.NotifyAll();
  while (frozen_ && reachable_) {
    if (context.stop.stop_requested()) return absl::CancelledError("called off");
    if (clock_.Now() >= context.deadline) return absl::DeadlineExceededError("frozen");
    clock_.WaitUntil(changed_, mu_, context.deadline);
  }
  if (!reachable_) return absl::UnavailableError("connection refused");
  return TakeFailure(method, When::kBefore);
}

absl::Status FakeAgent::Leave(const std::string& method) {
  return TakeFailure(method, When::kAfter);
}

void FakeAgent::Changed() {
  ++revision_;
  changed_.NotifyAll();
}

agent::v1::PoolState FakeAgent::StateOf(const std::string& name) const {
  const agent::v1::EnsurePoolRequest& request = pools_.at(name);
  agent::v1::PoolState state;
  state.set_name(name);
  state.set_uid(request.uid());
  state.set_ready(problem_reason_.empty());
  state.set_reason(problem_reason_);
  state.set_message(problem_message_);
  state.add_devices(request.has_directory() ? request.directory().path() : "drive-0");
  int volumes = 0;
  for (const auto& [id, volume] : volumes_) volumes += volume.pool() == name ? 1 : 0;
  auto used = pool_used_.find(name);
  const int64_t allocated = used == pool_used_.end() ? 0 : used->second;
  state.set_volumes(volumes);
  int64_t bytes = pool_bytes_;
  if (!pool_drives_.empty()) bytes = 0;
  for (const auto& [id, size] : pool_drives_) bytes += size;
  state.set_capacity_bytes(bytes - request.reserve_bytes());
  state.set_allocated_bytes(allocated);
  state.set_allocatable_bytes(
      state.ready() ? std::max<int64_t>(0, state.capacity_bytes() - allocated) : 0);
  state.set_largest_volume_bytes(std::min(state.allocatable_bytes(), largest_volume_bytes_));
  int64_t largest = 0;
  for (const auto& [id, size] : pool_drives_) {
    agent::v1::PoolDriveState& drive = *state.add_drives();
    drive.set_id(id);
    drive.set_capacity_bytes(size);
    for (const auto& [name_of, volume] : volumes_)
      if (volume.pool() == name && volume.drive() == id)
        drive.set_allocated_bytes(drive.allocated_bytes() + volume.size_bytes());
    drive.set_allocatable_bytes(
        std::min(size - drive.allocated_bytes(), state.allocatable_bytes()));
    drive.set_largest_volume_bytes(drive.allocatable_bytes());
    largest = std::max(largest, drive.largest_volume_bytes());
  }
  if (!pool_drives_.empty()) state.set_largest_volume_bytes(largest);
  return state;
}

absl::StatusOr<std::string> FakeAgent::DriveFor(const agent::v1::EnsureVolumeRequest& request,
                                                int64_t bytes) const {
  const agent::v1::PoolState pool = StateOf(request.pool());
  int64_t left = pool.largest_volume_bytes();
  std::string chosen;
  if (!request.drive().empty()) {
    if (pool_drives_.empty())
      return absl::InvalidArgumentError("drive: volumes lie on no one drive");
    if (pool_drives_.count(request.drive()) == 0)
      return absl::FailedPreconditionError(absl::StrCat("no drive ", request.drive()));
  }
  for (const agent::v1::PoolDriveState& drive : pool.drives())
    if (request.drive().empty() ? drive.largest_volume_bytes() == left
                                : drive.id() == request.drive()) {
      chosen = drive.id();
      left = drive.largest_volume_bytes();
    }
  if (left < bytes)
    return absl::ResourceExhaustedError(absl::StrCat(bytes, " bytes, ", left, " are left"));
  return chosen;
}

agent::v1::Inventory FakeAgent::Snapshot() const {
  agent::v1::Inventory inventory;
  inventory.set_node(node_);
  inventory.set_agent_version("fake");
  inventory.set_boot_id("boot-1");
  inventory.set_kernel("6.1.0");
  inventory.set_revision(revision_);
  for (const agent::v1::Drive& drive : drives_) *inventory.add_drives() = drive;
  for (const auto& [name, request] : pools_) *inventory.add_pools() = StateOf(name);
  for (const auto& [uid, claim] : claims_) *inventory.add_claims() = claim.state;
  for (const v1alpha1::Gpu& gpu : gpus_) *inventory.add_gpus() = gpu;
  for (const v1alpha1::GpuDrivePath& path : paths_) *inventory.add_paths() = path;
  for (const auto& [id, question] : questions_) *inventory.add_pod_questions() = question;
  if (!gpus_.empty()) inventory.mutable_gpu_driver()->set_state("Ready");
  for (const auto& [id, volume] : volumes_) *inventory.add_volumes() = volume;
  return inventory;
}

absl::Status FakeAgent::WatchInventory(
    const CallContext& context, absl::Duration heartbeat,
    absl::FunctionRef<absl::Status(agent::v1::Inventory)> report) {
  std::stop_callback wake(context.stop, [this] {
    MutexLock lock(mu_);
    changed_.NotifyAll();
  });
  uint64_t sent = 0;
  absl::Time due = absl::InfinitePast();
  mu_.Lock();
  ++streams_;
  changed_.NotifyAll();
  absl::Status status;
  while (status.ok()) {
    if (context.stop.stop_requested()) {
      status = absl::CancelledError("called off");
    } else if (!reachable_) {
      status = absl::UnavailableError("connection refused");
    } else if (!frozen_ && (revision_ != sent || clock_.Now() >= due)) {
      sent = revision_;
      due = clock_.Now() + heartbeat;
      agent::v1::Inventory inventory = Snapshot();
      mu_.Unlock();
      status = report(std::move(inventory));
      mu_.Lock();
    } else {
      clock_.WaitUntil(changed_, mu_, frozen_ ? absl::InfiniteFuture() : due);
    }
  }
  --streams_;
  changed_.NotifyAll();
  mu_.Unlock();
  return status;
}

absl::StatusOr<agent::v1::PoolState> FakeAgent::EnsurePool(
    const CallContext& context, const agent::v1::EnsurePoolRequest& request) {
  MutexLock lock(mu_);
  if (absl::Status status = Enter(context, "EnsurePool"); !status.ok()) return status;
  if (request.name().empty()) return absl::InvalidArgumentError("name is empty");
  auto [it, added] = pools_.try_emplace(request.name(), request);
  if (!added && it->second.uid() != request.uid()) {
    return absl::AlreadyExistsError("another pool of the same name is here");
  }
  const bool same = !added && it->second.SerializeAsString() == request.SerializeAsString();
  it->second = request;
  if (!same) Changed();
  if (absl::Status status = Leave("EnsurePool"); !status.ok()) return status;
  return StateOf(request.name());
}

absl::Status FakeAgent::RemovePool(const CallContext& context, const std::string& pool) {
  MutexLock lock(mu_);
  if (absl::Status status = Enter(context, "RemovePool"); !status.ok()) return status;
  for (const auto& [id, volume] : volumes_) {
    if (volume.pool() == pool) {
      return absl::FailedPreconditionError(absl::StrCat("pool ", pool, " has volume ", id));
    }
  }
  if (pools_.erase(pool) > 0) Changed();
  return Leave("RemovePool");
}

std::string FakeAgent::RequestIdOf(const std::string& method) {
  MutexLock lock(mu_);
  return request_ids_[method];
}

absl::StatusOr<agent::v1::VolumeState> FakeAgent::EnsureVolume(
    const CallContext& context, const agent::v1::EnsureVolumeRequest& request) {
  MutexLock lock(mu_);
  if (absl::Status status = Enter(context, "EnsureVolume"); !status.ok()) return status;
  if (request.volume_id().empty()) return absl::InvalidArgumentError("volume_id is empty");
  if (request.size_bytes() <= 0) return absl::InvalidArgumentError("size_bytes must be above 0");
  const int64_t bytes = Rounded(request.size_bytes());
  auto it = volumes_.find(request.volume_id());
  if (it != volumes_.end()) {
    if (it->second.snapshot() || it->second.inline_volume() ||
        it->second.source() != request.source() || it->second.pool() != request.pool() ||
        it->second.size_bytes() != bytes ||
        (!request.drive().empty() && it->second.drive() != request.drive())) {
      return absl::AlreadyExistsError(
          absl::StrCat("volume ", request.volume_id(), " exists with other facts"));
    }
    return it->second;
  }
  if (pools_.count(request.pool()) == 0) {
    return absl::NotFoundError(absl::StrCat("no pool ", request.pool()));
  }
  if (!request.source().empty()) {
    auto source = volumes_.find(request.source());
    if (source == volumes_.end())
      return absl::NotFoundError(absl::StrCat("no volume or snapshot ", request.source()));
    if (source->second.size_bytes() > bytes || source->second.pool() != request.pool())
      return absl::InvalidArgumentError("the source is larger or of another pool");
  }
  const absl::StatusOr<std::string> drive = DriveFor(request, bytes);
  if (!drive.ok()) return drive.status();
  agent::v1::VolumeState volume;
  volume.set_drive(*drive);
  volume.set_volume_id(request.volume_id());
  volume.set_pool(request.pool());
  volume.set_size_bytes(bytes);
  volume.set_mode(request.mode());
  const bool unnamed =
      request.fs_type().empty() && request.mode() == agent::v1::VOLUME_MODE_FILESYSTEM;
  volume.set_fs_type(unnamed ? "ext4" : request.fs_type());
  volume.set_source(request.source());
  volume.set_device_path(absl::StrCat("/pools/", request.pool(), "/", request.volume_id()));
  volume.set_extents(1);
  volume.set_healthy(true);
  volumes_[request.volume_id()] = volume;
  pool_used_[request.pool()] += bytes;
  Changed();
  if (absl::Status status = Leave("EnsureVolume"); !status.ok()) return status;
  return volume;
}

absl::StatusOr<agent::v1::VolumeState> FakeAgent::ResizeVolume(const CallContext& context,
                                                               const std::string& id,
                                                               int64_t size_bytes) {
  MutexLock lock(mu_);
  if (absl::Status status = Enter(context, "ResizeVolume"); !status.ok()) return status;
  auto it = volumes_.find(id);
  if (it == volumes_.end()) return absl::NotFoundError(absl::StrCat("no volume ", id));
  agent::v1::VolumeState& volume = it->second;
  const int64_t more = Rounded(size_bytes) - volume.size_bytes();
  if (more > 0) {
    const agent::v1::PoolState pool = StateOf(volume.pool());
    int64_t left = pool.largest_volume_bytes();
    for (const agent::v1::PoolDriveState& drive : pool.drives())
      if (drive.id() == volume.drive()) left = drive.largest_volume_bytes();
    if (left < more) {
      return absl::ResourceExhaustedError(absl::StrCat(more, " bytes more, ", left, " are left"));
    }
    volume.set_size_bytes(volume.size_bytes() + more);
    pool_used_[volume.pool()] += more;
    Changed();
  }
  if (absl::Status status = Leave("ResizeVolume"); !status.ok()) return status;
  return volume;
}

absl::StatusOr<agent::v1::VolumeState> FakeAgent::ModifyVolume(
    const CallContext& context, const agent::v1::ModifyVolumeRequest& request) {
  MutexLock lock(mu_);
  if (absl::Status status = Enter(context, "ModifyVolume"); !status.ok()) return status;
  if (request.attributes().read_iops() < 0) return absl::InvalidArgumentError("read_iops");
  auto it = volumes_.find(request.volume_id());
  if (it == volumes_.end()) {
    return absl::NotFoundError(absl::StrCat("no volume ", request.volume_id()));
  }
  *it->second.mutable_attributes() = request.attributes();
  if (request.attributes().trim() == agent::v1::TRIM_SCHEDULE_UNSPECIFIED) {
    it->second.mutable_attributes()->set_trim(agent::v1::TRIM_SCHEDULE_WEEKLY);
  }
  Changed();
  if (absl::Status status = Leave("ModifyVolume"); !status.ok()) return status;
  return it->second;
}

absl::Status FakeAgent::RemoveVolume(const CallContext& context, const std::string& id) {
  MutexLock lock(mu_);
  if (absl::Status status = Enter(context, "RemoveVolume"); !status.ok()) return status;
  if (absl::Status status = RemoveKind(id, false); !status.ok()) return status;
  return Leave("RemoveVolume");
}

absl::Status FakeAgent::RemoveKind(const std::string& id, bool snapshot) {
  auto it = volumes_.find(id);
  if (it == volumes_.end() || it->second.snapshot() != snapshot || it->second.inline_volume()) {
    return absl::OkStatus();
  }
  if (it->second.staged()) {
    return absl::FailedPreconditionError(absl::StrCat("volume ", id, " is staged"));
  }
  pool_used_[it->second.pool()] -= it->second.size_bytes();
  volumes_.erase(it);
  Changed();
  return absl::OkStatus();
}

absl::StatusOr<agent::v1::EnsureSnapshotsResponse> FakeAgent::EnsureSnapshots(
    const CallContext& context, const agent::v1::EnsureSnapshotsRequest& request) {
  MutexLock lock(mu_);
  if (absl::Status status = Enter(context, "EnsureSnapshots"); !status.ok()) return status;
  if (request.snapshots().empty()) return absl::InvalidArgumentError("snapshots is empty");
  std::vector<agent::v1::VolumeState> taken;
  for (const agent::v1::SnapshotToTake& wanted : request.snapshots()) {
    auto there = volumes_.find(wanted.snapshot_id());
    if (there != volumes_.end()) {
      if (!there->second.snapshot() || there->second.source() != wanted.volume_id())
        return absl::AlreadyExistsError(
            absl::StrCat(wanted.snapshot_id(), " exists with other facts"));
      taken.push_back(there->second);
      continue;
    }
    auto source = volumes_.find(wanted.volume_id());
    if (source == volumes_.end())
      return absl::NotFoundError(absl::StrCat("no volume ", wanted.volume_id()));
    agent::v1::VolumeState snapshot = source->second;
    if (StateOf(snapshot.pool()).allocatable_bytes() < snapshot.size_bytes())
      return absl::ResourceExhaustedError("no room for a snapshot");
    snapshot.set_volume_id(wanted.snapshot_id());
    snapshot.set_snapshot(true);
    snapshot.set_source(wanted.volume_id());
    snapshot.set_staged(false);
    snapshot.set_publications(0);
    taken.push_back(snapshot);
  }
  agent::v1::EnsureSnapshotsResponse response;
  for (const agent::v1::VolumeState& snapshot : taken) {
    *response.add_snapshots() = snapshot;
    if (volumes_.emplace(snapshot.volume_id(), snapshot).second)
      pool_used_[snapshot.pool()] += snapshot.size_bytes();
  }
  Changed();
  if (absl::Status status = Leave("EnsureSnapshots"); !status.ok()) return status;
  return response;
}

absl::Status FakeAgent::RemoveSnapshot(const CallContext& context, const std::string& id) {
  MutexLock lock(mu_);
  if (absl::Status status = Enter(context, "RemoveSnapshot"); !status.ok()) return status;
  if (absl::Status status = RemoveKind(id, true); !status.ok()) return status;
  return Leave("RemoveSnapshot");
}

absl::StatusOr<agent::v1::ClaimState> FakeAgent::EnsureClaim(
    const CallContext& context, const agent::v1::EnsureClaimRequest& request) {
  MutexLock lock(mu_);
  if (absl::Status status = Enter(context, "EnsureClaim"); !status.ok()) return status;
  KnownClaim& claim = claims_[request.uid()];
  const bool same = claim.request.SerializeAsString() == request.SerializeAsString();
  if (claim.state.prepared() && !same)
    return absl::AlreadyExistsError("the claim is prepared with other devices");
  claim.request = request;
  if (!same) {
    claim.state.Clear();
    claim.state.set_uid(request.uid());
    for (const agent::v1::ClaimDevice& device : request.devices()) {
      agent::v1::ClaimDeviceState& state = *claim.state.add_devices();
      state.set_driver(device.driver());
      state.set_request(device.request());
      state.set_pool(device.pool());
      state.set_device(device.device());
      state.set_share_id(device.share_id());
    }
    Changed();
  }
  if (absl::Status status = Leave("EnsureClaim"); !status.ok()) return status;
  return claim.state;
}

absl::Status FakeAgent::RemoveClaim(const CallContext& context, const std::string& uid) {
  MutexLock lock(mu_);
  if (absl::Status status = Enter(context, "RemoveClaim"); !status.ok()) return status;
  const auto found = claims_.find(uid);
  if (found != claims_.end() && found->second.state.prepared())
    return absl::FailedPreconditionError("the claim is prepared");
  if (claims_.erase(uid) > 0) Changed();
  return Leave("RemoveClaim");
}

absl::Status FakeAgent::AnswerPodQuestion(const CallContext& context,
                                          const agent::v1::PodAnswer& answer) {
  MutexLock lock(mu_);
  if (absl::Status status = Enter(context, "AnswerPodQuestion"); !status.ok()) return status;
  if (questions_.erase(answer.id()) > 0) {
    answers_[answer.id()] = answer;
    Changed();
  }
  return Leave("AnswerPodQuestion");
}

agent::v1::PodAnswer FakeAgent::Ask(const std::string& pod_namespace, const std::string& pod_uid) {
  MutexLock lock(mu_);
  const uint64_t id = ++last_question_;
  agent::v1::PodQuestion& question = questions_[id];
  question.set_id(id);
  question.set_pod_namespace(pod_namespace);
  question.set_pod_uid(pod_uid);
  Changed();
  while (answers_.count(id) == 0) clock_.WaitUntil(changed_, mu_, absl::InfiniteFuture());
  return answers_.at(id);
}

void FakeAgent::SetPrepared(const std::string& claim, bool prepared) {
  MutexLock lock(mu_);
  claims_.at(claim).state.set_prepared(prepared);
  Changed();
}

void FakeAgent::AddGpu(v1alpha1::Gpu gpu) {
  MutexLock lock(mu_);
  gpus_.push_back(std::move(gpu));
  Changed();
}

void FakeAgent::PutGpu(const v1alpha1::Gpu& gpu) {
  MutexLock lock(mu_);
  for (v1alpha1::Gpu& one : gpus_)
    if (one.uuid() == gpu.uuid()) one = gpu;
  Changed();
}

agent::v1::EnsureClaimRequest FakeAgent::Claim(const std::string& uid) const {
  MutexLock lock(mu_);
  const auto found = claims_.find(uid);
  return found == claims_.end() ? agent::v1::EnsureClaimRequest() : found->second.request;
}

void FakeAgent::FailNext(std::string method, absl::Status status, int count, When when) {
  MutexLock lock(mu_);
  failures_[method] = {std::move(status), count, when};
}

void FakeAgent::SetReachable(bool reachable) {
  MutexLock lock(mu_);
  reachable_ = reachable;
  changed_.NotifyAll();
}

void FakeAgent::SetFrozen(bool frozen) {
  MutexLock lock(mu_);
  frozen_ = frozen;
  changed_.NotifyAll();
}

void FakeAgent::SetPoolProblem(const std::string& reason, const std::string& message) {
  MutexLock lock(mu_);
  problem_reason_ = reason;
  problem_message_ = message;
  Changed();
}

void FakeAgent::SetLargestVolume(int64_t bytes) {
  MutexLock lock(mu_);
  largest_volume_bytes_ = bytes;
  Changed();
}

void FakeAgent::SetPoolDrives(std::map<std::string, int64_t> drives) {
  MutexLock lock(mu_);
  pool_drives_ = std::move(drives);
  Changed();
}

void FakeAgent::SetStaged(const std::string& volume, bool staged, int publications) {
  MutexLock lock(mu_);
  volumes_.at(volume).set_staged(staged);
  volumes_.at(volume).set_publications(publications);
  Changed();
}

void FakeAgent::Forget(const std::string& volume) {
  MutexLock lock(mu_);
  volumes_.at(volume).clear_attributes();
  Changed();
}

void FakeAgent::SetAttributesMessage(const std::string& volume, const std::string& message) {
  MutexLock lock(mu_);
  volumes_.at(volume).set_attributes_message(message);
  Changed();
}

void FakeAgent::SetUnhealthy(const std::string& volume, const std::string& message) {
  MutexLock lock(mu_);
  volumes_.at(volume).set_healthy(message.empty());
  volumes_.at(volume).set_message(message);
  Changed();
}

void FakeAgent::Lose(const std::string& volume) {
  MutexLock lock(mu_);
  volumes_.erase(volume);
  Changed();
}

void FakeAgent::AddVolume(const std::string& id, const std::string& pool, int64_t bytes,
                          bool inline_volume) {
  MutexLock lock(mu_);
  agent::v1::VolumeState& volume = volumes_[id];
  volume.set_volume_id(id);
  volume.set_pool(pool);
  volume.set_size_bytes(bytes);
  volume.set_healthy(true);
  volume.set_inline_volume(inline_volume);
  pool_used_[pool] += bytes;
  Changed();
}

void FakeAgent::PutVolume(const agent::v1::VolumeState& volume) {
  MutexLock lock(mu_);
  volumes_[volume.volume_id()] = volume;
  Changed();
}

void FakeAgent::AddPath(v1alpha1::GpuDrivePath path) {
  MutexLock lock(mu_);
  paths_.push_back(std::move(path));
  Changed();
}

void FakeAgent::AddDrive(agent::v1::Drive drive) {
  MutexLock lock(mu_);
  drives_.push_back(std::move(drive));
  Changed();
}

std::set<std::string> FakeAgent::Volumes() const {
  MutexLock lock(mu_);
  std::set<std::string> ids;
  for (const auto& [id, volume] : volumes_) ids.insert(id);
  return ids;
}

int64_t FakeAgent::VolumeBytes(const std::string& volume) const {
  MutexLock lock(mu_);
  auto it = volumes_.find(volume);
  return it == volumes_.end() ? -1 : it->second.size_bytes();
}

std::set<std::string> FakeAgent::Pools() const {
  MutexLock lock(mu_);
  std::set<std::string> names;
  for (const auto& [name, pool] : pools_) names.insert(name);
  return names;
}

int FakeAgent::Calls(const std::string& method) const {
  MutexLock lock(mu_);
  auto it = calls_.find(method);
  return it == calls_.end() ? 0 : it->second;
}

void FakeAgent::AwaitStreams(int count) const {
  MutexLock lock(mu_);
  while (streams_ < count) changed_.Wait(mu_);
}

void FakeAgent::AwaitCalls(const std::string& method, int count) const {
  MutexLock lock(mu_);
  for (;;) {
    auto it = calls_.find(method);
    if (it != calls_.end() && it->second >= count) return;
    changed_.Wait(mu_);
  }
}

void FakeAgent::AwaitClaim(const std::string& uid) const {
  MutexLock lock(mu_);
  while (!claims_.contains(uid)) changed_.Wait(mu_);
}

void FakeAgentConnector::Add(const std::string& address, std::shared_ptr<FakeAgent> agent) {
  MutexLock lock(mu_);
  agents_[address] = std::move(agent);
}

std::shared_ptr<AgentClient> FakeAgentConnector::Connect(const AgentAddress& address) {
  MutexLock lock(mu_);
  auto it = agents_.find(address.address);
  if (it != agents_.end()) return it->second;
  static RealClock clock;
  auto nobody = std::make_shared<FakeAgent>(address.node, 0, clock);
  nobody->SetReachable(false);
  return nobody;
}

}  // namespace ashlar::controller
