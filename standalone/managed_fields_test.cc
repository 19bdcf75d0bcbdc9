#include "standalone/managed_fields.h"

#include "gtest/gtest.h"
#include "standalone/api_error.h"
#include "standalone/typed.h"

namespace ashlar::standalone {
namespace {

Resource Boxes() {
  Resource resource;
  resource.info = {"example.com", "v1", "Box", "boxes", false};
  resource.has_status = true;
  resource.schema = Json::parse(R"({"properties":{"spec":{"properties":{
      "a":{}, "b":{}, "atomic":{"type":"array"}, "whole":{"x-kubernetes-map-type":"atomic"},
      "set":{"x-kubernetes-list-type":"set"},
      "parts":{"x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["name"],
               "items":{"properties":{"name":{},"n":{},"m":{}}}}}}}})");
  resource.typed = WithMetadata(resource.schema);
  return resource;
}

Json Box(const char* spec) { return {{"metadata", {{"name", "x"}}}, {"spec", Json::parse(spec)}}; }

class Apply : public ::testing::Test {
 protected:
  absl::Status By(const char* manager, const char* spec, bool force = false) {
    auto applied = ApplyFields(resource_, {manager, "", absl::UnixEpoch()},
                               live_.is_null() ? nullptr : &live_, Box(spec), force);
    if (applied.ok()) live_ = *applied;
    return applied.status();
  }
  void Update(const char* manager, const char* spec) {
    Json after = live_;
    after["spec"] = Json::parse(spec);
    TrackUpdate(resource_, {manager, "", absl::UnixEpoch()}, &live_, after);
    live_ = after;
  }
  Json Spec() { return live_.value("spec", Json::object()); }
  // The fields of a manager as text, "" if it owns nothing.
  std::string Fields(const std::string& manager) {
    for (const Json& entry : live_["metadata"].value("managedFields", Json::array())) {
      if (entry["manager"] == manager) return DumpJson(entry["fieldsV1"]);
    }
    return "";
  }

  Resource resource_ = Boxes();
  Json live_;
};

TEST_F(Apply, OwnsWhatItSays) {
  ASSERT_TRUE(By("one", R"({"a":1,"parts":[{"name":"p","n":1}]})").ok());
  EXPECT_EQ(
      Fields("one"),
      R"({"f:spec":{"f:a":{},"f:parts":{"k:{\"name\":\"p\"}":{".":{},"f:n":{},"f:name":{}}}}})");
}

TEST_F(Apply, RemovesWhatItNoLongerSays) {
  ASSERT_TRUE(By("one", R"({"a":1,"b":2})").ok());
  ASSERT_TRUE(By("one", R"({"b":2})").ok());
  EXPECT_EQ(Spec(), Json({{"b", 2}}));
}

TEST_F(Apply, KeepsWhatAnotherManagerAlsoSays) {
  ASSERT_TRUE(By("one", R"({"a":1,"b":2})").ok());
  ASSERT_TRUE(By("two", R"({"a":1})").ok()) << "the same value is no conflict";
  ASSERT_TRUE(By("one", R"({"b":2})").ok());
  EXPECT_EQ(Spec(), Json({{"a", 1}, {"b", 2}}));
  ASSERT_TRUE(By("two", R"({})").ok());
  EXPECT_EQ(Spec(), Json({{"b", 2}}));
}

TEST_F(Apply, ConflictsWithTheOwnerUnlessForced) {
  ASSERT_TRUE(By("one", R"({"a":1})").ok());
  absl::Status conflict = By("two", R"({"a":2})");
  EXPECT_EQ(conflict.code(), absl::StatusCode::kAborted);
  EXPECT_EQ(conflict.message(), "Apply failed with 1 conflict: conflict with \"one\": .spec.a");
  const Json cause = StatusObject(conflict)["details"]["causes"][0];
  EXPECT_EQ(cause["field"], ".spec.a");
  EXPECT_EQ(cause["reason"], "FieldManagerConflict");
  EXPECT_EQ(Spec(), Json({{"a", 1}}));
  ASSERT_TRUE(By("two", R"({"a":2})", true).ok());
  EXPECT_EQ(Spec(), Json({{"a", 2}}));
  EXPECT_EQ(Fields("one"), "");
}

TEST_F(Apply, ConflictsWithAnUpdate) {
  ASSERT_TRUE(By("one", R"({"a":1})").ok());
  Update("editor", R"({"a":5})");
  EXPECT_EQ(Fields("one"), "");
  EXPECT_FALSE(By("one", R"({"a":1})").ok());
  ASSERT_TRUE(By("one", R"({"a":5})").ok());
}

TEST_F(Apply, MergesListsAsTheSchemaSays) {
  ASSERT_TRUE(By("one", R"({"set":["x"],"parts":[{"name":"p","n":1}],"atomic":[1]})").ok());
  ASSERT_TRUE(By("two", R"({"set":["y"],"parts":[{"name":"q","n":2},{"name":"p","m":3}]})").ok());
  EXPECT_EQ(Spec()["set"], Json({"x", "y"}));
  EXPECT_EQ(Spec()["parts"], Json::parse(R"([{"name":"p","n":1,"m":3},{"name":"q","n":2}])"));
  EXPECT_FALSE(By("two", R"({"atomic":[2]})").ok());
  ASSERT_TRUE(By("one", R"({"set":[],"parts":[]})").ok());
  EXPECT_EQ(Spec()["set"], Json::array({"y"}));
  EXPECT_EQ(Spec()["parts"], Json::parse(R"([{"name":"p","m":3},{"name":"q","n":2}])"));
}

TEST_F(Apply, RefusesListsThatCannotBeMerged) {
  EXPECT_FALSE(By("one", R"({"parts":[{"n":1}]})").ok()) << "no key";
  EXPECT_FALSE(By("one", R"({"parts":[{"name":"p"},{"name":"p"}]})").ok()) << "twice";
  EXPECT_FALSE(By("one", R"({"set":["x","x"]})").ok());
}

TEST_F(Apply, ChangesNothingIfNothingIsNew) {
  ASSERT_TRUE(By("one", R"({"a":1})").ok());
  const Json before = live_;
  ASSERT_TRUE(
      ApplyFields(resource_, {"one", "", absl::Now()}, &before, Box(R"({"a":1})"), false).value() ==
      before);
}

TEST_F(Apply, KnowsTheStatusByItsEndpoint) {
  ASSERT_TRUE(By("one", R"({"a":1})").ok());
  Json status = {{"metadata", {{"name", "x"}}}, {"status", {{"ready", true}}}};
  auto applied =
      ApplyFields(resource_, {"one", "status", absl::UnixEpoch()}, &live_, status, false);
  ASSERT_TRUE(applied.ok()) << applied.status();
  EXPECT_EQ((*applied)["spec"], Json({{"a", 1}})) << "the spec belongs to the other endpoint";
  EXPECT_EQ((*applied)["metadata"]["managedFields"].size(), 2u);
}

TEST(TrackUpdate, GivesFieldsToWhoeverChangesThem) {
  const Resource resource = Boxes();
  Json created = Box(R"({"a":1})");
  TrackUpdate(resource, {"one", "", absl::UnixEpoch()}, nullptr, created);
  EXPECT_EQ(DumpJson(created["metadata"]["managedFields"][0]["fieldsV1"]),
            R"({"f:spec":{".":{},"f:a":{}}})");
  Json changed = created;
  changed["spec"]["a"] = 2;
  TrackUpdate(resource, {"two", "", absl::UnixEpoch()}, &created, changed);
  EXPECT_EQ(changed["metadata"]["managedFields"].size(), 2u);
  Json cleared = changed;
  cleared["metadata"]["managedFields"] = Json::parse("[{}]");
  TrackUpdate(resource, {"two", "", absl::UnixEpoch()}, &changed, cleared);
  EXPECT_FALSE(cleared["metadata"].contains("managedFields"));
}

TEST(FieldSet, ReadsWhatItWrites) {
  const Json json = Json::parse(
      R"({"f:metadata":{"f:labels":{".":{},"f:a":{}}},"f:l":{"k:{\"n\":\"x\"}":{".":{},"f:n":{}},"v:3":{}}})");
  auto set = FieldSet::FromJson(json);
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ(set->ToJson(), json);
  EXPECT_EQ(set->Paths().back(), ".metadata.labels.a");
  EXPECT_FALSE(FieldSet::FromJson(Json::parse(R"({"x":{}})")).ok());
  EXPECT_FALSE(FieldSet::FromJson(Json::parse(R"([])")).ok());
}

}  // namespace
}  // namespace ashlar::standalone
