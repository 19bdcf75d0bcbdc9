#include "standalone/selector.h"

#include "gtest/gtest.h"

namespace ashlar::standalone {
namespace {

Json Labelled(Json labels) { return {{"metadata", {{"labels", std::move(labels)}}}}; }

bool Matches(const char* selector, const Json& object) {
  auto parsed = LabelSelector::Parse(selector);
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  return parsed.ok() && parsed->Matches(object);
}

TEST(LabelSelector, MatchesEqualityAndItsOpposite) {
  const Json object = Labelled({{"tier", "fast"}, {"example.com/x", ""}});
  EXPECT_TRUE(Matches("", object));
  EXPECT_TRUE(Matches("tier=fast", object));
  EXPECT_TRUE(Matches("tier==fast,example.com/x=", object));
  EXPECT_FALSE(Matches("tier=slow", object));
  EXPECT_TRUE(Matches("tier!=slow", object));
  EXPECT_TRUE(Matches("absent!=slow", object)) << "an absent label is not equal to anything";
}

TEST(LabelSelector, MatchesSetsExistenceAndNumbers) {
  const Json object = Labelled({{"tier", "fast"}, {"n", "7"}});
  EXPECT_TRUE(Matches("tier in (slow, fast)", object));
  EXPECT_FALSE(Matches("tier notin (slow, fast)", object));
  EXPECT_TRUE(Matches("absent notin (a)", object));
  EXPECT_TRUE(Matches("tier, !absent", object));
  EXPECT_FALSE(Matches("!tier", object));
  EXPECT_TRUE(Matches("n>6,n<8", object));
  EXPECT_FALSE(Matches("tier>6", object));
}

TEST(LabelSelector, MatchesObjectsWithoutLabels) {
  EXPECT_TRUE(Matches("!a", Json::object()));
  EXPECT_FALSE(Matches("a", Json::object()));
}

TEST(LabelSelector, RefusesWhatIsNotASelectorAndSaysWhere) {
  for (const char* text : {"=a", "a=b,", "a in b", "a in (b", "!", "a b", "a>x", ",", "a=b c"}) {
    auto parsed = LabelSelector::Parse(text);
    EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(FieldSelector, ComparesScalarsByTheirText) {
  const Json object = {{"metadata", {{"name", "a"}}}, {"spec", {{"on", true}}}};
  const std::vector<std::string> known = {"metadata.name", "spec.on"};
  EXPECT_TRUE(FieldSelector::Parse("metadata.name=a,spec.on==true", known)->Matches(object));
  EXPECT_FALSE(FieldSelector::Parse("metadata.name!=a", known)->Matches(object));
  EXPECT_EQ(FieldSelector::Parse("metadata.name=a", known)->Name(), "a");
  EXPECT_FALSE(FieldSelector::Parse("spec.size=1", known).ok());
  EXPECT_FALSE(FieldSelector::Parse("metadata.name", known).ok());
}

}  // namespace
}  // namespace ashlar::standalone
