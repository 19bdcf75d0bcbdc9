// Drives for ResourceClaims, through the whole controller.
#include "ashlar/k8s/resource.codec.h"
#include "controller/dra_names/drive_names.h"
#include "controller/slices/drive_devices.h"
#include "controller/testing/controller_lab.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/clock.h"
#include "lib/kube/object.h"

namespace ashlar::controller {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const api::KindInfo& kClaim() { return api::Kind<k8s::ResourceClaim>(); }
const api::KindInfo& kSlice() { return api::Kind<k8s::ResourceSlice>(); }
const api::KindInfo& kVolume() { return api::Kind<v1alpha1::Volume>(); }

class ClaimsAppTest : public testing::Test {
 protected:
  void SetUp() override {
    n1_ = lab_.AddNode("n1", 0);
    n1_->SetPoolDrives({{"S1", 100 * kGi}, {"S2", 50 * kGi}});
    for (const char* id : {"S1", "S2"}) {
      agent::v1::Drive drive;
      drive.set_id(id);
      drive.set_serial(id);
      n1_->AddDrive(drive);
    }
    lab_.Start();
    lab_.MakePool("fast");
    AwaitDevice("S1", 100 * kGi);
    AwaitDevice("S2", 50 * kGi);
  }

  // Until the drive is offered with so many bytes.
  k8s::Device AwaitDevice(const std::string& drive, int64_t bytes) {
    k8s::Device found;
    lab_.Await(kSlice(), "n1-nvme.ashlar.dev-0", [&](const Json* json) {
      if (json == nullptr) return false;
      const auto slice = api::FromJson<k8s::ResourceSlice>(*json);
      EXPECT_TRUE(slice.ok()) << slice.status();
      for (const k8s::Device& device : slice->spec().devices())
        if (device.name() == DriveDeviceName(drive)) found = device;
      return !found.name().empty() && found.capacity().at(kStorageCapacity).value() == bytes;
    });
    return found;
  }

  // As the scheduler does it: the claim is there, and has what `allocation` says. Its uid.
  std::string MakeAllocated(const std::string& name, const Json& allocation) {
    Json claim = {{"apiVersion", "resource.k8s.io/v1"},
                  {"kind", "ResourceClaim"},
                  {"metadata", {{"name", name}, {"namespace", "default"}}},
                  {"spec", {{"devices", {{"requests", Json::array()}}}}}};
    auto made = lab_.server.Create({}, kClaim(), claim);
    EXPECT_TRUE(made.ok()) << made.status();
    (*made)["status"]["allocation"] = allocation;
    const auto written = lab_.server.Update({}, kClaim(), *made, kube::Subresource::kStatus);
    EXPECT_TRUE(written.ok()) << written.status();
    return JsonString(*made, {"metadata", "uid"});
  }
  // A claim that has the drive.
  std::string Allocate(const std::string& name, const std::string& drive, const std::string& size,
                       const Json& parameters = Json()) {
    Json allocation = {
        {"devices",
         {{"results", Json::array({{{"request", "scratch"},
                                    {"driver", kNvmeDriver},
                                    {"pool", "n1"},
                                    {"device", DriveDeviceName(drive)},
                                    {"shareID", "share-" + name},
                                    {"consumedCapacity", {{kStorageCapacity, size}}},
                                    {"bindingConditions", {kVolumeReady}},
                                    {"bindingFailureConditions", {kVolumeFailed}}}})}}}};
    if (!parameters.is_null())
      allocation["devices"]["config"] =
          Json::array({{{"source", "FromClaim"},
                        {"opaque", {{"driver", kNvmeDriver}, {"parameters", parameters}}}}});
    return MakeAllocated(name, allocation);
  }

  // Until the condition of the claim's device has the status and reason; answers the message.
  std::string AwaitDeviceCondition(const std::string& name, const char* type, const char* status,
                                   const char* reason) {
    std::string message;
    lab_.Await(kClaim(), name, [&](const Json* claim) {
      const Json* devices = claim == nullptr ? nullptr : FindJson(*claim, {"status", "devices"});
      if (devices == nullptr) return false;
      for (const Json& device : *devices)
        for (const Json& condition : device["conditions"]) {
          message = JsonString(condition, {"message"});
          if (JsonString(condition, {"type"}) == type &&
              JsonString(condition, {"status"}) == status &&
              JsonString(condition, {"reason"}) == reason)
            return true;
        }
      return false;
    });
    return message;
  }

  void Delete(const std::string& name) {
    ASSERT_TRUE(lab_.server.Delete({}, kClaim(), {"default", name}, {}).ok());
  }

  RealClock clock_;
  ControllerLab lab_{clock_};
  std::shared_ptr<FakeAgent> n1_;
};

TEST_F(ClaimsAppTest, AClaimGetsItsVolumeOnItsDriveAndItsEndTakesAllBack) {
  const std::string uid = Allocate("c", "S1", "10Gi");
  AwaitDeviceCondition("c", kVolumeReady, "True", "Ready");
  const std::string volume = "claim-" + uid + "-scratch";
  EXPECT_THAT(n1_->Volumes(), ElementsAre(volume));
  EXPECT_EQ(lab_.AwaitCarved(volume).status().device().drive(), "S1");
  EXPECT_EQ(n1_->Claim(uid).devices(0).volume().volume_id(), volume);
  EXPECT_EQ(n1_->Claim(uid).devices(0).volume().path(), "/ashlar/scratch");
  // A volume of CSI takes room that claims could have had; a claim's own does not.
  lab_.MakeVolume("pvc", "5Gi", {{"drive", "S1"}, {"nodeName", "n1"}});
  AwaitDevice("S1", 95 * kGi);

  n1_->SetPrepared(uid, true);
  Delete("c");
  n1_->AwaitCalls("RemoveClaim", 1);
  EXPECT_THAT(n1_->Volumes(), ElementsAre(volume, "pvc"));
  n1_->SetPrepared(uid, false);
  lab_.AwaitGone(kVolume(), volume);
  EXPECT_EQ(n1_->Claim(uid).uid(), "");
  AwaitDevice("S1", 95 * kGi);
}

TEST_F(ClaimsAppTest, ALeaderThatBeginsTakesBackWhatEndedMeanwhile) {
  const std::string uid = Allocate("c", "S1", "10Gi");
  AwaitDeviceCondition("c", kVolumeReady, "True", "Ready");
  lab_.Stop();
  Delete("c");
  lab_.Start();
  lab_.AwaitGone(kVolume(), "claim-" + uid + "-scratch");
  EXPECT_THAT(n1_->Volumes(), IsEmpty());
  EXPECT_EQ(n1_->Claim(uid).uid(), "");
}

TEST_F(ClaimsAppTest, AVolumeThatCannotBeCarvedSendsTheSchedulerElsewhereAndIsTakenBack) {
  const std::string uid = Allocate("c", "S2", "60Gi");
  EXPECT_THAT(AwaitDeviceCondition("c", kVolumeFailed, "True", "NoCapacity"), HasSubstr("60Gi"));
  // The scheduler takes the device away and gives another one.
  const auto change = [&](const std::function<void(Json&)>& how) {
    for (;;) {
      auto claim = lab_.server.Get({}, kClaim(), {"default", "c"});
      ASSERT_TRUE(claim.ok());
      how((*claim)["status"]);
      const auto written = lab_.server.Update({}, kClaim(), *claim, kube::Subresource::kStatus);
      if (written.ok()) return;
    }
  };
  Json allocation;
  change([&](Json& status) {
    allocation = status["allocation"];
    status = Json::object();
  });
  lab_.AwaitGone(kVolume(), "claim-" + uid + "-scratch");
  allocation["devices"]["results"][0]["device"] = DriveDeviceName("S1");
  change([&](Json& status) { status["allocation"] = allocation; });
  AwaitDeviceCondition("c", kVolumeReady, "True", "Ready");
  EXPECT_EQ(n1_->VolumeBytes("claim-" + uid + "-scratch"), 60 * kGi);
}

TEST_F(ClaimsAppTest, AConfigurationThatIsWrongIsToldAndNothingIsMade) {
  Allocate("c", "S1", "10Gi",
           {{"apiVersion", "ashlar.dev/v1alpha1"}, {"kind", "VolumeConfig"}, {"fsType", "zfs"}});
  EXPECT_EQ(AwaitDeviceCondition("c", "Ready", "False", "InvalidConfig"),
            "VolumeConfig.fsType: Invalid value: \"zfs\": must be one of btrfs, ext4, xfs");
  EXPECT_THAT(lab_.AwaitEvent("ResourceClaim", "c", "InvalidConfig"), HasSubstr("zfs"));
  EXPECT_THAT(n1_->Volumes(), IsEmpty());
}

// A volume of a PersistentVolumeClaim that was offered.
class OfferedVolumesAppTest : public ClaimsAppTest {
 protected:
  void SetUp() override {
    ClaimsAppTest::SetUp();
    lab_.MakeVolume("pvc", "5Gi", {{"drive", "S1"}, {"nodeName", "n1"}});
    lab_.AwaitCarved("pvc");
    Offer({"default"});
  }
  void Offer(const std::vector<std::string>& namespaces) {
    lab_.Change(kVolume(), "pvc", [&](Json& volume) {
      volume["spec"]["offer"] = {{"namespaces", namespaces}};
    });
  }
  // A claim that has the volume.
  std::string Take(const std::string& name) {
    const Json allocation = {
        {"devices",
         {{"results", Json::array({{{"request", "data"},
                                    {"driver", kNvmeDriver},
                                    {"pool", "n1"},
                                    {"device", VolumeDeviceName("pvc")},
                                    {"bindingConditions", {kVolumeReady}},
                                    {"bindingFailureConditions", {kVolumeFailed}}}})}}}};
    return MakeAllocated(name, allocation);
  }
  // Until the volume is published, or is not.
  void AwaitPublished(bool published) {
    lab_.Await(kSlice(), "n1-nvme.ashlar.dev-0", [&](const Json* json) {
      return json != nullptr &&
             (DumpJson(*json).find(VolumeDeviceName("pvc")) != std::string::npos) == published;
    });
  }
  void DeleteVolume() { ASSERT_TRUE(lab_.server.Delete({}, kVolume(), {"", "pvc"}, {}).ok()); }
};

TEST_F(OfferedVolumesAppTest, AClaimGetsItAsItIsAndItsDeletionWaitsForTheClaim) {
  AwaitPublished(true);
  const std::string uid = Take("c");
  AwaitDeviceCondition("c", kVolumeReady, "True", "Ready");
  EXPECT_EQ(n1_->Claim(uid).devices(0).volume().volume_id(), "pvc");
  EXPECT_TRUE(n1_->Claim(uid).devices(0).volume().existing());
  EXPECT_THAT(n1_->Volumes(), ElementsAre("pvc"));
  DeleteVolume();
  lab_.Await(kVolume(), "pvc", [](const Json* volume) {
    return volume != nullptr &&
           DumpJson(*volume).find("until ResourceClaim default/c no longer holds") !=
               std::string::npos;
  });
  EXPECT_THAT(n1_->Volumes(), ElementsAre("pvc"));
  Delete("c");
  lab_.AwaitGone(kVolume(), "pvc");
  EXPECT_EQ(n1_->Claim(uid).uid(), "");
}

TEST_F(OfferedVolumesAppTest, TheAgentForgetsAClaimThatItIsOfferedToNoMore) {
  const std::string uid = Take("c");
  AwaitDeviceCondition("c", kVolumeReady, "True", "Ready");
  Offer({"other"});
  AwaitDeviceCondition("c", kVolumeFailed, "True", "NotOffered");
  n1_->AwaitCalls("RemoveClaim", 1);
  EXPECT_EQ(n1_->Claim(uid).uid(), "");
  EXPECT_THAT(lab_.AwaitEvent("ResourceClaim", "c", "NotOffered"), HasSubstr("namespace default"));
  Delete("c");
  Offer({});
  AwaitPublished(false);
  EXPECT_THAT(n1_->Volumes(), ElementsAre("pvc"));
}

TEST_F(ClaimsAppTest, AnAgentThatForgotIsToldAgain) {
  const std::string uid = Allocate("c", "S1", "10Gi");
  AwaitDeviceCondition("c", kVolumeReady, "True", "Ready");
  ASSERT_TRUE(n1_->RemoveClaim({}, uid).ok());
  n1_->AwaitClaim(uid);
}

TEST_F(ClaimsAppTest, SlicesGoWithTheNodeAndComeBackIfSomebodyDeletesThem) {
  ASSERT_TRUE(lab_.server.Delete({}, kSlice(), {"", "n1-nvme.ashlar.dev-0"}, {}).ok());
  AwaitDevice("S1", 100 * kGi);
  lab_.RemoveNode("n1");
  lab_.AwaitGone(kSlice(), "n1-nvme.ashlar.dev-0");
}

}  // namespace
}  // namespace ashlar::controller
