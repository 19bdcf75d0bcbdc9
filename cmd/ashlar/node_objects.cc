#include "cmd/ashlar/node_objects.h"

#include <sys/utsname.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "lib/base/json.h"
#include "lib/base/status_macros.h"
#include "lib/kube/core_kinds.h"

namespace ashlar::standalone {
namespace {

constexpr char kManager[] = "ashlar-standalone";

std::string Now(const Clock& clock) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", clock.Now(), absl::UTCTimeZone());
}

Json ReadyCondition(const std::string& now, const char* reason, const char* message) {
  return Json::array({{{"type", "Ready"},
                       {"status", "True"},
                       {"reason", reason},
                       {"message", message},
                       {"lastTransitionTime", now}}});
}

Json NodeObject(const NodeFacts& facts) {
  return {{"apiVersion", "v1"},
          {"kind", "Node"},
          {"metadata",
           {{"name", facts.name},
            {"labels",
             {{"kubernetes.io/hostname", facts.name},
              {"kubernetes.io/os", "linux"},
              {"topology.ashlar.dev/node", facts.name}}}}}};
}

Json NodeStatus(const NodeFacts& facts, const std::string& now) {
  utsname system = {};
  uname(&system);
  Json object = {{"apiVersion", "v1"}, {"kind", "Node"}, {"metadata", {{"name", facts.name}}}};
  object["status"] = {
      {"conditions", ReadyCondition(now, "Standalone", "the agent runs in this process")},
      {"addresses", {{{"type", "InternalIP"}, {"address", facts.address}}}},
      {"nodeInfo",
       {{"kernelVersion", system.release},
        {"architecture", system.machine},
        {"operatingSystem", "linux"}}}};
  return object;
}

Json PodMeta(const NodeFacts& facts) {
  return {{"name", absl::StrCat("ashlar-node-agent-", facts.name)},
          {"namespace", kSystemNamespace}};
}

Json PodObject(const NodeFacts& facts) {
  Json meta = PodMeta(facts);
  meta["labels"] = {{"app.kubernetes.io/name", "ashlar"},
                    {"app.kubernetes.io/component", "node-agent"}};
  const Json port = {{"name", "agent"}, {"containerPort", facts.agent_port}, {"protocol", "TCP"}};
  const Json container = {{"name", "agent"}, {"image", "ashlar"}, {"ports", Json::array({port})}};
  return {{"apiVersion", "v1"},
          {"kind", "Pod"},
          {"metadata", meta},
          {"spec", {{"nodeName", facts.name}, {"containers", Json::array({container})}}}};
}

Json PodStatus(const NodeFacts& facts, const std::string& now) {
  return {{"apiVersion", "v1"},
          {"kind", "Pod"},
          {"metadata", PodMeta(facts)},
          {"status",
           {{"phase", "Running"},
            {"podIP", facts.address},
            {"conditions", ReadyCondition(now, "Running", "the agent runs")}}}};
}

}  // namespace

absl::Status RegisterNode(const CallContext& context, kube::Client& client, const Clock& clock,
                          const NodeFacts& facts) {
  const std::string now = Now(clock);
  kube::ApplyOptions whole;
  whole.field_manager = kManager;
  kube::ApplyOptions status = whole;
  status.subresource = kube::Subresource::kStatus;
  ASHLAR_RETURN_IF_ERROR(client.Apply(context, kube::kNode, NodeObject(facts), whole).status());
  ASHLAR_RETURN_IF_ERROR(
      client.Apply(context, kube::kNode, NodeStatus(facts, now), status).status());
  ASHLAR_RETURN_IF_ERROR(client.Apply(context, kube::kPod, PodObject(facts), whole).status());
  return client.Apply(context, kube::kPod, PodStatus(facts, now), status).status();
}

std::string HostNodeName() {
  utsname system = {};
  uname(&system);
  std::string name;
  for (char c : absl::AsciiStrToLower(system.nodename)) {
    name += absl::ascii_isalnum(c) || c == '.' ? c : '-';
  }
  while (!name.empty() && !absl::ascii_isalnum(name.back())) name.pop_back();
  while (!name.empty() && !absl::ascii_isalnum(name.front())) name.erase(0, 1);
  return name.empty() ? "localhost" : name;
}

}  // namespace ashlar::standalone
