#include "lib/schema/cel.h"

#include "gtest/gtest.h"

namespace ashlar::schema {
namespace {

const Json& Self() {
  static const Json& self = *new Json(Json::parse(R"({
    "name": "a-1", "n": 3, "f": 1.5, "t": true, "q": "1Gi", "list": [1, 2, 3], "empty": [],
    "map": {"a": 1, "b": 2}, "objects": [{"k": "x", "v": 1}, {"k": "y"}],
    "namespace": "ns", "with-dash": 1, "text": "caf\u00e9"})"));
  return self;
}

TEST(Cel, RulesThatHold) {
  for (const char* rule : {"true",
                           "!false",
                           "self.n == 3",
                           "self.n != 4",
                           "self.n < 4 && self.n <= 3",
                           "self.n > 2 && self.n >= 3",
                           "self.n + 1 == 4",
                           "self.n - 4 == -1",
                           "-self.n == -3",
                           "self.n * 2 == 6 && self.n / 2 == 1 && self.n % 2 == 1",
                           "1 + 2 * 3 == 7",
                           "(1 + 2) * 3 == 9",
                           "self.f + 0.5 == 2.0",
                           "0x10 == 16",
                           "1e3 == 1000.0",
                           "has(self.name) && !has(self.absent)",
                           "has(self.map.a)",
                           "'a' in self.map",
                           "2 in self.list",
                           "!(7 in self.list)",
                           "self.name in ['a-1', 'b']",
                           "size(self.list) == 3 && self.list.size() == 3",
                           "size(self.map) == 2",
                           "size(self.text) == 4",
                           "self.name.startsWith('a')",
                           "self.name.endsWith(\"1\")",
                           "self.name.contains('-')",
                           "self.name.matches('^[a-z]-[0-9]$')",
                           "self.name.matches(r'\\d')",
                           "self.list[0] == 1",
                           "self.map['b'] == 2",
                           "{'a': 1, 'b': 2} == self.map",
                           "[1, 2] + [3] == self.list",
                           "'a' + 'b' == 'ab'",
                           "self.t ? true : false",
                           "self.n > 5 ? false : true",
                           "string(self.n) == '3'",
                           "string(self.t) == 'true'",
                           "int('7') == 7",
                           "int(1.9) == 1",
                           "double(1) == 1.0",
                           "self.list.all(x, x > 0)",
                           "self.list.exists(x, x == 2)",
                           "self.list.exists_one(x, x == 2)",
                           "self.list.filter(x, x > 1) == [2, 3]",
                           "self.list.map(x, x + 1) == [2, 3, 4]",
                           "self.empty.all(x, x > 9)",
                           "!self.empty.exists(x, true)",
                           "self.map.all(k, k in ['a', 'b'])",
                           "self.objects.all(o, has(o.k))",
                           "self.objects.exists(o, has(o.v) && o.v == 1)",
                           "self.list.all(x, self.list.exists(y, y == x))",
                           "quantity(self.q) == quantity('1024Mi')",
                           "quantity(self.q).isGreaterThan(quantity('1G'))",
                           "quantity('1').isLessThan(quantity('2'))",
                           "quantity('1').compareTo(quantity('2')) < 0",
                           "quantity('1Gi').add(quantity('1Gi')).compareTo(quantity('2Gi')) == 0",
                           "quantity('1500m').isInteger() == false",
                           "quantity('2k').asInteger() == 2000",
                           "isQuantity('1Gi') && !isQuantity('x')",
                           "sign(quantity('-1')) == -1",
                           "self.__namespace__ == 'ns'",
                           "self.with__dash__dash == 1",
                           "null == null",
                           "'\\u00e9' == 'é' && '\\x41\\n' == 'A\\n'",
                           "'''a'b''' == \"a'b\"",
                           "self.n == 3 // a comment",
                           "[1, 2,] == [1, 2]"}) {
    const auto compiled = Rule::Compile(rule);
    ASSERT_TRUE(compiled.ok()) << rule << ": " << compiled.status();
    const auto holds = compiled->Holds(Self(), nullptr);
    EXPECT_TRUE(holds.ok() && *holds) << rule << ": " << holds.status();
  }
}

TEST(Cel, AndAndOrAbsorbErrorsOfTheSideThatDoesNotMatter) {
  for (const char* rule :
       {"self.absent == 1 || true", "true || self.absent == 1", "!(self.absent == 1 && false)",
        "!(false && self.absent == 1)", "self.objects.exists(o, o.v == 1)"}) {
    const auto holds = Rule::Compile(rule)->Holds(Self(), nullptr);
    EXPECT_TRUE(holds.ok() && *holds) << rule << ": " << holds.status();
  }
}

TEST(Cel, ErrorsWhenEvaluatedSayWhy) {
  const std::pair<const char*, const char*> cases[] = {
      {"self.absent == 1", "no such key: absent"},
      {"self.objects.all(o, o.v == 1)", "no such key: v"},
      {"self.name < 1", "no such overload: <(string, int)"},
      {"self.name.startsWith(1)", "no such overload: startsWith(string, int)"},
      {"self.list[3] == 1", "index out of bounds: 3"},
      {"self.list[-1] == 1", "index out of bounds: -1"},
      {"self.n", "the rule is not a boolean"},
      {"self.n ? true : false", "no such overload: ?:"},
      {"9223372036854775807 + 1 == 0", "integer overflow"},
      {"(-9223372036854775807 - 1) / -1 == 0", "integer overflow"},
      {"1 / 0 == 1", "division by zero"},
      {"self.name && true", "no such overload: &&"},
      {"size(self.n) == 1", "no such overload: size(int)"},
      {"self.n.isGreaterThan(quantity('1'))", "no such overload: isGreaterThan(int)"},
      {"quantity('1').startsWith('1')", "no such overload: startsWith(quantity, string)"},
  };
  for (const auto& [rule, message] : cases) {
    const auto compiled = Rule::Compile(rule);
    ASSERT_TRUE(compiled.ok()) << rule << ": " << compiled.status();
    EXPECT_EQ(compiled->Holds(Self(), nullptr).status().message(), message) << rule;
  }
}

TEST(Cel, WhatIsNotSupportedIsRefusedWhenCompiled) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "expected a value, found the end"},
      {"self.", "expected the name of a member, found the end"},
      {"self == ", "expected a value, found the end"},
      {"(true", "expected \")\", found the end"},
      {"true true", "expected the end of the rule, found \"true\""},
      {"other == 1", "\"other\" is not defined; self and oldSelf are"},
      {"x == 1 && self.all(x, true)", "\"x\" is not defined"},
      {"self.?a == 1", "optional values are not supported"},
      {"self[?0] == 1", "optional values are not supported"},
      {"1u == 1", "unsigned numbers are not supported"},
      {"b'a' == 1", "bytes are not supported"},
      {"timestamp(self) == 1", "the function timestamp with 1 arguments is not supported"},
      {"self.lowerAscii() == 'a'", "the method lowerAscii with 0 arguments is not supported"},
      {"has(self)", "has() takes a member"},
      {"'abc", "the string has no end"},
      {"'\\q'", "this escape in a string is not supported"},
      {"self # 1", "this character is not part of the language"},
      {"99999999999999999999 == 1", "is not a number of 64 bits"},
  };
  for (const auto& [rule, message] : cases) {
    const auto compiled = Rule::Compile(rule);
    EXPECT_EQ(compiled.status().code(), absl::StatusCode::kInvalidArgument) << rule;
    EXPECT_NE(compiled.status().message().find(message), absl::string_view::npos)
        << rule << ": " << compiled.status();
  }
  EXPECT_FALSE(Rule::Compile(std::string(300, '(') + "true" + std::string(300, ')')).ok());
  EXPECT_FALSE(Rule::Compile(std::string(2000, '!') + "true").ok());
  std::string chain = "true";
  for (int i = 0; i < 1000; ++i) chain += "&&true";
  EXPECT_FALSE(Rule::Compile(chain).ok());
}

TEST(Cel, TransitionRulesAreKnown) {
  EXPECT_TRUE(Rule::Compile("self == oldSelf")->uses_old_self());
  EXPECT_FALSE(Rule::Compile("self == 'oldSelf'")->uses_old_self());
  const Json old = 1;
  EXPECT_TRUE(*Rule::Compile("self > oldSelf")->Holds(Json(2), &old));
}

TEST(Cel, RulesThatTakeTooLongAreStopped) {
  Json list = Json::array();
  for (int i = 0; i < 2000; ++i) list.push_back(i);
  const auto rule = Rule::Compile("self.all(a, self.all(b, self.all(c, a + b + c >= 0)))");
  EXPECT_EQ(rule->Holds(list, nullptr).status().code(), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace ashlar::schema
