#include "standalone/patch.h"

#include "gtest/gtest.h"

namespace ashlar::standalone {
namespace {

const Json kSchema = {
    {"properties",
     {{"items",
       {{"type", "array"},
        {"x-kubernetes-patch-merge-key", "name"},
        {"items", {{"properties", {{"tags", {{"x-kubernetes-patch-strategy", "merge"}}}}}}}}},
      {"set", {{"x-kubernetes-patch-strategy", "merge"}}}}}};

Json Strategic(const Json& object, const Json& patch) {
  return *StrategicMergePatch(object, patch, kSchema);
}

TEST(JsonPatch, DoesItsOperationsInOrderOrNone) {
  const Json object = {{"a", 1}};
  auto patched = JsonPatch(object, Json::parse(R"([{"op":"add","path":"/b","value":2},
                                                   {"op":"test","path":"/b","value":2},
                                                   {"op":"remove","path":"/a"}])"));
  ASSERT_TRUE(patched.ok()) << patched.status();
  EXPECT_EQ(*patched, Json({{"b", 2}}));
}

TEST(JsonPatch, RefusesWhatCannotBeDone) {
  const Json object = {{"a", 1}};
  for (const char* text :
       {R"({})", R"([{"op":"remove","path":"/x"}])", R"([{"op":"test","path":"/a","value":2}])",
        R"([{"op":"nothing","path":"/a"}])", R"([7])", R"([{"op":"remove"}])",
        R"([{"op":"add","path":"a","value":1}])", R"([{"op":"add","path":"/l/9","value":1}])"}) {
    EXPECT_EQ(JsonPatch(object, Json::parse(text)).status().code(),
              absl::StatusCode::kInvalidArgument)
        << text;
  }
}

TEST(JsonPatch, RefusesCopiesThatExplode) {
  Json operations = Json::array();
  for (int i = 0; i < 60; ++i) {
    operations.push_back({{"op", "copy"}, {"from", "/a"}, {"path", "/a/-"}});
  }
  EXPECT_FALSE(JsonPatch({{"a", {std::string(1000, 'x')}}}, operations).ok());
}

TEST(JsonPatch, RefusesToNestWithoutEnd) {
  Json operations = Json::array();
  for (int i = 0; i < 1000; ++i) {
    operations.push_back({{"op", "copy"}, {"from", "/a"}, {"path", "/a/x"}});
  }
  EXPECT_FALSE(JsonPatch({{"a", Json::object()}}, operations).ok());
}

TEST(MergePatch, RemovesByNull) {
  EXPECT_EQ(*MergePatch({{"a", {{"b", 1}, {"c", 2}}}}, Json::parse(R"({"a":{"b":null,"d":3}})")),
            Json::parse(R"({"a":{"c":2,"d":3}})"));
  EXPECT_FALSE(MergePatch({}, Json::array()).ok());
}

TEST(StrategicMergePatch, MergesListsByTheirKey) {
  const Json object = Json::parse(R"({"items":[{"name":"a","n":1},{"name":"b","n":2}]})");
  EXPECT_EQ(Strategic(object, Json::parse(R"({"items":[{"name":"b","n":5},{"name":"c"}]})")),
            Json::parse(R"({"items":[{"name":"a","n":1},{"name":"b","n":5},{"name":"c"}]})"));
  EXPECT_EQ(Strategic(object, Json::parse(R"({"items":[{"name":"a","$patch":"delete"}]})")),
            Json::parse(R"({"items":[{"name":"b","n":2}]})"));
}

TEST(StrategicMergePatch, ReplacesListsWithoutAKeyAndFollowsDirectives) {
  EXPECT_EQ(Strategic({{"other", {1, 2}}}, {{"other", {3}}}), Json({{"other", {3}}}));
  EXPECT_EQ(Strategic({{"set", {"a", "b"}}}, {{"set", {"b", "c"}}}),
            Json({{"set", {"a", "b", "c"}}}));
  EXPECT_EQ(
      Strategic({{"set", {"a", "b"}}}, Json::parse(R"({"$deleteFromPrimitiveList/set":["a"]})")),
      Json({{"set", {"b"}}}));
  EXPECT_EQ(Strategic({{"set", {"a", "b"}}},
                      Json::parse(R"({"$setElementOrder/set":["b","a"],"set":["b"]})")),
            Json({{"set", {"b", "a"}}}));
  EXPECT_EQ(Strategic({{"m", {{"a", 1}}}}, Json::parse(R"({"m":{"$patch":"replace","b":2}})")),
            Json({{"m", {{"b", 2}}}}));
}

}  // namespace
}  // namespace ashlar::standalone
