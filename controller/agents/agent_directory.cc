#include "controller/agents/agent_directory.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"

namespace ashlar::controller {
namespace {

constexpr absl::Duration kLongestPause = absl::Milliseconds(200);

}  // namespace

AgentDirectory::AgentDirectory(AgentDirectoryOptions options, AgentConnector& connector,
                               CapacityLedger& ledger, Clock& clock, Listener listener)
    : options_(options),
      connector_(connector),
      ledger_(ledger),
      clock_(clock),
      listener_(std::move(listener)),
      started_(clock.Now()) {}

void AgentDirectory::Close() {
  absl::flat_hash_map<std::thread::id, std::jthread> threads;
  std::vector<std::stop_source> old;
  {
    MutexLock lock(mu_);
    closing_ = true;
    for (auto& [node, agent] : agents_) {
      agent.present = false;
      old.push_back(agent.connection);
    }
    threads.swap(threads_);
  }
  for (std::stop_source& connection : old) connection.request_stop();
  threads.clear();  // joins
}

std::stop_source AgentDirectory::Connect(Agent& agent, const AgentAddress& address) {
  agent.address = address;
  agent.client = connector_.Connect(address);
  return std::exchange(agent.connection, std::stop_source());
}

void AgentDirectory::SetAgent(const AgentAddress& address) {
  std::stop_source old{std::nostopstate};
  SetAgentLocked(address, old);
  old.request_stop();  // not under the lock: it runs callbacks
}

void AgentDirectory::SetAgentLocked(const AgentAddress& address, std::stop_source& old) {
  MutexLock lock(mu_);
  if (closing_) return;
  Reap();
  Agent& agent = agents_[address.node];
  if (agent.present && agent.address == address) return;
  if (!agent.present) agent.since = clock_.Now();
  agent.present = true;
  agent.last_error.clear();
  old = Connect(agent, address);
  if (agent.following) return;
  agent.following = true;
  std::jthread thread([this, node = address.node] { Follow(node); });
  const std::thread::id id = thread.get_id();
  threads_.emplace(id, std::move(thread));
}

void AgentDirectory::RemoveAgent(absl::string_view node) {
  std::stop_source old{std::nostopstate};
  {
    MutexLock lock(mu_);
    Reap();
    auto it = agents_.find(node);
    if (it == agents_.end() || !it->second.present) return;
    it->second.present = false;
    it->second.since = clock_.Now();
    it->second.client = nullptr;
    old = it->second.connection;
  }
  old.request_stop();
  LogInfo("agent left", {{"node", node}});
}

void AgentDirectory::Reconnect(absl::string_view node) {
  std::stop_source old{std::nostopstate};
  {
    MutexLock lock(mu_);
    auto it = agents_.find(node);
    if (it == agents_.end() || !it->second.present) return;
    old = Connect(it->second, it->second.address);
  }
  old.request_stop();
}

AgentView AgentDirectory::ViewOf(const Agent& agent) const {
  const absl::Time now = clock_.Now();
  AgentView view;
  view.report = agent.report;
  view.last_heard = agent.last_heard;
  const absl::Time quiet_since = std::max({agent.since, agent.last_heard, started_});
  view.settling = now - quiet_since < options_.silent_after;
  if (!agent.present) return view;
  if (agent.report != nullptr && now - agent.last_heard < options_.silent_after) {
    view.state = AgentState::kHeard;
    view.settling = false;
    return view;
  }
  view.state = AgentState::kSilent;
  view.detail = agent.report == nullptr
                    ? "never heard"
                    : absl::StrCat("not heard since ",
                                   absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", agent.last_heard,
                                                    absl::UTCTimeZone()));
  if (!agent.last_error.empty()) absl::StrAppend(&view.detail, " (", agent.last_error, ")");
  return view;
}

AgentView AgentDirectory::View(absl::string_view node) const {
  MutexLock lock(mu_);
  auto it = agents_.find(node);
  if (it != agents_.end()) return ViewOf(it->second);
  AgentView none;
  none.settling = clock_.Now() - started_ < options_.silent_after;
  return none;
}

std::vector<std::string> AgentDirectory::Nodes() const {
  MutexLock lock(mu_);
  std::vector<std::string> nodes;
  for (const auto& [node, agent] : agents_) nodes.push_back(node);
  std::sort(nodes.begin(), nodes.end());
  return nodes;
}

absl::StatusOr<std::shared_ptr<AgentClient>> AgentDirectory::Client(absl::string_view node) const {
  MutexLock lock(mu_);
  auto it = agents_.find(node);
  if (it == agents_.end() || !it->second.present) {
    return absl::UnavailableError(absl::StrCat("node ", node, " runs no agent"));
  }
  const AgentView view = ViewOf(it->second);
  if (view.state != AgentState::kHeard) {
    return absl::UnavailableError(
        absl::StrCat("the agent of node ", node, " is silent: ", view.detail));
  }
  return it->second.client;
}

void AgentDirectory::Reap() {
  for (const std::thread::id& id : ended_) threads_.erase(id);  // its last act was to say so
  ended_.clear();
}

std::shared_ptr<AgentClient> AgentDirectory::NextClient(const std::string& node,
                                                        std::stop_token& stop) {
  MutexLock lock(mu_);
  Agent& agent = agents_[node];
  if (agent.present && !closing_) {
    stop = agent.connection.get_token();
    return agent.client;
  }
  agent.following = false;
  if (!closing_) ended_.push_back(std::this_thread::get_id());
  return nullptr;
}

void AgentDirectory::Follow(std::string node) {
  absl::Duration delay = options_.reconnect_initial;
  CallContext context;
  while (std::shared_ptr<AgentClient> client = NextClient(node, context.stop)) {
    bool heard = false;
    const absl::Status status =
        client->WatchInventory(context, options_.heartbeat, [&](agent::v1::Inventory inventory) {
          heard = true;
          const absl::Time began = clock_.Now();
          ASHLAR_RETURN_IF_ERROR(TakeIn(node, client, std::move(inventory)));
          // A tenth of the time at most goes into reports: in a burst of changes the agent gathers
          // them, instead of both sides working through the whole inventory for each.
          return SleepFor(clock_, context, std::min((clock_.Now() - began) * 9, kLongestPause));
        });
    if (context.stop.stop_requested()) {
      delay = options_.reconnect_initial;
      continue;  // another address, or the end
    }
    NoteError(node, status);
    if (heard) delay = options_.reconnect_initial;
    // Cancelled by a new address, too.
    SleepFor(clock_, context, delay).IgnoreError();
    delay = std::min(delay * 2, options_.reconnect_max);
  }
}

absl::Status AgentDirectory::TakeIn(const std::string& node,
                                    const std::shared_ptr<AgentClient>& from,
                                    agent::v1::Inventory inventory) {
  if (inventory.node() != node) {
    return absl::FailedPreconditionError(absl::StrCat("the agent that was found on node ", node,
                                                      " says that it is of node \"",
                                                      inventory.node(), "\""));
  }
  auto report = std::make_shared<const AgentReport>(std::move(inventory));
  std::shared_ptr<const AgentReport> before;
  {
    MutexLock lock(mu_);
    Agent& agent = agents_[node];
    if (agent.client != from) return absl::CancelledError("another agent took over");
    // Under the lock, so that a report of an agent that was replaced never follows a newer one.
    ledger_.Observe(node, report->Summary());
    before = std::exchange(agent.report, report);
    agent.last_heard = clock_.Now();
    agent.last_error.clear();
    heard_.NotifyAll();
  }
  if (before == nullptr) {
    LogInfo("agent heard", {{"node", node}, {"version", report->inventory().agent_version()}});
  }
  const ReportChange change = Compare(node, before.get(), *report);
  if (!change.empty()) listener_(change);
  return absl::OkStatus();
}

void AgentDirectory::AwaitHeard(const CallContext& context, absl::Time latest) {
  std::stop_callback wake(context.stop, [this] {
    MutexLock lock(mu_);
    heard_.NotifyAll();
  });
  MutexLock lock(mu_);
  auto all_heard = [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    return std::all_of(agents_.begin(), agents_.end(), [](const auto& entry) {
      return !entry.second.present || entry.second.report != nullptr;
    });
  };
  while (!all_heard() && clock_.Now() < latest && !context.stop.stop_requested()) {
    clock_.WaitUntil(heard_, mu_, latest);
  }
}

void AgentDirectory::NoteError(const std::string& node, const absl::Status& status) {
  const std::string error = status.ok() ? "the agent ended the stream" : status.ToString();
  bool news = false;
  {
    MutexLock lock(mu_);
    news = std::exchange(agents_[node].last_error, error) != error;
  }
  if (news) LogWarning("agent's inventory stream broke", {{"node", node}, {"error", error}});
}

}  // namespace ashlar::controller
