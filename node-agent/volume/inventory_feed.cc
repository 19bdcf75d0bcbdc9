#include "node-agent/volume/inventory_feed.h"

#include <algorithm>
#include <cstdlib>
#include <set>

#include "lib/base/log.h"

namespace ashlar::node_agent {
namespace {

constexpr absl::Duration kSettleTime = absl::Milliseconds(50);
// A drive comes with a dozen events, and a look at many drives costs milliseconds.
constexpr absl::Duration kDriveSettleTime = absl::Milliseconds(300);
constexpr absl::Duration kLookGap = absl::Seconds(1);
constexpr absl::Duration kPoolPeriod = absl::Seconds(5);
constexpr int kTemperatureNews = 10;

bool FarApart(int64_t a, int64_t b, int64_t capacity) {
  return std::llabs(a - b) > std::max(16 * kMiB, capacity / 100);
}

bool HealthIsNews(const std::optional<sys::NvmeHealth>& a,
                  const std::optional<sys::NvmeHealth>& b) {
  if (!a || !b) return a.has_value() != b.has_value();
  sys::NvmeHealth like_a = *b;
  like_a.temperature_celsius = a->temperature_celsius;
  return like_a != *a ||
         std::abs(a->temperature_celsius - b->temperature_celsius) >= kTemperatureNews;
}

bool DriveIsNews(const DriveReport& a, const DriveReport& b) {
  const DriveFacts &before = a.drive, &after = b.drive;
  return before != after || a.pool != b.pool || HealthIsNews(a.drive.health, b.drive.health);
}

bool DriveRoomIsNews(const PoolUsage& a, const PoolUsage& b) {
  if (a.drives.size() != b.drives.size()) return true;
  for (size_t i = 0; i < a.drives.size(); ++i) {
    const DriveUsage &before = a.drives[i], &after = b.drives[i];
    if (before.id != after.id || before.allocated_bytes != after.allocated_bytes ||
        FarApart(before.allocatable_bytes, after.allocatable_bytes, before.capacity_bytes) ||
        (before.allocatable_bytes == 0) != (after.allocatable_bytes == 0))
      return true;
  }
  return false;
}

bool PoolIsNews(const PoolStatus& a, const PoolStatus& b) {
  return a.name != b.name || a.uid != b.uid || a.ready != b.ready || a.reason != b.reason ||
         a.message != b.message || a.devices != b.devices || a.volumes != b.volumes ||
         a.usage.allocated_bytes != b.usage.allocated_bytes ||
         FarApart(a.usage.capacity_bytes, b.usage.capacity_bytes, a.usage.capacity_bytes) ||
         FarApart(a.usage.allocatable_bytes, b.usage.allocatable_bytes, a.usage.capacity_bytes) ||
         (a.usage.allocatable_bytes == 0) != (b.usage.allocatable_bytes == 0) ||
         DriveRoomIsNews(a.usage, b.usage);
}

bool VolumeIsNews(const VolumeStatus& a, const VolumeStatus& b) {
  return !(a.facts == b.facts) || a.gpu_direct != b.gpu_direct || a.size_bytes != b.size_bytes ||
         a.staged != b.staged || a.publications != b.publications || a.healthy != b.healthy ||
         a.drive != b.drive || a.message != b.message || !(a.attributes == b.attributes) ||
         a.attributes_message != b.attributes_message;
}

template <class Item, class Differs>
bool AnyNews(const std::vector<Item>& a, const std::vector<Item>& b, Differs differs) {
  if (a.size() != b.size()) return true;
  for (size_t i = 0; i < a.size(); ++i)
    if (differs(a[i], b[i])) return true;
  return false;
}

}  // namespace

bool IsNews(const InventorySnapshot& before, const InventorySnapshot& after) {
  return AnyNews(before.drives, after.drives, DriveIsNews) ||
         AnyNews(before.pools, after.pools, PoolIsNews) ||
         AnyNews(before.volumes, after.volumes, VolumeIsNews) || before.claims != after.claims ||
         before.pod_questions != after.pod_questions || IsNews(before.machine, after.machine);
}

void InventoryFeed::Start(absl::Duration looks) {
  looks_ = looks;
  LookAtDrives(CallContext{});
  Publish();
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
}

void InventoryFeed::Stop() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
}

void InventoryFeed::Poke() {
  MutexLock lock(mu_);
  ++pokes_;
  changed_.NotifyAll();
}

void InventoryFeed::PokeAtOnce() {
  MutexLock lock(mu_);
  ++pokes_;
  at_once_ = true;
  changed_.NotifyAll();
}

void InventoryFeed::LookSoon(bool health) {
  MutexLock lock(mu_);
  const absl::Time soon = std::max(clock_.Now() + kDriveSettleTime, looked_ + kLookGap);
  look_due_ = std::min(look_due_, soon);
  health_is_old_ = health_is_old_ || health;
  changed_.NotifyAll();
}

void InventoryFeed::Run(const std::stop_token& stop) {
  const std::stop_callback wake(stop, [this] { Poke(); });
  CallContext context;
  context.stop = stop;
  absl::Time next_publish = clock_.Now() + kPoolPeriod;
  while (!stop.stop_requested()) {
    {
      MutexLock lock(mu_);
      while (pokes_ == answered_pokes_ && clock_.Now() < std::min(next_publish, look_due_))
        clock_.WaitUntil(changed_, mu_, std::min(next_publish, look_due_));
    }
    AwaitSettled();
    if (stop.stop_requested()) return;
    uint64_t pokes;
    {
      MutexLock lock(mu_);
      pokes = pokes_;
    }
    if (clock_.Now() >= next_publish) pools_.LookAtRestless(context);
    LookIfDue(context);
    volumes_.LookForProblems();
    volumes_.HealStaged(context);
    Publish();
    next_publish = clock_.Now() + kPoolPeriod;
    MutexLock lock(mu_);
    answered_pokes_ = pokes;
    changed_.NotifyAll();
  }
}

// Changes come in crowds: one look serves all that came meanwhile, and it does not take time from
// the call that has just made one.
void InventoryFeed::AwaitSettled() {
  MutexLock lock(mu_);
  const absl::Time until = clock_.Now() + kSettleTime;
  while (!at_once_ && clock_.Now() < until) clock_.WaitUntil(changed_, mu_, until);
  at_once_ = false;
}

void InventoryFeed::LookIfDue(const CallContext& context) {
  {
    MutexLock lock(mu_);
    if (clock_.Now() < look_due_) return;
  }
  LookAtDrives(context.Until(clock_.Now() + absl::Minutes(10)));
}

void InventoryFeed::LookAtDrives(const CallContext& context) {
  {
    // What happens from now on may be overlooked by this look.
    MutexLock lock(mu_);
    looked_ = clock_.Now();
    look_due_ = looked_ + looks_;
    if (health_is_old_) nvme_.ForgetHealth();
    health_is_old_ = false;
  }
  const bool more = pools_.LookAgain(context);
  if (pools_.RetryNotReady(context) || more) {
    for (const std::string& pool : pools_.ReadyPools())
      if (const absl::Status adopted = volumes_.Adopt(context, pool); !adopted.ok())
        LogError("volumes of a pool were not adopted",
                 {{"pool", pool}, {"error", adopted.ToString()}});
  }
  absl::StatusOr<std::vector<Drive>> drives = scanner_.Scan(pools_.NamedPaths());
  if (!drives.ok()) {
    LogError("drives cannot be listed", {{"error", drives.status().ToString()}});
    return;
  }
  nvme_.Fill(*drives);
  machine_.SetDrives(*drives);
  drives_.clear();
  for (const Drive& drive : *drives) drives_.push_back({drive, pools_.PoolOfDrive(drive)});
}

NearFacts NearFactsOf(const InventorySnapshot& snapshot) {
  NearFacts facts;
  facts.gpus = snapshot.machine.gpus.gpus;
  facts.paths = snapshot.machine.paths;
  for (const DriveReport& report : snapshot.drives) facts.drives.push_back(report.drive);
  return facts;
}

void InventoryFeed::JudgeDirectWays(InventorySnapshot& snapshot) {
  const std::map<std::string, DirectWay> ways = volumes_.DirectWays(NearFactsOf(snapshot), places_);
  for (VolumeStatus& volume : snapshot.volumes)
    if (const auto way = ways.find(volume.facts.id); way != ways.end())
      volume.gpu_direct = way->second;
}

DirectWay InventoryFeed::DirectWayOf(const std::string& volume) {
  const std::map<std::string, DirectWay> ways =
      volumes_.DirectWays(NearFactsOf(*Latest()), places_);
  const auto way = ways.find(volume);
  return way == ways.end() ? DirectWay{} : way->second;
}

void InventoryFeed::Publish() {
  auto fresh = std::make_shared<InventorySnapshot>();
  fresh->drives = drives_;
  fresh->pools = pools_.Statuses();
  fresh->volumes = volumes_.List();
  fresh->machine = machine_.Look();
  fresh->claims = claims_();
  fresh->pod_questions = questions_();
  JudgeDirectWays(*fresh);
  for (VolumeStatus& volume : fresh->volumes)
    volume.attributes_message = limits_.Problem(volume.facts.id);
  for (PoolStatus& pool : fresh->pools)
    pool.volumes = static_cast<int>(
        std::count_if(fresh->volumes.begin(), fresh->volumes.end(),
                      [&](const VolumeStatus& volume) { return volume.facts.pool == pool.name; }));
  MutexLock lock(mu_);
  if (latest_ != nullptr && !IsNews(*latest_, *fresh)) return;
  fresh->revision = latest_ == nullptr ? 1 : latest_->revision + 1;
  latest_ = std::move(fresh);
  changed_.NotifyAll();
}

std::shared_ptr<const InventorySnapshot> InventoryFeed::Latest() {
  MutexLock lock(mu_);
  return latest_;
}

absl::StatusOr<std::shared_ptr<const InventorySnapshot>> InventoryFeed::Await(
    const CallContext& context, uint64_t revision, absl::Time until) {
  const std::stop_callback wake(context.stop, [this] {
    MutexLock lock(mu_);
    changed_.NotifyAll();
  });
  MutexLock lock(mu_);
  const uint64_t pokes = revision == 0 ? pokes_ : 0;
  for (;;) {
    if (context.stop.stop_requested()) return absl::CancelledError("the call was called off");
    const absl::Time now = clock_.Now();
    if (now >= context.deadline)
      return absl::DeadlineExceededError("the call's deadline has passed");
    if ((latest_->revision != revision && answered_pokes_ >= pokes) || now >= until) return latest_;
    clock_.WaitUntil(changed_, mu_, std::min(until, context.deadline));
  }
}

}  // namespace ashlar::node_agent
