// AgentDirectory: the agents of the cluster, one connection for each node, and what each of them
// reported last. A thread for each agent follows its inventory stream and takes it up again, with
// backoff, when it breaks. Thread-safe.
//
//                SetAgent                    report
//   (absent) ───────────────► connecting ─────────────► heard
//       ▲                        ▲  ▲  silent for too long │ stream breaks: connect again; what was
//       │ RemoveAgent            │  └──────── silent ◄─────┤ heard stays true until it is too old
//       └────────────────────────┴─────────────────────────┘
//
// The ledger gets each report before anybody can read it here, so that who acts on a report never
// meets a ledger that has not seen it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "controller/agents/agent_client.h"
#include "controller/agents/agent_report.h"
#include "controller/placement/capacity_ledger.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"

namespace ashlar::controller {

struct AgentDirectoryOptions {
  absl::Duration heartbeat = absl::Seconds(10);
  // An agent that was not heard for this long is silent.
  absl::Duration silent_after = absl::Seconds(30);
  absl::Duration reconnect_initial = absl::Milliseconds(100);
  absl::Duration reconnect_max = absl::Seconds(5);
};

// What is known of the agent of one node at one moment.
struct AgentView {
  AgentState state = AgentState::kNone;
  // True while too little time has passed to call an agent silent or absent: nobody should draw
  // conclusions from its silence yet.
  bool settling = false;
  std::string detail;                         // why it is not heard, for people
  std::shared_ptr<const AgentReport> report;  // the last one, also of a silent agent; or nullptr
  absl::Time last_heard = absl::InfinitePast();
};

class AgentDirectory {
 public:
  // Called without a lock, on the thread of the agent, after the report can be read. It must not
  // block.
  using Listener = std::function<void(const ReportChange&)>;

  // All must outlive the directory.
  AgentDirectory(AgentDirectoryOptions options, AgentConnector& connector, CapacityLedger& ledger,
                 Clock& clock, Listener listener);
  ~AgentDirectory() { Close(); }
  AgentDirectory(const AgentDirectory&) = delete;
  AgentDirectory& operator=(const AgentDirectory&) = delete;

  // Ends the streams and waits for the threads: the listener is not called any more, and no agent
  // is taken on.
  void Close();

  // The agent of `address.node` answers there from now on. The same address again changes nothing.
  // Does not block.
  void SetAgent(const AgentAddress& address);
  // The node has no agent any more. Its last report stays readable. Does not block.
  void RemoveAgent(absl::string_view node);
  // Drops the connection and makes a new one: for an agent that is silent on a connection that
  // looks alive. Does not block.
  void Reconnect(absl::string_view node);

  AgentView View(absl::string_view node) const;
  // Nodes that have an agent or had one.
  std::vector<std::string> Nodes() const;
  // Unavailable, with the reason, if the agent of the node was not heard lately.
  absl::StatusOr<std::shared_ptr<AgentClient>> Client(absl::string_view node) const;

  // Blocks until every agent that was set has been heard, `latest` has come, or the context ends.
  void AwaitHeard(const CallContext& context, absl::Time latest);

  const AgentDirectoryOptions& options() const { return options_; }

 private:
  struct Agent {
    bool present = false;
    AgentAddress address;
    std::shared_ptr<AgentClient> client;
    std::stop_source connection;  // of the present client
    absl::Time since;             // when this address was set, or the agent was removed
    absl::Time last_heard = absl::InfinitePast();
    std::string last_error;
    std::shared_ptr<const AgentReport> report;
    bool following = false;  // a thread follows it
  };

  void Follow(std::string node);
  // The client to follow now; nullptr if there is none: the thread ends.
  std::shared_ptr<AgentClient> NextClient(const std::string& node, std::stop_token& stop);
  absl::Status TakeIn(const std::string& node, const std::shared_ptr<AgentClient>& from,
                      agent::v1::Inventory inventory);
  void NoteError(const std::string& node, const absl::Status& status);
  // Gives the stop source of the connection that is given up, to be stopped without the lock.
  std::stop_source Connect(Agent& agent, const AgentAddress& address)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void SetAgentLocked(const AgentAddress& address, std::stop_source& old);
  AgentView ViewOf(const Agent& agent) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Reap() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const AgentDirectoryOptions options_;
  AgentConnector& connector_;
  CapacityLedger& ledger_;
  Clock& clock_;
  const Listener listener_;
  const absl::Time started_;

  mutable Mutex mu_;
  CondVar heard_;
  bool closing_ ABSL_GUARDED_BY(mu_) = false;
  absl::flat_hash_map<std::string, Agent> agents_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<std::thread::id, std::jthread> threads_ ABSL_GUARDED_BY(mu_);
  std::vector<std::thread::id> ended_ ABSL_GUARDED_BY(mu_);
};

}  // namespace ashlar::controller
