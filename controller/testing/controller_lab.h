// ControllerLab: the whole controller over an API server and agents in memory. Not thread-safe.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "controller/agents/testing/fake_agent.h"
#include "controller/controller_app.h"
#include "lib/api/kinds.h"
#include "lib/kube/testing/fake_client.h"
#include "lib/kube/testing/flaky_client.h"

namespace ashlar::controller {

inline constexpr int64_t kMi = int64_t{1} << 20;
inline constexpr int64_t kGi = int64_t{1} << 30;

class ControllerLab {
 public:
  // `clock` is that of the controller, the agents and the API server.
  explicit ControllerLab(Clock& clock);
  ~ControllerLab();

  // A Node, and an agent with its pod there.
  std::shared_ptr<FakeAgent> AddNode(const std::string& name, int64_t pool_bytes,
                                     const std::map<std::string, std::string>& labels = {});
  void RemoveNode(const std::string& name);
  void RemoveAgentPod(const std::string& node);

  void Start();  // the controller, with what is set in `options`
  void Stop();

  void MakePool(const std::string& name, const Json& more = Json::object());
  // Answers the object as it was made.
  Json MakeVolume(const std::string& name, const std::string& size,
                  const Json& more = Json::object());
  void Delete(const api::KindInfo& kind, const std::string& name);
  // Changes the object, whatever others write meanwhile.
  void Change(const api::KindInfo& kind, const std::string& name,
              const std::function<void(Json&)>& change);

  // The object, or for "" any, as soon as `wanted` holds (nullptr: it is absent). Fails the test
  // after 30 seconds, and shows what there is.
  Json Await(const api::KindInfo& kind, const std::string& name,
             const std::function<bool(const Json*)>& wanted);
  v1alpha1::Volume AwaitCarved(const std::string& name);
  v1alpha1::Volume AwaitRefused(const std::string& name, const std::string& reason);
  // A condition of any kind with this status and reason; answers its message.
  std::string AwaitCondition(const api::KindInfo& kind, const std::string& name,
                             const std::string& type, const std::string& status,
                             const std::string& reason);
  void AwaitGone(const api::KindInfo& kind, const std::string& name);
  // The message of the first event of the reason about the object.
  std::string AwaitEvent(const std::string& kind, const std::string& name,
                         const std::string& reason);

  Clock& clock;
  kube::FakeClient server{clock};
  kube::FlakyClient client{server};
  FakeAgentConnector connector;
  ControllerAppOptions options;
  std::map<std::string, std::shared_ptr<FakeAgent>> agents;

 private:
  std::unique_ptr<metrics::Registry> registry_;
  std::unique_ptr<ControllerApp> app_;
  std::jthread thread_;
};

// The condition of the object, or nullptr.
const Json* ConditionOf(const Json& object, const std::string& type);

}  // namespace ashlar::controller
