#include "lib/yaml/yaml.h"

#include "gtest/gtest.h"

namespace ashlar {
namespace {

TEST(Yaml, ScalarsAreResolvedAsKubectlDoes) {
  const auto json = ParseYaml(R"(
plain: text
quoted: "true"
single: '12'
bools: [true, False, yes, NO, on, off]
nulls: [~, null, ]
empty:
ints: [0, -7, +3, 0x1F, 0o17, 017, 0b11, 18446744073709551615, -9223372036854775808]
floats: [1.5, -.5, 1e3, 2.]
texts: [10Gi, 1.2.3, 2006-01-02T15:04:05Z, "0x", 1_000, 99999999999999999999x, Y]
tagged: !!str 12
block: |
  two
  lines
12: number as key
)");
  ASSERT_TRUE(json.ok()) << json.status();
  EXPECT_EQ(*json, *ParseJson(R"({
    "plain": "text", "quoted": "true", "single": "12",
    "bools": [true, false, true, false, true, false], "nulls": [null, null], "empty": null,
    "ints": [0, -7, 3, 31, 15, 15, 3, 18446744073709551615, -9223372036854775808],
    "floats": [1.5, -0.5, 1000.0, 2.0],
    "texts": ["10Gi", "1.2.3", "2006-01-02T15:04:05Z", "0x", "1_000", "99999999999999999999x", "Y"],
    "tagged": "12", "block": "two\nlines\n", "12": "number as key"})"));
}

TEST(Yaml, AliasesAreUnfolded) {
  EXPECT_EQ(*ParseYaml("a: &x [1]\nb: *x\n"), *ParseJson(R"({"a": [1], "b": [1]})"));
}

TEST(Yaml, DocumentsAreSplitAndEmptyOnesLeftOut) {
  const auto documents = ParseYamlDocuments("---\na: 1\n---\n---\n# nothing\n---\nb: 2\n...\n");
  ASSERT_TRUE(documents.ok()) << documents.status();
  ASSERT_EQ(documents->size(), 2u);
  EXPECT_EQ((*documents)[1], Json({{"b", 2}}));
  EXPECT_TRUE(ParseYaml("")->is_null());
  EXPECT_FALSE(ParseYaml("a: 1\n---\nb: 2\n").ok());
}

TEST(Yaml, RefusesWhatCannotBeJsonAndSaysWhere) {
  for (const char* text :
       {"a: [1", "a: 1\na: 2", "{a: 1}: 2", "a: .nan", "a: -.inf", "<<: {a: 1}", "a: !thing 1",
        "a: !!int x", "a: *nobody", "\t- a", "a: b: c", "&a [*a]", "? [a]\n: b"}) {
    const auto json = ParseYaml(text);
    EXPECT_EQ(json.status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
  EXPECT_EQ(ParseYaml("a: 1\nb:\n  c: 1\n  c: 2\n").status().message(),
            "not usable YAML: line 4, column 3: key \"c\" stands twice");
}

TEST(Yaml, AliasesThatUnfoldWithoutEndAreRefused) {
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 9; ++i) {
    const std::string last = "*a" + std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + last;
    for (int j = 0; j < 9; ++j) bomb += ", " + last;
    bomb += "]\n";
  }
  EXPECT_EQ(ParseYaml(bomb).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ParseYaml(std::string(400, '[') + std::string(400, ']')).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(Yaml, AParserThatGetsNoFurtherIsStopped) {
  EXPECT_EQ(ParseYaml("-  group: .5, 1--\n, -.5, ~, null,v\nspec: a\n").status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(Yaml, WhatIsFormattedReadsBackAsTheSame) {
  const Json value = *ParseJson(R"({
    "z": {"nested": [1, {"a": null, "b": []}, [[2], {}], "s"]}, "y": "n", "true": "true",
    "strings": ["", " ", "a: b", "a #b", "- a", "12", "1e3", "null", "~", "a\nb", "\u00e9", "'", "\"",
                "yes", "a:", "/path/x", "quite a plain sentence, with (all) of it.", "#", "@x", "a\u0000"],
    "numbers": [1, -1, 1.5, 18446744073709551615, true, false, null]})");
  const std::string text = FormatYaml(value);
  const auto again = ParseYaml(text);
  ASSERT_TRUE(again.ok()) << again.status() << "\n" << text;
  EXPECT_EQ(*again, value) << text;
  EXPECT_EQ(FormatYaml(Json({{"b", {1, 2}}, {"a", {{"c", "d"}}}})), "a:\n  c: d\nb:\n- 1\n- 2\n");
}

}  // namespace
}  // namespace ashlar
