#include "ashlar/k8s/resource.codec.h"
#include "gtest/gtest.h"
#include "lib/api/kinds.h"

namespace ashlar::api {
namespace {

using v1alpha1::NodeInventory;
using v1alpha1::Pool;
using v1alpha1::Volume;

Json Parsed(absl::string_view text) {
  auto json = ParseJson(text);
  EXPECT_TRUE(json.ok()) << json.status();
  return json.ok() ? *json : Json();
}

TEST(Codec, KindsAreAddressedAsTheirOptionsSay) {
  const KindInfo& kind = Kind<Volume>();
  EXPECT_EQ(kind.ApiVersion(), "ashlar.dev/v1alpha1");
  EXPECT_EQ(kind.kind, "Volume");
  EXPECT_EQ(kind.plural, "volumes");
  EXPECT_FALSE(kind.namespaced);
  EXPECT_EQ(Kind<NodeInventory>().plural, "nodeinventories");
}

TEST(Codec, VolumeIsReadFromKubernetesJson) {
  const auto volume = FromJson<Volume>(Parsed(R"({
    "apiVersion": "ashlar.dev/v1alpha1", "kind": "Volume",
    "metadata": {"name": "v1", "generation": 3, "deletionTimestamp": "2023-11-14T22:13:20Z",
                 "labels": {"a": "b"}, "finalizers": ["ashlar.dev/agent"]},
    "spec": {"pool": "fast", "size": "10Gi", "fsType": "xfs", "allowedNodes": ["n1", "n2"],
             "claimRef": {"namespace": "default", "name": "claim"}, "nodeName": null},
    "status": {"size": 1073741824, "conditions": [{"type": "Carved", "status": "True"}]}})"));
  ASSERT_TRUE(volume.ok()) << volume.status();
  EXPECT_EQ(volume->metadata().generation(), 3);
  EXPECT_EQ(volume->metadata().deletion_timestamp().seconds(), 1700000000);
  EXPECT_EQ(volume->metadata().labels().at("a"), "b");
  EXPECT_EQ(volume->spec().size(), 10LL << 30);
  EXPECT_EQ(volume->spec().allowed_nodes(1), "n2");
  EXPECT_EQ(volume->spec().claim_ref().name(), "claim");
  EXPECT_EQ(volume->spec().node_name(), "");
  EXPECT_EQ(volume->status().size(), 1LL << 30);
  EXPECT_EQ(volume->status().conditions(0).type(), "Carved");
}

TEST(Codec, VolumeIsWrittenAsKubernetesJson) {
  Volume volume;
  volume.mutable_metadata()->set_name("v1");
  volume.mutable_spec()->set_pool("fast");
  volume.mutable_spec()->set_size(10LL << 30);
  auto& condition = *volume.mutable_status()->add_conditions();
  condition.set_type("Carved");
  condition.set_status("True");
  condition.set_reason("Carved");
  condition.mutable_last_transition_time()->set_seconds(1700000000);
  EXPECT_EQ(ToJson(volume), Parsed(R"({
    "apiVersion": "ashlar.dev/v1alpha1", "kind": "Volume", "metadata": {"name": "v1"},
    "spec": {"pool": "fast", "size": "10Gi"},
    "status": {"conditions": [{"type": "Carved", "status": "True", "reason": "Carved",
                               "lastTransitionTime": "2023-11-14T22:13:20Z"}]}})"));
}

TEST(Codec, OptionalFieldsHavePresenceAndOthersAreLeftOutAtTheirDefault) {
  Pool pool;
  pool.mutable_spec();
  pool.mutable_status()->set_capacity(0);
  const Json json = ToJson(pool);
  EXPECT_EQ(json["spec"], Json::object());
  EXPECT_EQ(json["status"], Json({{"capacity", "0"}}));
  EXPECT_FALSE(FromJson<Pool>(json)->status().has_allocated());
  EXPECT_TRUE(FromJson<Pool>(json)->status().has_capacity());
}

TEST(Codec, RequiredFieldsAreWrittenEvenWhenEmpty) {
  const Json json = ToJson(v1alpha1::VolumeSpec());
  EXPECT_EQ(json, Json({{"pool", ""}, {"size", "0"}}));
}

TEST(Codec, ErrorsNameThePathTheValueAndWhatIsAccepted) {
  const auto message = [](absl::string_view text) {
    const auto volume = FromJson<Volume>(Parsed(text));
    EXPECT_EQ(volume.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(volume.status().message());
  };
  EXPECT_EQ(message("[]"), "the object: Invalid value: []: must be an object");
  EXPECT_EQ(message(R"({"spec": {"pool": 7}})"), "spec.pool: Invalid value: 7: must be a string");
  EXPECT_EQ(message(R"({"spec": {"allowedNodes": ["a", false]}})"),
            "spec.allowedNodes[1]: Invalid value: false: must be a string");
  EXPECT_EQ(message(R"({"metadata": {"labels": {"a": 1}}})"),
            "metadata.labels.a: Invalid value: 1: must be a string");
  EXPECT_EQ(message(R"({"kind": "Pool"})"), "kind: Invalid value: \"Pool\": must be Volume");
  EXPECT_EQ(message(R"({"status": {"conditions": [{}, {"lastTransitionTime": "today"}]}})"),
            "status.conditions[1].lastTransitionTime: Invalid value: \"today\": \"today\" is not a "
            "time; accepted is RFC 3339, such as 2006-01-02T15:04:05Z");
  EXPECT_NE(message(R"({"spec": {"size": "10Q"}})").find("spec.size: Invalid value: \"10Q\""),
            std::string::npos);
  EXPECT_EQ(message(R"({"metadata": {"generation": 9223372036854775808}})"),
            "metadata.generation: Invalid value: 9223372036854775808: must be an integer of 64 "
            "bits");
  EXPECT_EQ(FromJson<Pool>(Parsed(R"({"spec": {"overprovisionPercent": 4294967296}})"))
                .status()
                .message(),
            "spec.overprovisionPercent: Invalid value: 4294967296: must be an integer of 32 bits");
}

// What a newer version of Ashlar has written, with fields that this one does not know.
constexpr char kNewerPool[] = R"({
  "apiVersion": "ashlar.dev/v1alpha1", "kind": "Pool",
  "metadata": {"name": "fast", "managedFields": [{"manager": "m"}], "newMeta": 1,
               "ownerReferences": [{"apiVersion": "v1", "kind": "K", "name": "n", "uid": "u", "newOwner": 1}]},
  "spec": {"newSpec": {"a": [1, 2]}, "directory": {"path": "/p", "capacity": "1024Mi", "newDir": true},
           "nodeSelector": {"matchExpressions": [{"key": "k", "operator": "In", "values": ["v"], "newReq": 1}]}},
  "status": {"nodes": [{"node": "n1", "ready": true, "newNode": "x", "capacity": "1G"},
                       {"node": "n2", "ready": true, "newNode": "y"}],
             "conditions": [{"type": "Ready", "status": "True", "reason": "R", "message": "m",
                             "lastTransitionTime": "2023-11-15T00:13:20+02:00", "newCondition": [1]}]},
  "newTop": null})";

TEST(Codec, MergeWithoutChangeLeavesANewerVersionsJsonAsItIs) {
  const Json before = Parsed(kNewerPool);
  Json after = before;
  MergeIntoJson(*FromJson<Pool>(before), after);
  EXPECT_EQ(after, before);
}

TEST(Codec, UnknownFieldsSurviveAReadModifyWrite) {
  const Json before = Parsed(kNewerPool);
  Pool pool = *FromJson<Pool>(before);
  pool.mutable_spec()->mutable_directory()->set_capacity(2LL << 30);
  auto& nodes = *pool.mutable_status()->mutable_nodes();
  nodes.SwapElements(0, 1);  // an older version may write in another order
  nodes[0].set_reason("Gone");
  nodes.Add()->set_node("n3");
  Json after = before;
  MergeIntoJson(pool, after);

  Json expected = before;
  expected["spec"]["directory"]["capacity"] = "2Gi";
  std::swap(expected["status"]["nodes"][0], expected["status"]["nodes"][1]);
  expected["status"]["nodes"][0]["reason"] = "Gone";
  expected["status"]["nodes"].push_back({{"node", "n3"}});
  // `ready` may be written as false for the new node.
  after["status"]["nodes"][2].erase("ready");
  EXPECT_EQ(after, expected) << Json::diff(expected, after).dump(1);
}

TEST(Codec, KnownFieldsThatWereClearedAreRemovedByAMerge) {
  Json json = Parsed(kNewerPool);
  Pool pool = *FromJson<Pool>(json);
  pool.mutable_spec()->clear_directory();
  pool.mutable_status()->mutable_nodes()->DeleteSubrange(0, 1);
  pool.mutable_status()->mutable_nodes(0)->set_ready(false);
  pool.mutable_metadata()->clear_owner_references();
  MergeIntoJson(pool, json);
  EXPECT_FALSE(json["spec"].contains("directory"));
  ASSERT_EQ(json["status"]["nodes"].size(), 1u);
  EXPECT_EQ(json["status"]["nodes"][0]["newNode"], "y");
  EXPECT_FALSE(json["status"]["nodes"][0].value("ready", false));
  EXPECT_FALSE(json["metadata"].contains("ownerReferences"));
}

TEST(Codec, SlicesOfDevicesAreReadAndWrittenAsKubernetesHasThem) {
  const Json json = Parsed(R"({
    "apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": "s"},
    "spec": {"driver": "d", "nodeName": "n", "newSpec": 1,
             "pool": {"name": "n", "generation": 1, "resourceSliceCount": 2},
             "devices": [{"name": "a", "newDevice": [2],
                          "attributes": {"numa": {"int": 0}, "new": {"ints": [1, 2]},
                                         "x": {"bool": false}, "serial": {"string": "S"}},
                          "capacity": {"storage": {"value": "10Gi", "newCapacity": 1,
                              "requestPolicy": {"default": "1Gi",
                                                "validRange": {"min": "1Mi", "step": "1Mi"}}}},
                          "allowMultipleAllocations": true}]}})");
  const auto slice = FromJson<k8s::ResourceSlice>(json);
  ASSERT_TRUE(slice.ok()) << slice.status();
  const k8s::Device& device = slice->spec().devices(0);
  EXPECT_TRUE(device.attributes().at("numa").has_int_());
  EXPECT_EQ(device.attributes().at("serial").string(), "S");
  EXPECT_EQ(device.capacity().at("storage").value(), 10LL << 30);
  Json after = json;
  MergeIntoJson(*slice, after);
  EXPECT_EQ(after, json) << Json::diff(json, after).dump(1);
}

TEST(Codec, StatusOfOtherDriversAndOpaqueConfigSurviveAWriteToAClaim) {
  const Json json = Parsed(R"({
    "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim",
    "metadata": {"name": "c", "namespace": "default"},
    "spec": {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "k", "count": 1}}]}},
    "status": {
      "allocation": {"nodeSelector": {"nodeSelectorTerms": []}, "devices": {
        "results": [{"request": "r", "driver": "d", "pool": "n", "device": "a", "shareID": "7",
                     "consumedCapacity": {"storage": "1Gi"}}],
        "config": [{"source": "FromClaim", "opaque": {"driver": "d", "parameters": {"a": [1, {}]}}}]}},
      "devices": [{"driver": "other", "pool": "n", "device": "a", "data": {"ip": "::1"}},
                  {"driver": "d", "pool": "n", "device": "a", "shareID": "7", "data": {"k": "v"}}]}})");
  const auto claim = FromJson<k8s::ResourceClaim>(json);
  ASSERT_TRUE(claim.ok()) << claim.status();
  const auto& allocation = claim->status().allocation().devices();
  EXPECT_EQ(allocation.config(0).opaque().parameters(), R"({"a":[1,{}]})");
  EXPECT_EQ(allocation.results(0).share_id(), "7");
  EXPECT_EQ(allocation.results(0).consumed_capacity().at("storage"), "1Gi");
  k8s::ResourceClaim changed = *claim;
  changed.mutable_status()->mutable_devices(1)->add_conditions()->set_type("Ready");
  Json after = json;
  MergeIntoJson(changed, after);
  after["status"]["devices"][1].erase("conditions");
  EXPECT_EQ(after, json) << Json::diff(json, after).dump(1);
}

TEST(Codec, MergeReplacesWhatHasTheWrongShape) {
  Volume volume;
  volume.mutable_spec()->set_pool("fast");
  volume.mutable_spec()->mutable_claim_ref()->set_name("c");
  Json base = Parsed(R"({"spec": {"claimRef": "text", "size": [], "allowedNodes": 7}})");
  MergeIntoJson(volume, base);
  EXPECT_TRUE(FromJson<Volume>(base).ok());
  Json text = "not an object";
  MergeIntoJson(volume, text);
  EXPECT_EQ(FromJson<Volume>(text)->spec().pool(), "fast");
}

}  // namespace
}  // namespace ashlar::api
