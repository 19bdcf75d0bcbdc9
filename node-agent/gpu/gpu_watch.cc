#include "node-agent/gpu/gpu_watch.h"

#include <algorithm>
#include <cstdlib>

#include "lib/base/log.h"

namespace ashlar::node_agent {
namespace {

constexpr int kTemperatureNews = 10;
constexpr int kPowerNews = 50;  // watts
constexpr size_t kXidsKept = 16;
constexpr uint64_t kXid = 8;  // nvmlEventTypeXidCriticalError
constexpr uint32_t kNoInstance = 0xffffffff;
// One GPU after another goes when a board fails.
constexpr absl::Duration kPauseAfterLoss = absl::Seconds(1);

// Counters that grow all the time on a bad link are followed when they double.
bool IsMuchMore(int64_t before, int64_t after) { return after < before || after > 2 * before; }

bool IsNews(const v1alpha1::Gpu& before, const v1alpha1::Gpu& after) {
  v1alpha1::Gpu like_before = after;
  v1alpha1::GpuHealth& health = *like_before.mutable_health();
  if (!IsMuchMore(before.health().pcie_replays(), after.health().pcie_replays()))
    health.set_pcie_replays(before.health().pcie_replays());
  if (!IsMuchMore(before.health().nvlink_errors(), after.health().nvlink_errors()))
    health.set_nvlink_errors(before.health().nvlink_errors());
  const int32_t drew = before.power().usage_watts();
  if (before.power().has_usage_watts() && after.power().has_usage_watts() &&
      std::abs(drew - after.power().usage_watts()) < kPowerNews)
    like_before.mutable_power()->set_usage_watts(drew);
  const int32_t old = before.health().temperature_celsius();
  const bool both =
      before.health().has_temperature_celsius() && after.health().has_temperature_celsius();
  if (both && std::abs(old - after.health().temperature_celsius()) < kTemperatureNews)
    health.set_temperature_celsius(old);
  return like_before.SerializeAsString() != before.SerializeAsString();
}

}  // namespace

bool IsNews(const GpuReport& before, const GpuReport& after) {
  if (before.driver.SerializeAsString() != after.driver.SerializeAsString() ||
      before.gpus.size() != after.gpus.size())
    return true;
  for (size_t i = 0; i < before.gpus.size(); ++i)
    if (IsNews(before.gpus[i], after.gpus[i])) return true;
  return false;
}

void GpuWatch::Start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
}

void GpuWatch::Stop() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
}

std::shared_ptr<const GpuReport> GpuWatch::Latest() {
  MutexLock lock(mu_);
  return latest_;
}

GpuReport GpuWatch::LookOnce(const CallContext& context) {
  session_ = std::make_unique<GpuSession>(options_.session, clock_);
  LookAtAll(context);
  session_.reset();
  return seen_;
}

void GpuWatch::Run(const std::stop_token& stop) {
  CallContext context;
  context.stop = stop;
  session_ = std::make_unique<GpuSession>(options_.session, clock_);
  while (!stop.stop_requested()) {
    bool good = LookAtAll(context);
    while (good && !stop.stop_requested()) good = !Listen(context) || ReadAll(context);
    const absl::Duration pause = session_->RetryAt() - clock_.Now();
    SleepFor(clock_, context, std::max(pause, absl::ZeroDuration())).IgnoreError();
  }
  session_.reset();
}

bool GpuWatch::LookAtAll(const CallContext& context) {
  const GpuSession::Opened opened = session_->Open(context);
  if (context.stop.stop_requested()) return false;
  if (opened.driver.state() != "Ready") {
    const std::string& state = opened.driver.state();
    if (state == "NoLibrary" || state == "NoDriver") seen_.gpus.clear();
    seen_.driver = opened.driver;
    Publish();
    return false;
  }
  seen_.driver = opened.driver;
  count_ = opened.count;
  return ReadAll(context);
}

bool GpuWatch::ReadAll(const CallContext& context) {
  std::vector<v1alpha1::Gpu> gpus;
  silent_ = 0;
  std::string problem;
  for (int index = 0; index < count_; ++index) {
    absl::StatusOr<v1alpha1::Gpu> gpu = session_->Read(context, index);
    if (context.stop.stop_requested()) return false;
    if (!gpu.ok()) {
      seen_.driver = session_->Trouble();
      Publish();
      return false;
    }
    if (!gpu->uuid().empty()) {
      gpus.push_back(*std::move(gpu));
      continue;
    }
    ++silent_;
    problem = gpu->health().problem();
  }
  int silent = silent_;
  // Those that don't answer don't say who they are: they are those that were there and are not.
  for (const v1alpha1::Gpu& before : seen_.gpus) {
    const bool answered = std::any_of(gpus.begin(), gpus.end(), [&](const v1alpha1::Gpu& gpu) {
      return gpu.uuid() == before.uuid();
    });
    if (answered || silent == 0) continue;
    --silent;
    gpus.push_back(before);
    gpus.back().mutable_health()->set_problem(problem);
  }
  for (v1alpha1::Gpu& gpu : gpus) {
    if (HasRecovered(gpu)) xids_.erase(gpu.uuid());
    const std::vector<v1alpha1::GpuXid>& told = xids_[gpu.uuid()];
    gpu.mutable_health()->mutable_xids()->Assign(told.begin(), told.end());
  }
  std::sort(gpus.begin(), gpus.end(), [](const v1alpha1::Gpu& a, const v1alpha1::Gpu& b) {
    return a.pci_address() < b.pci_address();
  });
  seen_.gpus = std::move(gpus);
  read_at_ = clock_.Now();
  session_->NoteGood();
  Publish();
  return true;
}

bool GpuWatch::HasRecovered(const v1alpha1::Gpu& gpu) const {
  if (gpu.health().recovery_action() != "None") return false;
  for (const v1alpha1::Gpu& before : seen_.gpus) {
    const std::string& action = before.health().recovery_action();
    if (before.uuid() == gpu.uuid()) return !action.empty() && action != "None";
  }
  return false;
}

bool GpuWatch::Listen(const CallContext& context) {
  if (read_soon_.exchange(false)) return true;
  const absl::Duration left = read_at_ + options_.period - clock_.Now();
  if (left <= absl::ZeroDuration()) {
    if (silent_ > 0) ListenAnew(context);  // to those that answer again
    return true;
  }
  const absl::StatusOr<agent::v1::GpuHelperAnswer> answer =
      session_->Await(context, std::min(left, options_.patience));
  if (context.stop.stop_requested()) return false;
  if (!answer.ok()) return true;  // reading will fail as well, and say why
  for (const agent::v1::GpuEvent& event : answer->events())
    if (event.type() == kXid) NoteXid(event);
  if (answer->listening_ended()) {
    SleepFor(clock_, context, kPauseAfterLoss).IgnoreError();
    ListenAnew(context);
    return true;
  }
  return answer->events_size() > 0;
}

void GpuWatch::ListenAnew(const CallContext& context) {
  const GpuSession::Opened opened = session_->Open(context);
  if (opened.driver.state() == "Ready") count_ = opened.count;
}

void GpuWatch::NoteXid(const agent::v1::GpuEvent& event) {
  LogWarning("a GPU had an error", {{"gpu", event.uuid()}, {"xid", event.data()}});
  std::vector<v1alpha1::GpuXid>& xids = xids_[event.uuid()];
  v1alpha1::GpuXid& xid = xids.emplace_back();
  xid.set_code(static_cast<int64_t>(event.data()));
  xid.mutable_at()->set_seconds(absl::ToUnixSeconds(clock_.Now()));
  if (event.instance() != kNoInstance) xid.set_instance(static_cast<int32_t>(event.instance()));
  if (xids.size() > kXidsKept) xids.erase(xids.begin());
}

void GpuWatch::Publish() {
  {
    MutexLock lock(mu_);
    if (!IsNews(*latest_, seen_)) return;
    latest_ = std::make_shared<const GpuReport>(seen_);
  }
  if (tell_) tell_();
}

}  // namespace ashlar::node_agent
