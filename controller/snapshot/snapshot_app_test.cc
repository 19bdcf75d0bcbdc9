// Snapshots, groups and copies through the whole controller.
#include "controller/testing/controller_lab.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/clock.h"

namespace ashlar::controller {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const api::KindInfo& kVolume() { return api::Kind<v1alpha1::Volume>(); }
const api::KindInfo& kSnapshot() { return api::Kind<v1alpha1::Snapshot>(); }
const api::KindInfo& kGroup() { return api::Kind<v1alpha1::SnapshotGroup>(); }

class SnapshotAppTest : public testing::Test {
 protected:
  void SetUp() override {
    n1_ = lab_.AddNode("n1", 10 * kGi);
    lab_.options.snapshot.slow_retry = absl::Milliseconds(200);
    lab_.Start();
    lab_.MakePool("fast");
    lab_.AwaitCondition(api::Kind<v1alpha1::Pool>(), "fast", "Ready", "True", "Ready");
  }
  void Make(const char* kind, const std::string& name, const Json& spec) {
    const api::KindInfo& info = std::string(kind) == "Snapshot" ? kSnapshot() : kGroup();
    const auto made = lab_.server.Create({}, info,
                                         {{"apiVersion", "ashlar.dev/v1alpha1"},
                                          {"kind", kind},
                                          {"metadata", {{"name", name}}},
                                          {"spec", spec}});
    ASSERT_TRUE(made.ok()) << made.status();
  }
  void MakeCarved(const std::string& name, const Json& more = Json::object()) {
    lab_.MakeVolume(name, "1Gi", more);
    lab_.AwaitCarved(name);
  }
  Json From(const std::string& kind, const std::string& name) {
    return {{"source", {{"kind", kind}, {"name", name}}}};
  }

  RealClock clock_;
  ControllerLab lab_{clock_};
  std::shared_ptr<FakeAgent> n1_;
};

TEST_F(SnapshotAppTest, ASnapshotIsTakenRestoredAndOutlivesItsVolume) {
  MakeCarved("v");
  Make("Snapshot", "s", {{"volume", "v"}});
  lab_.AwaitCondition(kSnapshot(), "s", "Ready", "True", "Taken");
  EXPECT_THAT(n1_->Volumes(), ElementsAre("s", "v"));
  lab_.Delete(kVolume(), "v");
  lab_.AwaitGone(kVolume(), "v");
  MakeCarved("r", From("Snapshot", "s"));
  EXPECT_EQ(lab_.AwaitCarved("r").spec().node_name(), "n1");
  lab_.Delete(kSnapshot(), "s");
  lab_.AwaitGone(kSnapshot(), "s");
  EXPECT_THAT(n1_->Volumes(), ElementsAre("r"));
  lab_.Delete(kVolume(), "r");
  lab_.AwaitGone(kVolume(), "r");
  EXPECT_THAT(n1_->Volumes(), IsEmpty());
}

TEST_F(SnapshotAppTest, ACopyWaitsForItsSource) {
  lab_.MakeVolume("c", "1Gi", From("Volume", "v"));
  lab_.AwaitRefused("c", "SourceNotFound");
  Make("Snapshot", "s", {{"volume", "v"}});
  lab_.AwaitCondition(kSnapshot(), "s", "Ready", "False", "VolumeNotFound");
  MakeCarved("v");
  EXPECT_EQ(lab_.AwaitCarved("c").spec().node_name(), "n1");
  lab_.AwaitCondition(kSnapshot(), "s", "Ready", "True", "Taken");
}

TEST_F(SnapshotAppTest, AGroupIsTakenInOneCallAndGoesWithItsMembers) {
  MakeCarved("a");
  MakeCarved("b");
  Make("SnapshotGroup", "g",
       {{"snapshots", {{{"name", "sa"}, {"volume", "a"}}, {{"name", "sb"}, {"volume", "b"}}}}});
  lab_.AwaitCondition(kGroup(), "g", "Ready", "True", "Taken");
  for (const char* member : {"sa", "sb"})
    lab_.AwaitCondition(kSnapshot(), member, "Ready", "True", "Taken");
  EXPECT_EQ(n1_->Calls("EnsureSnapshots"), 1);
  EXPECT_THAT(n1_->Volumes(), ElementsAre("a", "b", "sa", "sb"));
  lab_.Delete(kGroup(), "g");
  lab_.AwaitGone(kGroup(), "g");
  EXPECT_THAT(n1_->Volumes(), ElementsAre("a", "b"));
}

TEST_F(SnapshotAppTest, AGroupOfSeveralNodesIsRefusedWithTheirNames) {
  lab_.AddNode("n2", 10 * kGi);
  MakeCarved("a", {{"nodeName", "n1"}});
  MakeCarved("b", {{"nodeName", "n2"}});
  Make("SnapshotGroup", "g",
       {{"snapshots", {{{"name", "sa"}, {"volume", "a"}}, {{"name", "sb"}, {"volume", "b"}}}}});
  EXPECT_THAT(lab_.AwaitCondition(kGroup(), "g", "Ready", "False", "VolumesOnDifferentNodes"),
              HasSubstr("a on node n1, b on node n2"));
  lab_.Delete(kGroup(), "g");
  lab_.AwaitGone(kGroup(), "g");
}

TEST_F(SnapshotAppTest, RefusalsAndCallsThatWereLostAreTriedAgain) {
  MakeCarved("v");
  n1_->FailNext("EnsureSnapshots", absl::UnimplementedError("no reflink"));
  Make("Snapshot", "s", {{"volume", "v"}});
  EXPECT_THAT(lab_.AwaitEvent("Snapshot", "s", "CopiesNotSupported"), HasSubstr("no reflink"));
  lab_.AwaitCondition(kSnapshot(), "s", "Ready", "True", "Taken");
  n1_->FailNext("EnsureSnapshots", absl::UnavailableError("lost"), 1, FakeAgent::When::kAfter);
  Make("Snapshot", "t", {{"volume", "v"}});
  lab_.AwaitCondition(kSnapshot(), "t", "Ready", "True", "Taken");
  n1_->FailNext("RemoveSnapshot", absl::InternalError("busy"));
  lab_.Delete(kSnapshot(), "t");
  lab_.AwaitGone(kSnapshot(), "t");
  EXPECT_THAT(n1_->Volumes(), ElementsAre("s", "v"));
}

}  // namespace
}  // namespace ashlar::controller
