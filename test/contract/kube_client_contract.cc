#include "test/contract/kube_client_contract.h"

#include <atomic>
#include <cstdlib>
#include <map>
#include <random>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "lib/base/mutex.h"
#include "lib/kube/core_kinds.h"
#include "lib/kube/object.h"

namespace ashlar::kube {
namespace {

const KindInfo kVolume{"ashlar.dev", "v1alpha1", "Volume", "volumes", false};
const CallContext kCall;

#define ASSERT_OK(expr)                                                    \
  do {                                                                     \
    const auto& ashlar_result = (expr);                                    \
    ASSERT_TRUE(ashlar_result.ok()) << StatusOf(ashlar_result).ToString(); \
  } while (false)
#define EXPECT_CODE(expr, expected) EXPECT_EQ(StatusOf(expr).code(), absl::StatusCode::expected)

absl::Status StatusOf(const absl::Status& status) { return status; }
template <class T>
absl::Status StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

// One API for all tests of the program that name it.
absl::StatusOr<std::shared_ptr<ApiUnderTest>> Running(const KubeApi& api) {
  static std::map<std::string, absl::StatusOr<std::shared_ptr<ApiUnderTest>>>& running =
      *new std::map<std::string, absl::StatusOr<std::shared_ptr<ApiUnderTest>>>();
  auto it = running.find(api.name);
  if (it == running.end()) {
    it = running.emplace(api.name, api.start()).first;
    // It must end before the program does, or its processes outlive it.
    std::atexit([] { running.clear(); });
  }
  return it->second;
}

Json Condition(const std::string& type, const std::string& status) {
  return {{"type", type},
          {"status", status},
          {"reason", "Because"},
          {"message", ""},
          {"lastTransitionTime", "2024-01-01T00:00:00Z"}};
}

Json Named(const Json& like) {
  return {{"apiVersion", like["apiVersion"]},
          {"kind", like["kind"]},
          {"metadata", {{"name", like["metadata"]["name"]}}}};
}

// Keeps the events of a watch that runs on a thread of its own.
class Watcher {
 public:
  Watcher(Client& client, const KindInfo& kind, WatchOptions options)
      : thread_([&client, kind, options, this](std::stop_token stop) {
          result_ = client.Watch({.stop = stop}, kind, options, [this](WatchEvent event) {
            if (event.type == WatchEvent::Type::kBookmark) return absl::OkStatus();
            MutexLock lock(mu_);
            events_.push_back(std::move(event));
            changed_.NotifyAll();
            return absl::OkStatus();
          });
        }) {}
  // The first `count` events, in order.
  std::vector<WatchEvent> Await(size_t count) {
    MutexLock lock(mu_);
    while (events_.size() < count) changed_.Wait(mu_);
    return events_;
  }
  absl::Status Stop() {
    thread_.request_stop();
    thread_.join();
    return result_;
  }

 private:
  Mutex mu_;
  CondVar changed_;
  std::vector<WatchEvent> events_ ABSL_GUARDED_BY(mu_);
  absl::Status result_ = absl::UnknownError("runs");
  std::jthread thread_;
};

}  // namespace

void KubeClientContract::SetUp() {
  auto running = Running(GetParam());
  if (absl::IsUnavailable(running.status())) {
    const char* ci = std::getenv("CI");
    if (ci == nullptr || std::string(ci) != "true") GTEST_SKIP() << running.status().message();
  }
  ASSERT_OK(running);
  api_ = *std::move(running);
}

Json KubeClientContract::NewVolume(const std::string& stem) {
  static const unsigned program = std::random_device{}();
  static std::atomic<int> number = 0;
  return {{"apiVersion", "ashlar.dev/v1alpha1"},
          {"kind", "Volume"},
          {"metadata", {{"name", absl::StrCat(stem, "-", program, "-", ++number)}}},
          {"spec", {{"pool", "p"}, {"size", "1Gi"}, {"mode", "Filesystem"}}}};
}

Json KubeClientContract::Create(const std::string& stem) {
  auto made = client().Create(kCall, kVolume, NewVolume(stem));
  EXPECT_TRUE(made.ok()) << made.status();
  return made.ok() ? *made : Json();
}

Json KubeClientContract::Read(const Json& object) {
  auto got = client().Get(kCall, kVolume, KeyOf(object));
  EXPECT_TRUE(got.ok()) << got.status();
  return got.ok() ? *got : Json();
}

TEST_P(KubeClientContract, CreatedObjectIsReadWithWhatTheServerAdds) {
  Json asked = NewVolume("create");
  asked["status"]["size"] = "7";
  auto made = client().Create(kCall, kVolume, asked);
  ASSERT_OK(made);
  EXPECT_FALSE(JsonString(*made, {"metadata", "uid"}).empty());
  EXPECT_FALSE(JsonString(*made, {"metadata", "creationTimestamp"}).empty());
  EXPECT_FALSE(VersionOf(*made).empty());
  EXPECT_EQ(JsonInt(*made, {"metadata", "generation"}), 1);
  EXPECT_FALSE(made->contains("status")) << "a create does not write the status";
  EXPECT_EQ(Read(*made), *made);
}

TEST_P(KubeClientContract, CreateOfAnExistingNameIsAlreadyExists) {
  const Json made = Create("twice");
  EXPECT_CODE(client().Create(kCall, kVolume,
                              [&] {
                                Json again = Named(made);
                                again["spec"] = made["spec"];
                                return again;
                              }()),
              kAlreadyExists);
}

TEST_P(KubeClientContract, CreateMakesANameFromAPrefix) {
  Json asked = NewVolume("x");
  asked["metadata"] = {{"generateName", "made-"}};
  const auto a = client().Create(kCall, kVolume, asked);
  const auto b = client().Create(kCall, kVolume, asked);
  ASSERT_OK(a);
  ASSERT_OK(b);
  EXPECT_EQ(KeyOf(*a).name.substr(0, 5), "made-");
  EXPECT_NE(KeyOf(*a).name, KeyOf(*b).name);
}

TEST_P(KubeClientContract, WhatIsAbsentIsNotFound) {
  const ObjectKey key{"", "no-such-volume"};
  EXPECT_CODE(client().Get(kCall, kVolume, key), kNotFound);
  EXPECT_CODE(client().Delete(kCall, kVolume, key, {}), kNotFound);
  EXPECT_CODE(client().Update(kCall, kVolume, NewVolume("none"), Subresource::kNone), kNotFound);
  EXPECT_CODE(client().Apply(kCall, kVolume, NewVolume("none"),
                             {.field_manager = "m", .subresource = Subresource::kStatus}),
              kNotFound);
}

TEST_P(KubeClientContract, NameThatIsNoNameIsInvalid) {
  Json bad = NewVolume("x");
  bad["metadata"]["name"] = "Not_A_Name";
  const auto made = client().Create(kCall, kVolume, bad);
  EXPECT_CODE(made, kInvalidArgument);
  EXPECT_NE(made.status().message().find("metadata.name"), absl::string_view::npos)
      << made.status();
}

TEST_P(KubeClientContract, WhatTheSchemaForbidsIsInvalidAndNamed) {
  if (!GetParam().validates) GTEST_SKIP() << "this API knows no schemas";
  Json bad = NewVolume("schema");
  bad["spec"]["mode"] = "Tape";
  auto made = client().Create(kCall, kVolume, bad);
  EXPECT_CODE(made, kInvalidArgument);
  EXPECT_NE(made.status().message().find("spec.mode"), absl::string_view::npos) << made.status();
  Json shrunk = Create("shrink");
  shrunk["spec"]["size"] = "1Mi";
  EXPECT_CODE(client().Update(kCall, kVolume, shrunk, Subresource::kNone), kInvalidArgument);
}

TEST_P(KubeClientContract, UpdateOfAStaleVersionIsAborted) {
  const Json first = Create("stale");
  Json second = first;
  second["spec"]["size"] = "2Gi";
  auto updated = client().Update(kCall, kVolume, second, Subresource::kNone);
  ASSERT_OK(updated);
  EXPECT_GT(CompareVersions(VersionOf(*updated), VersionOf(first)), 0);
  EXPECT_CODE(client().Update(kCall, kVolume, second, Subresource::kNone), kAborted);
  Json status = first;
  status["status"]["size"] = "1";
  EXPECT_CODE(client().Update(kCall, kVolume, status, Subresource::kStatus), kAborted);
  EXPECT_EQ(Read(first), *updated);
}

TEST_P(KubeClientContract, UpdateWithoutVersionReplacesWhatIsThere) {
  const Json made = Create("anyway");
  Json next = Named(made);
  next["spec"] = made["spec"];
  next["spec"]["size"] = "3Gi";
  ASSERT_OK(client().Update(kCall, kVolume, next, Subresource::kNone));
  EXPECT_EQ(Read(made)["spec"]["size"], "3Gi");
}

TEST_P(KubeClientContract, GenerationGrowsWithTheSpecOnly) {
  Json object = Create("generation");
  object["metadata"]["labels"] = {{"a", "b"}};
  auto labelled = client().Update(kCall, kVolume, object, Subresource::kNone);
  ASSERT_OK(labelled);
  EXPECT_EQ(JsonInt(*labelled, {"metadata", "generation"}), 1);
  (*labelled)["status"]["size"] = "5";
  auto measured = client().Update(kCall, kVolume, *labelled, Subresource::kStatus);
  ASSERT_OK(measured);
  EXPECT_EQ(JsonInt(*measured, {"metadata", "generation"}), 1);
  (*measured)["spec"]["size"] = "2Gi";
  auto grown = client().Update(kCall, kVolume, *measured, Subresource::kNone);
  ASSERT_OK(grown);
  EXPECT_EQ(JsonInt(*grown, {"metadata", "generation"}), 2);
}

TEST_P(KubeClientContract, SpecAndStatusAreWrittenApart) {
  Json object = Create("apart");
  object["status"]["size"] = "5";
  object["spec"]["size"] = "9Gi";
  object["metadata"]["labels"] = {{"only", "spec"}};
  auto status_written = client().Update(kCall, kVolume, object, Subresource::kStatus);
  ASSERT_OK(status_written);
  EXPECT_EQ(JsonString(*status_written, {"status", "size"}), "5");
  EXPECT_EQ((*status_written)["spec"]["size"], "1Gi");
  Json other = *status_written;
  other["status"]["size"] = "6";
  other["spec"]["size"] = "2Gi";
  auto spec_written = client().Update(kCall, kVolume, other, Subresource::kNone);
  ASSERT_OK(spec_written);
  EXPECT_EQ((*spec_written)["spec"]["size"], "2Gi");
  EXPECT_EQ(JsonString(*spec_written, {"status", "size"}), "5");
}

TEST_P(KubeClientContract, WriteThatChangesNothingKeepsTheVersion) {
  const Json made = Create("same");
  auto updated = client().Update(kCall, kVolume, made, Subresource::kNone);
  ASSERT_OK(updated);
  EXPECT_EQ(VersionOf(*updated), VersionOf(made));
  Json applied = Named(made);
  applied["spec"] = {{"size", "1Gi"}};
  auto first = client().Apply(kCall, kVolume, applied, {.field_manager = "m"});
  ASSERT_OK(first);
  auto second = client().Apply(kCall, kVolume, applied, {.field_manager = "m"});
  ASSERT_OK(second);
  EXPECT_EQ(VersionOf(*second), VersionOf(*first));
}

TEST_P(KubeClientContract, ApplyMakesMergesAndTakesBackWhatItNoLongerSays) {
  Json applied = NewVolume("apply");
  applied["metadata"]["labels"] = {{"mine", "1"}, {"passing", "2"}};
  auto made = client().Apply(kCall, kVolume, applied, {.field_manager = "m"});
  ASSERT_OK(made);
  Json others = Named(applied);
  others["metadata"]["labels"] = {{"theirs", "3"}};
  ASSERT_OK(client().Apply(kCall, kVolume, others, {.field_manager = "other"}));
  applied["metadata"]["labels"].erase("passing");
  auto again = client().Apply(kCall, kVolume, applied, {.field_manager = "m"});
  ASSERT_OK(again);
  EXPECT_EQ((*again)["metadata"]["labels"], (Json{{"mine", "1"}, {"theirs", "3"}}));
}

TEST_P(KubeClientContract, ApplyOfAnothersFieldConflictsUnlessForced) {
  Json applied = NewVolume("conflict");
  applied["spec"]["nodeName"] = "";
  applied["metadata"]["labels"] = {{"who", "first"}};
  ASSERT_OK(client().Apply(kCall, kVolume, applied, {.field_manager = "first"}));
  Json other = Named(applied);
  other["metadata"]["labels"] = {{"who", "second"}};
  const auto refused =
      client().Apply(kCall, kVolume, other, {.field_manager = "second", .force = false});
  EXPECT_CODE(refused, kAborted);
  EXPECT_NE(refused.status().message().find("first"), absl::string_view::npos) << refused.status();
  ASSERT_OK(client().Apply(kCall, kVolume, other, {.field_manager = "second"}));
  EXPECT_EQ(Read(applied)["metadata"]["labels"]["who"], "second");
  // The first manager lost the field: what it no longer applies stays.
  applied["metadata"].erase("labels");
  ASSERT_OK(client().Apply(kCall, kVolume, applied, {.field_manager = "first"}));
  EXPECT_EQ(Read(applied)["metadata"]["labels"]["who"], "second");
}

TEST_P(KubeClientContract, ApplyOfStatusMergesConditionsByType) {
  const Json made = Create("conditions");
  auto apply = [&](const char* manager, const Json& conditions) {
    Json status = Named(made);
    status["status"]["conditions"] = conditions;
    return client().Apply(kCall, kVolume, status,
                          {.field_manager = manager, .subresource = Subresource::kStatus});
  };
  ASSERT_OK(apply("a", {Condition("Carved", "True"), Condition("Healthy", "True")}));
  ASSERT_OK(apply("b", Json::array({Condition("Published", "False")})));
  ASSERT_OK(apply("a", Json::array({Condition("Carved", "False")})));
  std::map<std::string, std::string> seen;
  const Json now = Read(made);
  for (const Json& condition : now["status"]["conditions"])
    seen[condition["type"].get<std::string>()] = condition["status"].get<std::string>();
  EXPECT_EQ(seen,
            (std::map<std::string, std::string>{{"Carved", "False"}, {"Published", "False"}}));
  EXPECT_EQ(Read(made)["spec"], made["spec"]);
  EXPECT_EQ(JsonInt(Read(made), {"metadata", "generation"}), 1);
}

TEST_P(KubeClientContract, FinalizerHoldsADeletion) {
  Json asked = NewVolume("finalizer");
  asked["metadata"]["finalizers"] = {"ashlar.dev/agent"};
  auto made = client().Create(kCall, kVolume, asked);
  ASSERT_OK(made);
  ASSERT_OK(client().Delete(kCall, kVolume, KeyOf(*made), {}));
  Json held = Read(*made);
  EXPECT_TRUE(IsBeingDeleted(held));
  EXPECT_GT(JsonInt(held, {"metadata", "generation"}), 1) << "a deletion is a change of intent";
  ASSERT_OK(client().Delete(kCall, kVolume, KeyOf(*made), {}));
  EXPECT_EQ(VersionOf(Read(*made)), VersionOf(held)) << "a second deletion changes nothing";
  held["metadata"].erase("finalizers");
  ASSERT_OK(client().Update(kCall, kVolume, held, Subresource::kNone));
  EXPECT_CODE(client().Get(kCall, kVolume, KeyOf(*made)), kNotFound);
}

TEST_P(KubeClientContract, FinalizersAreAppliedAsASet) {
  Json asked = NewVolume("set");
  asked["metadata"]["finalizers"] = {"example.dev/theirs"};
  ASSERT_OK(client().Create(kCall, kVolume, asked));
  Json mine = Named(asked);
  mine["metadata"]["finalizers"] = {"ashlar.dev/agent"};
  ASSERT_OK(client().Apply(kCall, kVolume, mine, {.field_manager = "m"}));
  EXPECT_EQ(Read(asked)["metadata"]["finalizers"].size(), 2u);
  mine["metadata"].erase("finalizers");
  ASSERT_OK(client().Apply(kCall, kVolume, mine, {.field_manager = "m"}));
  EXPECT_EQ(Read(asked)["metadata"]["finalizers"], Json({"example.dev/theirs"}));
}

TEST_P(KubeClientContract, DeletionHonoursItsPreconditions) {
  const Json made = Create("precondition");
  EXPECT_CODE(client().Delete(kCall, kVolume, KeyOf(made), {.uid = "another"}), kAborted);
  EXPECT_CODE(client().Delete(kCall, kVolume, KeyOf(made), {.resource_version = "1"}), kAborted);
  ASSERT_OK(client().Delete(
      kCall, kVolume, KeyOf(made),
      {.uid = JsonString(made, {"metadata", "uid"}), .resource_version = VersionOf(made)}));
  EXPECT_CODE(client().Get(kCall, kVolume, KeyOf(made)), kNotFound);
}

TEST_P(KubeClientContract, ListSelectsByLabelAndFieldAndGoesOnInChunks) {
  const std::string mark = KeyOf(NewVolume("mark")).name;
  std::string last;
  for (int i = 0; i < 7; ++i) {
    Json asked = NewVolume("list");
    asked["metadata"]["labels"] = {{"mark", mark}, {"odd", i % 2 == 1 ? "yes" : "no"}};
    auto made = client().Create(kCall, kVolume, asked);
    ASSERT_OK(made);
    last = KeyOf(*made).name;
  }
  auto all = client().List(kCall, kVolume, {.label_selector = "mark=" + mark});
  ASSERT_OK(all);
  ASSERT_EQ(all->items.size(), 7u);
  for (const Json& item : all->items) {
    EXPECT_EQ(item["kind"], "Volume");
    EXPECT_EQ(item["apiVersion"], "ashlar.dev/v1alpha1");
  }
  EXPECT_FALSE(all->resource_version.empty());
  auto odd = client().List(kCall, kVolume,
                           {.label_selector = absl::StrCat("mark=", mark, ",odd in (yes,maybe)")});
  ASSERT_OK(odd);
  EXPECT_EQ(odd->items.size(), 3u);
  auto one = client().List(kCall, kVolume, {.field_selector = "metadata.name=" + last});
  ASSERT_OK(one);
  EXPECT_EQ(one->items.size(), 1u);
}

TEST_P(KubeClientContract, WatchTellsOfEveryChangeInOrder) {
  const Json asked = NewVolume("watch");
  const std::string field = "metadata.name=" + KeyOf(asked).name;
  auto listed = client().List(kCall, kVolume, {.field_selector = field});
  ASSERT_OK(listed);
  Watcher watcher(client(), kVolume,
                  {.field_selector = field, .resource_version = listed->resource_version});
  auto made = client().Create(kCall, kVolume, asked);
  ASSERT_OK(made);
  Json next = *made;
  next["spec"]["size"] = "2Gi";
  auto updated = client().Update(kCall, kVolume, next, Subresource::kNone);
  ASSERT_OK(updated);
  ASSERT_OK(client().Delete(kCall, kVolume, KeyOf(*made), {}));
  const auto events = watcher.Await(3);
  EXPECT_EQ(events[0].type, WatchEvent::Type::kAdded);
  EXPECT_EQ(events[0].object, *made);
  EXPECT_EQ(events[1].type, WatchEvent::Type::kModified);
  EXPECT_EQ(events[1].object, *updated);
  EXPECT_EQ(events[2].type, WatchEvent::Type::kDeleted);
  EXPECT_GT(CompareVersions(VersionOf(events[2].object), VersionOf(*updated)), 0)
      << "a deletion has a version of its own";
  EXPECT_CODE(watcher.Stop(), kCancelled);
}

TEST_P(KubeClientContract, WatchFromAnEarlierVersionTellsWhatHappenedSince) {
  const Json made = Create("replay");
  Json next = made;
  next["spec"]["size"] = "2Gi";
  ASSERT_OK(client().Update(kCall, kVolume, next, Subresource::kNone));
  Watcher watcher(
      client(), kVolume,
      {.field_selector = "metadata.name=" + KeyOf(made).name, .resource_version = VersionOf(made)});
  const auto events = watcher.Await(1);
  EXPECT_EQ(events[0].type, WatchEvent::Type::kModified);
  EXPECT_EQ(events[0].object["spec"]["size"], "2Gi");
}

TEST_P(KubeClientContract, WatchBySelectorSeesObjectsComeAndGo) {
  Json object = Create("selected");
  const std::string mark = KeyOf(object).name;
  Watcher watcher(client(), kVolume,
                  {.label_selector = "mark=" + mark, .resource_version = VersionOf(object)});
  object["metadata"]["labels"] = {{"mark", mark}};
  auto in = client().Update(kCall, kVolume, object, Subresource::kNone);
  ASSERT_OK(in);
  (*in)["metadata"].erase("labels");
  auto out = client().Update(kCall, kVolume, *in, Subresource::kNone);
  ASSERT_OK(out);
  const auto events = watcher.Await(2);
  EXPECT_EQ(events[0].type, WatchEvent::Type::kAdded);
  EXPECT_EQ(events[1].type, WatchEvent::Type::kDeleted);
  EXPECT_EQ(VersionOf(events[1].object), VersionOf(*out));
}

TEST_P(KubeClientContract, WatchFromAForgottenVersionIsOutOfRange) {
  const absl::Status ended = client().Watch({.deadline = absl::Now() + absl::Seconds(30)}, kVolume,
                                            {.resource_version = api().forgotten_version()},
                                            [](WatchEvent) { return absl::OkStatus(); });
  EXPECT_CODE(ended, kOutOfRange) << ended;
}

TEST_P(KubeClientContract, WatchEndsWithItsContextOrItsHandler) {
  const Json made = Create("ends");
  EXPECT_CODE(Watcher(client(), kVolume, {.resource_version = VersionOf(made)}).Stop(), kCancelled);
  std::stop_source stopped;
  stopped.request_stop();
  EXPECT_CODE(
      client().Watch({.stop = stopped.get_token()}, kVolume, {.resource_version = VersionOf(made)},
                     [](WatchEvent) { return absl::OkStatus(); }),
      kCancelled);
  Json next = made;
  next["spec"]["size"] = "2Gi";
  ASSERT_OK(client().Update(kCall, kVolume, next, Subresource::kNone));
  EXPECT_EQ(client().Watch(kCall, kVolume, {.resource_version = VersionOf(made)},
                           [](WatchEvent) { return absl::DataLossError("enough"); }),
            absl::DataLossError("enough"));
}

TEST_P(KubeClientContract, DiscoveryTellsWhichKindsAreServed) {
  const auto serves = [&](const KindInfo& kind) {
    const auto served = client().Serves(kCall, kind);
    EXPECT_TRUE(served.ok()) << served.status();
    return served.ok() && *served;
  };
  EXPECT_TRUE(serves(kVolume));
  KindInfo other = kVolume;
  other.version = "v9";
  EXPECT_FALSE(serves(other));
  EXPECT_FALSE(serves({"nobody.example.com", "v1", "Thing", "things", true}));
}

TEST_P(KubeClientContract, EndedContextCallsNothing) {
  std::stop_source stop;
  stop.request_stop();
  EXPECT_CODE(client().Get({.stop = stop.get_token()}, kVolume, {"", "x"}), kCancelled);
  EXPECT_CODE(client().Get({.deadline = absl::UnixEpoch()}, kVolume, {"", "x"}), kDeadlineExceeded);
}

TEST_P(KubeClientContract, NamespacesKeepObjectsApart) {
  if (!GetParam().namespaced) GTEST_SKIP() << "this API serves no Leases";
  const std::string name = KeyOf(NewVolume("lease")).name;
  for (const char* space : {"default", "kube-system"}) {
    const Json lease{{"apiVersion", "coordination.k8s.io/v1"},
                     {"kind", "Lease"},
                     {"metadata", {{"name", name}, {"namespace", space}}},
                     {"spec", {{"holderIdentity", space}}}};
    ASSERT_OK(client().Create(kCall, kLease, lease));
  }
  EXPECT_EQ((*client().Get(kCall, kLease, {"kube-system", name}))["spec"]["holderIdentity"],
            "kube-system");
  const std::string field = "metadata.name=" + name;
  EXPECT_EQ(client().List(kCall, kLease, {.field_selector = field})->items.size(), 2u);
  EXPECT_EQ(
      client().List(kCall, kLease, {.space = "default", .field_selector = field})->items.size(),
      1u);
}

}  // namespace ashlar::kube
