#include "controller/composition/gang_scheduler.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ashlar::controller {
namespace {

using v1alpha1::Composition;

const std::set<std::string> kAll = {"KAI", "Volcano", "Coscheduling", "Kubernetes", "Kueue"};

// Of two members.
Composition Gang(const std::string& scheduler, const std::string& queue = "") {
  Composition object;
  object.mutable_metadata()->set_name("train");
  object.mutable_metadata()->set_namespace_("team");
  object.mutable_metadata()->set_uid("uid");
  object.mutable_spec()->set_gang_scheduler(scheduler);
  object.mutable_spec()->set_queue(queue);
  object.mutable_status()->add_members();
  object.mutable_status()->add_members();
  return object;
}

std::string Chosen(const Composition& object, const std::set<std::string>& installed) {
  const auto chosen = ChooseGangScheduler(object, installed);
  return chosen ? chosen->name() : "";
}

TEST(GangScheduler, AutoTakesWhatIsInstalled) {
  EXPECT_EQ(Chosen(Gang("Auto"), {}), "");
  std::set<std::string> installed = kAll;
  for (const char* next : {"KAI", "Volcano", "Coscheduling", "Kubernetes"}) {
    EXPECT_EQ(Chosen(Gang("Auto"), installed), next);
    EXPECT_EQ(Chosen(Gang(""), installed), next) << "that is what unset means";
    installed.erase(next);
  }
  EXPECT_EQ(Chosen(Gang("Auto"), installed), "") << "without a queue Kueue has no part in it";
  EXPECT_EQ(Chosen(Gang("Auto", "gpus"), installed), "Kueue");
}

TEST(GangScheduler, OneThatIsNamedIsTakenOrMissed) {
  for (const std::string& name : kAll) {
    EXPECT_EQ(Chosen(Gang(name), kAll), name);
    std::set<std::string> others = kAll;
    others.erase(name);
    EXPECT_EQ(Chosen(Gang(name), others), "");
  }
  EXPECT_EQ(Chosen(Gang("None"), kAll), "");
  EXPECT_EQ(MissingScheduler(Gang("Volcano").spec()),
            "gangScheduler is Volcano, which is not installed: the API server has no podgroups of "
            "scheduling.volcano.sh/v1beta1");
  for (const char* any : {"", "Auto", "None"}) EXPECT_EQ(MissingScheduler(Gang(any).spec()), "");
}

TEST(GangScheduler, EachGetsItsObjectAndSaysWhatPodsMustBear) {
  const struct {
    const char* scheduler;
    const char* queue;
    const char* api_version;
    Json spec;
    const char* pods;
  } kCases[] = {
      {"Kubernetes",
       "",
       "scheduling.k8s.io/v1alpha2",
       {{"schedulingPolicy", {{"gang", {{"minCount", 2}}}}}},
       "schedulingGroup.podGroupName train"},
      {"Coscheduling",
       "",
       "scheduling.x-k8s.io/v1alpha1",
       {{"minMember", 2}},
       "schedulerName scheduler-plugins-scheduler, label scheduling.x-k8s.io/pod-group=train"},
      {"Volcano",
       "",
       "scheduling.volcano.sh/v1beta1",
       {{"minMember", 2}},
       "schedulerName volcano, annotation scheduling.k8s.io/group-name=train"},
      {"Volcano",
       "gpus",
       "scheduling.volcano.sh/v1beta1",
       {{"minMember", 2}, {"queue", "gpus"}},
       "schedulerName volcano, annotation scheduling.k8s.io/group-name=train"},
      {"KAI",
       "",
       "scheduling.run.ai/v2alpha2",
       {{"minMember", 2}, {"queue", "default-queue"}},
       "schedulerName kai-scheduler, label kai.scheduler/queue=default-queue, annotation "
       "pod-group-name=train"},
      {"KAI",
       "gpus",
       "scheduling.run.ai/v2alpha2",
       {{"minMember", 2}, {"queue", "gpus"}},
       "schedulerName kai-scheduler, label kai.scheduler/queue=gpus, annotation "
       "pod-group-name=train"},
      {"Kueue", "gpus", "", nullptr,
       "label kueue.x-k8s.io/pod-group-name=train, label kueue.x-k8s.io/queue-name=gpus, "
       "annotation kueue.x-k8s.io/pod-group-total-count=2"},
  };
  for (const auto& one : kCases) {
    Composition object = Gang(one.scheduler, one.queue);
    const auto chosen = ChooseGangScheduler(object, kAll);
    ASSERT_TRUE(chosen.has_value());
    EXPECT_EQ(chosen->object_api_version(), one.api_version);
    EXPECT_EQ(PodsMustBear(*chosen), one.pods);
    EXPECT_EQ(GangKindOf(one.scheduler) == nullptr, one.spec.is_null());
    if (one.spec.is_null()) continue;
    *object.mutable_status()->mutable_gang_scheduler() = *chosen;
    const Json made = GangObjectOf(object);
    EXPECT_EQ(made["apiVersion"], one.api_version);
    EXPECT_EQ(made["kind"], "PodGroup");
    EXPECT_EQ(made["spec"], one.spec) << one.scheduler;
    EXPECT_EQ(made["metadata"]["name"], "train");
    EXPECT_EQ(made["metadata"]["namespace"], "team");
    EXPECT_EQ(made["metadata"]["ownerReferences"][0]["uid"], "uid");
  }
}

}  // namespace
}  // namespace ashlar::controller
