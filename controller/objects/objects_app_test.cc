// What the controller leaves of objects that others write too, over an API server and agents in
// memory.
#include "controller/testing/controller_lab.h"
#include "gtest/gtest.h"
#include "lib/kube/request_id.h"

namespace ashlar::controller {
namespace {

const api::KindInfo& kVolume() { return api::Kind<v1alpha1::Volume>(); }
const api::KindInfo& kPool() { return api::Kind<v1alpha1::Pool>(); }

class ObjectsAppTest : public testing::Test {
 protected:
  RealClock clock_;
  ControllerLab lab_{clock_};
};

TEST_F(ObjectsAppTest, WhatANewerVersionWroteStays) {
  lab_.AddNode("n1", 10 * kGi);
  lab_.MakePool("fast");
  lab_.Start();
  lab_.AwaitCondition(kPool(), "fast", "Ready", "True", "Ready");
  lab_.MakeVolume("v1", "1Gi");
  lab_.AwaitCarved("v1");
  const auto mark_status = [&](const api::KindInfo& kind, const std::string& name, const char* list,
                               const std::string& text) {
    for (absl::Status written = absl::AbortedError("not yet"); absl::IsAborted(written);) {
      Json object = *lab_.server.Get({}, kind, {"", name});
      object["status"]["newer"] = "status";
      object["status"][list][0]["newer"] = text;
      written = lab_.server.Update({}, kind, object, kube::Subresource::kStatus).status();
    }
  };
  const auto marked = [](const Json* object) {
    return object != nullptr && JsonString(*object, {"spec", "newer"}) == "spec" &&
           JsonString(*object, {"status", "newer"}) == "status";
  };
  mark_status(kVolume(), "v1", "conditions", "condition");
  mark_status(kPool(), "fast", "nodes", "node");
  lab_.Change(kPool(), "fast", [](Json& pool) { pool["spec"]["newer"] = "spec"; });
  lab_.Change(kVolume(), "v1", [](Json& volume) {
    volume["spec"]["newer"] = "spec";
    volume["spec"]["size"] = "2Gi";
  });
  lab_.Await(kVolume(), "v1", [&](const Json* volume) {
    return marked(volume) && JsonString(*volume, {"status", "size"}) == "2Gi" &&
           (*volume)["status"]["conditions"][0].value("newer", "") == "condition";
  });
  lab_.Await(kPool(), "fast", [&](const Json* pool) {
    return marked(pool) && JsonString(*pool, {"status", "allocated"}) == "2Gi" &&
           (*pool)["status"]["nodes"][0].value("newer", "") == "node";
  });
}

TEST_F(ObjectsAppTest, AVolumeThatCannotBeReadHoldsUpNobody) {
  lab_.AddNode("n1", 10 * kGi);
  lab_.MakePool("fast");
  lab_.MakeVolume("bad", "1Gi", {{"nodeName", 7}});
  lab_.Start();
  lab_.MakeVolume("good", "1Gi");
  lab_.AwaitCarved("good");
  lab_.Change(kVolume(), "bad", [](Json& volume) { volume["spec"].erase("nodeName"); });
  lab_.AwaitCarved("bad");
}

TEST_F(ObjectsAppTest, TheAgentHearsTheIdOfTheRequest) {
  const auto agent = lab_.AddNode("n1", 10 * kGi);
  lab_.MakePool("fast");
  lab_.Start();
  lab_.AwaitCondition(kPool(), "fast", "Ready", "True", "Ready");
  const Json pool = *lab_.server.Get({}, kPool(), {"", "fast"});
  EXPECT_EQ(agent->RequestIdOf("EnsurePool"), JsonString(pool, {"metadata", "uid"}));
  const Json own = lab_.MakeVolume("own", "1Gi");
  lab_.AwaitCarved("own");
  EXPECT_EQ(agent->RequestIdOf("EnsureVolume"), JsonString(own, {"metadata", "uid"}));
  lab_.Change(kVolume(), "own", [](Json& volume) {
    volume["metadata"]["annotations"][kube::kRequestIdAnnotation] = "of-csi";
    volume["spec"]["size"] = "2Gi";
  });
  lab_.Await(kVolume(), "own", [](const Json* volume) {
    return volume != nullptr && JsonString(*volume, {"status", "size"}) == "2Gi";
  });
  EXPECT_EQ(agent->RequestIdOf("ResizeVolume"), "of-csi");
}

}  // namespace
}  // namespace ashlar::controller
