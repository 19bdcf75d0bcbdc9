#include "controller/testing/controller_lab.h"

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "lib/kube/core_kinds.h"
#include "lib/kube/object.h"

namespace ashlar::controller {
namespace {

constexpr char kSpace[] = "ashlar-system";

Json AgentPod(const std::string& node) {
  return {
      {"apiVersion", "v1"},
      {"kind", "Pod"},
      {"metadata",
       {{"name", "agent-" + node},
        {"namespace", kSpace},
        {"labels", {{"app.kubernetes.io/component", "node-agent"}}}}},
      {"spec",
       {{"nodeName", node},
        {"containers",
         Json::array({{{"name", "agent"},
                       {"ports", Json::array({{{"name", "agent"}, {"containerPort", 9500}}})}}})}}},
      {"status", {{"podIP", node}, {"phase", "Running"}}}};
}

}  // namespace

const Json* ConditionOf(const Json& object, const std::string& type) {
  const Json* conditions = FindJson(object, {"status", "conditions"});
  if (conditions == nullptr) return nullptr;
  for (const Json& condition : *conditions) {
    if (JsonString(condition, {"type"}) == type) return &condition;
  }
  return nullptr;
}

ControllerLab::ControllerLab(Clock& the_clock) : clock(the_clock) {
  options.space = kSpace;
  options.identity = "replica-1";
  options.leader_elect = false;
  options.volume_workers = 8;
  options.first_reports_within = absl::ZeroDuration();
}

ControllerLab::~ControllerLab() { Stop(); }

std::shared_ptr<FakeAgent> ControllerLab::AddNode(
    const std::string& name, int64_t pool_bytes, const std::map<std::string, std::string>& labels) {
  Json node = {{"apiVersion", "v1"}, {"kind", "Node"}, {"metadata", {{"name", name}}}};
  node["metadata"]["labels"] = Json(labels);
  EXPECT_TRUE(server.Create({}, kube::kNode, node).ok());
  auto agent = std::make_shared<FakeAgent>(name, pool_bytes, clock);
  agents[name] = agent;
  connector.Add(absl::StrCat(name, ":9500"), agent);
  server.Put(kube::kPod, AgentPod(name));
  return agent;
}

void ControllerLab::RemoveAgentPod(const std::string& node) {
  EXPECT_TRUE(server.Delete({}, kube::kPod, {kSpace, "agent-" + node}, {}).ok());
}

void ControllerLab::RemoveNode(const std::string& name) {
  agents.at(name)->SetReachable(false);
  RemoveAgentPod(name);
  EXPECT_TRUE(server.Delete({}, kube::kNode, {"", name}, {}).ok());
}

void ControllerLab::Start() {
  registry_ = std::make_unique<metrics::Registry>();
  app_ = std::make_unique<ControllerApp>(options, client, connector, clock, *registry_);
  thread_ = std::jthread([this](std::stop_token stop) {
    CallContext context;
    context.stop = stop;
    const absl::Status status = app_->Run(context);
    EXPECT_TRUE(status.ok()) << status;
  });
}

void ControllerLab::Stop() {
  if (app_ == nullptr) return;
  thread_.request_stop();
  thread_.join();
  app_ = nullptr;
}

void ControllerLab::MakePool(const std::string& name, const Json& more) {
  Json pool = {{"apiVersion", "ashlar.dev/v1alpha1"},
               {"kind", "Pool"},
               {"metadata", {{"name", name}}},
               {"spec", {{"backend", "File"}, {"directory", {{"path", "/var/lib/" + name}}}}}};
  pool["spec"].update(more);
  auto made = server.Create({}, api::Kind<v1alpha1::Pool>(), pool);
  EXPECT_TRUE(made.ok()) << made.status();
}

Json ControllerLab::MakeVolume(const std::string& name, const std::string& size, const Json& more) {
  Json volume = {{"apiVersion", "ashlar.dev/v1alpha1"},
                 {"kind", "Volume"},
                 {"metadata", {{"name", name}}},
                 {"spec", {{"pool", "fast"}, {"size", size}}}};
  volume["spec"].update(more);
  auto made = server.Create({}, api::Kind<v1alpha1::Volume>(), volume);
  EXPECT_TRUE(made.ok()) << made.status();
  return made.ok() ? *made : Json();
}

void ControllerLab::Delete(const api::KindInfo& kind, const std::string& name) {
  const absl::Status status = server.Delete({}, kind, {"", name}, {});
  EXPECT_TRUE(status.ok()) << status;
}

void ControllerLab::Change(const api::KindInfo& kind, const std::string& name,
                           const std::function<void(Json&)>& change) {
  for (;;) {
    auto object = server.Get({}, kind, {"", name});
    ASSERT_TRUE(object.ok()) << object.status();
    change(*object);
    auto written = server.Update({}, kind, *object, kube::Subresource::kNone);
    if (absl::IsAborted(written.status())) continue;
    ASSERT_TRUE(written.ok()) << written.status();
    return;
  }
}

Json ControllerLab::Await(const api::KindInfo& kind, const std::string& name,
                          const std::function<bool(const Json*)>& wanted) {
  CallContext context;
  context.deadline = absl::Now() + absl::Seconds(30);
  const auto list = server.List(context, kind, {});
  if (!list.ok()) ADD_FAILURE() << list.status();
  Json last;
  for (const Json& item : list->items) {
    if (name.empty() && wanted(&item)) return item;
    if (kube::KeyOf(item).name == name) last = item;
  }
  if (!name.empty() && wanted(last.is_null() ? nullptr : &last)) return last;
  kube::WatchOptions options{.resource_version = list->resource_version};
  const absl::Status status = server.Watch(context, kind, options, [&](kube::WatchEvent event) {
    if (!name.empty() && kube::KeyOf(event.object).name != name) return absl::OkStatus();
    const bool gone = event.type == kube::WatchEvent::Type::kDeleted;
    last = gone ? Json() : std::move(event.object);
    return wanted(gone ? nullptr : &last) ? absl::AbortedError("found") : absl::OkStatus();
  });
  EXPECT_EQ(status, absl::AbortedError("found"))
      << kind.kind << " " << name << ": " << last.dump(1);
  return last;
}

std::string ControllerLab::AwaitCondition(const api::KindInfo& kind, const std::string& name,
                                          const std::string& type, const std::string& status,
                                          const std::string& reason) {
  const Json object = Await(kind, name, [&](const Json* now) {
    const Json* condition = now == nullptr ? nullptr : ConditionOf(*now, type);
    return condition != nullptr && JsonString(*condition, {"status"}) == status &&
           JsonString(*condition, {"reason"}) == reason;
  });
  const Json* condition = ConditionOf(object, type);
  return condition == nullptr ? "" : JsonString(*condition, {"message"});
}

v1alpha1::Volume ControllerLab::AwaitCarved(const std::string& name) {
  const Json object = Await(api::Kind<v1alpha1::Volume>(), name, [&](const Json* now) {
    const Json* condition = now == nullptr ? nullptr : ConditionOf(*now, "Carved");
    return condition != nullptr && JsonString(*condition, {"status"}) == "True";
  });
  const auto volume = api::FromJson<v1alpha1::Volume>(object);
  return volume.ok() ? *volume : v1alpha1::Volume();
}

v1alpha1::Volume ControllerLab::AwaitRefused(const std::string& name, const std::string& reason) {
  AwaitCondition(api::Kind<v1alpha1::Volume>(), name, "Carved", "False", reason);
  const auto object = server.Get({}, api::Kind<v1alpha1::Volume>(), {"", name});
  const auto volume = api::FromJson<v1alpha1::Volume>(object.ok() ? *object : Json());
  return volume.ok() ? *volume : v1alpha1::Volume();
}

void ControllerLab::AwaitGone(const api::KindInfo& kind, const std::string& name) {
  Await(kind, name, [](const Json* now) { return now == nullptr; });
}

std::string ControllerLab::AwaitEvent(const std::string& kind, const std::string& name,
                                      const std::string& reason) {
  CallContext context;
  context.deadline = absl::Now() + absl::Seconds(30);
  auto matches = [&](const Json& event) {
    return JsonString(event, {"involvedObject", "kind"}) == kind &&
           JsonString(event, {"involvedObject", "name"}) == name &&
           JsonString(event, {"reason"}) == reason;
  };
  const auto list = server.List(context, kube::kEvent, {});
  if (!list.ok()) ADD_FAILURE() << list.status();
  for (const Json& event : list->items) {
    if (matches(event)) return JsonString(event, {"message"});
  }
  std::string message;
  kube::WatchOptions options{.resource_version = list->resource_version};
  const absl::Status status =
      server.Watch(context, kube::kEvent, options, [&](const kube::WatchEvent& event) {
        if (!matches(event.object)) return absl::OkStatus();
        message = JsonString(event.object, {"message"});
        return absl::AbortedError("found");
      });
  EXPECT_EQ(status, absl::AbortedError("found")) << "no event " << reason << " on " << name;
  return message;
}

}  // namespace ashlar::controller
