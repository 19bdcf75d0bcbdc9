#include "lib/api/selectors.h"

#include "gtest/gtest.h"

namespace ashlar::api {
namespace {

bool Matches(absl::string_view selector, const Json& labels) {
  const auto parsed = LabelSelector::Parse(selector);
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  return parsed.ok() && parsed->Matches(labels);
}

TEST(LabelSelector, StringFormMatchesAsInKubernetes) {
  const Json labels = {{"a", "b"}, {"x.io/y", "z"}, {"n", "7"}, {"empty", ""}};
  for (const char* text : {"",
                           " ",
                           "a=b",
                           "a==b",
                           "a = b , n",
                           "a in (b,c)",
                           "a in (c, b)",
                           "a notin (c)",
                           "a!=c",
                           "absent!=c",
                           "absent notin (c)",
                           "!absent",
                           "! absent",
                           "x.io/y=z",
                           "n>6",
                           "n<8",
                           "n > 6",
                           "empty=",
                           "empty in ()",
                           "a in (b),n notin (8,9),!q"}) {
    EXPECT_TRUE(Matches(text, labels)) << text;
  }
  for (const char* text : {"a=c", "a!=b", "a notin (b)", "absent", "!a", "a in (c)",
                           "absent=", "n>7", "n<7", "a>1", "absent>1", "a=b,absent"}) {
    EXPECT_FALSE(Matches(text, labels)) << text;
  }
  EXPECT_TRUE(Matches("!a", Json()));
}

TEST(LabelSelector, RefusesWhatIsNotASelector) {
  for (const char* text : {",", "a,", "a b", "a in b", "a in (b", "a=b=c", "=b", "a in", "!", "a%",
                           "a=%", "a>x", "-a", "a/b/c", "/a", "A_.io/a", "a=(b)", "a=b c"}) {
    EXPECT_EQ(LabelSelector::Parse(text).status().code(), absl::StatusCode::kInvalidArgument)
        << text;
  }
  EXPECT_EQ(LabelSelector::Parse("a is b").status().message(),
            "label selector: \"a is b\": expected =, ==, !=, in, notin, < or > at \"is b\"");
}

TEST(LabelSelector, ObjectFormMatchesAsInKubernetes) {
  k8s::LabelSelector selector;
  EXPECT_TRUE(LabelSelector::Make(selector)->Matches(Json()));
  (*selector.mutable_match_labels())["a"] = "b";
  auto& expression = *selector.add_match_expressions();
  expression.set_key("c");
  expression.set_operator_("NotIn");
  expression.add_values("d");
  google::protobuf::Map<std::string, std::string> labels;
  EXPECT_FALSE(LabelSelector::Make(selector)->Matches(labels));
  labels["a"] = "b";
  EXPECT_TRUE(LabelSelector::Make(selector)->Matches(labels));
  labels["c"] = "d";
  EXPECT_FALSE(LabelSelector::Make(selector)->Matches(labels));
}

TEST(LabelSelector, ObjectFormIsChecked) {
  const auto make = [](const std::string& op, int values) {
    k8s::LabelSelector selector;
    auto& expression = *selector.add_match_expressions();
    expression.set_key("c");
    expression.set_operator_(op);
    for (int i = 0; i < values; ++i) expression.add_values("v");
    return LabelSelector::Make(selector).status().code();
  };
  EXPECT_EQ(make("In", 1), absl::StatusCode::kOk);
  EXPECT_EQ(make("In", 0), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(make("Exists", 1), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(make("Like", 1), absl::StatusCode::kInvalidArgument);
}

TEST(FieldSelector, MatchesFieldsByTheirPath) {
  const Json object = {{"metadata", {{"name", "a,b=c\\"}}}, {"spec", {{"n", 7}, {"b", true}}}};
  for (const char* text : {"", "metadata.name=a\\,b\\=c\\\\", "metadata.name!=x", "spec.n=7",
                           "spec.b==true", "absent.path=", "absent!=x", "spec.n=7,spec.b=true"}) {
    const auto selector = FieldSelector::Parse(text);
    ASSERT_TRUE(selector.ok()) << selector.status();
    EXPECT_TRUE(selector->Matches(object)) << text;
  }
  EXPECT_FALSE(FieldSelector::Parse("spec.n=8")->Matches(object));
  EXPECT_FALSE(FieldSelector::Parse("spec.n!=7")->Matches(object));
  EXPECT_EQ(FieldSelector::Parse("metadata.name=x,spec.n!=1")->requirements()[1].path, "spec.n");
}

TEST(FieldSelector, RefusesWhatIsNotASelector) {
  for (const char* text : {"a", "=b", "a=b=c", "a=b\\x", "a=b\\", "!=x"}) {
    EXPECT_EQ(FieldSelector::Parse(text).status().code(), absl::StatusCode::kInvalidArgument)
        << text;
  }
}

}  // namespace
}  // namespace ashlar::api
