#include "standalone/json_path.h"

#include "gtest/gtest.h"

namespace ashlar::standalone {
namespace {

std::string Find(const char* path, const Json& root) {
  auto parsed = JsonPath::Parse(path);
  if (!parsed.ok()) return "error";
  Json found = Json::array();
  for (const Json* value : parsed->Find(root)) found.push_back(*value);
  return DumpJson(found);
}

TEST(JsonPath, LeadsThroughFieldsIndexesAndAll) {
  const Json root = {{"a", {{"b", {1, 2, 3}}, {"c.d", "x"}}}};
  EXPECT_EQ(Find(".a.b", root), "[[1,2,3]]");
  EXPECT_EQ(Find("{.a.b[0]}", root), "[1]");
  EXPECT_EQ(Find("$.a.b[-1]", root), "[3]");
  EXPECT_EQ(Find(".a.b[*]", root), "[1,2,3]");
  EXPECT_EQ(Find(".a['c.d']", root), "[\"x\"]");
  EXPECT_EQ(Find(".a.c\\.d", root), "[\"x\"]");
  EXPECT_EQ(Find(".absent.b", root), "[]");
  EXPECT_EQ(Find(".a.b[9]", root), "[]");
}

TEST(JsonPath, FiltersItems) {
  const Json root = {
      {"c", {{{"type", "Ready"}, {"status", "True"}}, {{"type", "Other"}, {"n", 2}}}}};
  EXPECT_EQ(Find(".c[?(@.type==\"Ready\")].status", root), "[\"True\"]");
  EXPECT_EQ(Find(".c[?(@.type!='Ready')].n", root), "[2]");
  EXPECT_EQ(Find(".c[?(@.n==2)].type", root), "[\"Other\"]");
  EXPECT_EQ(Find(".c[?(@.status)].type", root), "[\"Ready\"]");
}

TEST(JsonPath, RefusesWhatItDoesNotKnow) {
  for (const char* path :
       {"", ".", "a", ".a[", ".a[x]", ".a[?(@.b=1)]", ".a[?(@.b==]", ".a['b]", ".a..b"}) {
    EXPECT_EQ(Find(path, Json::object()), "error") << path;
  }
}

}  // namespace
}  // namespace ashlar::standalone
