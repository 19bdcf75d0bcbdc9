#include "lib/schema/schema.h"

#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "gtest/gtest.h"
#include "lib/api/kinds.h"
#include "lib/yaml/yaml.h"

namespace ashlar::schema {
namespace {

Json ReadFile(const std::string& name) {
  std::ifstream file(std::string(ASHLAR_SOURCE_DIR) + "/" + name);
  std::stringstream text;
  text << file.rdbuf();
  const auto value = ParseYaml(text.str());  // JSON is YAML, too
  EXPECT_TRUE(value.ok()) << name << ": " << value.status();
  return value.ok() ? *value : Json();
}

Schema Compiled(const Json& schema) {
  auto compiled = Schema::Compile(schema);
  EXPECT_TRUE(compiled.ok()) << compiled.status();
  return *compiled;
}

Schema SchemaOf(const std::string& kind) {
  static const auto& schemas = *new std::map<std::string, absl::string_view>{
      {"Pool", api::CrdJson<v1alpha1::Pool>()},
      {"Volume", api::CrdJson<v1alpha1::Volume>()},
      {"NodeInventory", api::CrdJson<v1alpha1::NodeInventory>()}};
  const Json crd = *ParseJson(schemas.at(kind));
  return Compiled(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]);
}

// What kube-apiserver says beside the errors themselves.
bool IsNoise(const Json& error) {
  return error["field"] == "<nil>" ||
         absl::StrContains(error["message"].get<std::string>(), "Checked value must be of type");
}

// Where ours is one sentence and kube-apiserver's differ from case to case.
bool SameWords(const std::string& name) {
  static const auto& others =
      *new std::set<std::string>{"size no quantity", "size of wrong type", "size a fraction",
                                 "integer with fraction", "overprovision beyond 32 bits"};
  return !others.contains(name);
}

using Errors = std::set<std::pair<std::string, std::string>>;

Errors Recorded(const Json& entry) {
  Errors errors;
  for (const Json& error : entry.value("errors", Json::array())) {
    if (IsNoise(error)) continue;
    std::string message = SameWords(entry["name"]) ? error["message"].get<std::string>() : "";
    errors.insert({error["field"], message});
  }
  return errors;
}

TEST(Schema, SaysWhatKubeApiserverSays) {
  for (const Json& entry : ReadFile("lib/schema/testdata/kube_apiserver_1.36.json")) {
    const std::string name = entry["name"];
    SCOPED_TRACE(name);
    Json object = entry["object"];
    const Schema schema = SchemaOf(object["kind"]);
    schema.Prune(object);
    schema.ApplyDefaults(object);
    Json old = entry.value("old", Json());
    // An update of all but the status keeps the status.
    if (old.contains("status") && !object.contains("status")) object["status"] = old["status"];
    Errors errors;
    for (const FieldError& error : schema.Validate(object, old.is_null() ? nullptr : &old)) {
      // For an update of the status, kube-apiserver leaves its name out of the sentence.
      std::string message = error.message;
      if (const size_t at = message.find(": status."); at != std::string::npos)
        message.erase(at + 2, 7);
      errors.insert({error.field, SameWords(name) ? message : ""});
    }
    EXPECT_EQ(errors, Recorded(entry));
    if (entry.contains("result")) {
      EXPECT_EQ(object["spec"], entry["result"]["spec"]);
    }
  }
}

TEST(Schema, CommittedFilesAreTheSameAsTheCode) {
  EXPECT_EQ(ReadFile("deploy/crds/ashlar.dev_pools.yaml"),
            *ParseJson(api::CrdJson<v1alpha1::Pool>()));
  EXPECT_EQ(ReadFile("deploy/crds/ashlar.dev_volumes.yaml"),
            *ParseJson(api::CrdJson<v1alpha1::Volume>()));
}

TEST(Schema, PruningHonoursWhatIsPreserved) {
  const Schema schema = Compiled(*ParseJson(R"({"type": "object", "properties": {
    "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": true,
             "properties": {"closed": {"type": "object", "properties": {"a": {"type": "string"}}}}},
    "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"a": {"type": "string"}}}},
    "any": {"type": "object", "additionalProperties": true},
    "list": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}}}})"));
  Json object =
      *ParseJson(R"({"apiVersion": "v1", "kind": "K", "metadata": {"x": {"y": 1}}, "gone": 1,
    "open": {"kept": {"deep": 1}, "closed": {"a": "b", "gone": 1}},
    "map": {"k": {"a": "b", "gone": 1}}, "any": {"kept": 1}, "list": [{"gone": 1, "a": "b"}]})");
  const auto removed = schema.Prune(object);
  EXPECT_EQ(removed,
            (std::vector<std::string>{"gone", "list[0].gone", "map.k.gone", "open.closed.gone"}));
  EXPECT_EQ(object, *ParseJson(R"({"apiVersion": "v1", "kind": "K", "metadata": {"x": {"y": 1}},
    "open": {"kept": {"deep": 1}, "closed": {"a": "b"}}, "map": {"k": {"a": "b"}},
    "any": {"kept": 1}, "list": [{"a": "b"}]})"));
}

TEST(Schema, DefaultsAreFilledInAtEveryLevel) {
  const Schema schema = Compiled(*ParseJson(R"({"type": "object", "properties": {
    "a": {"type": "object", "default": {}, "properties": {"b": {"type": "integer", "default": 7}}},
    "n": {"type": "string", "nullable": true, "default": "x"},
    "list": {"type": "array", "items": {"type": "object", "properties": {"c": {"type": "string", "default": "d"}}}}}})"));
  Json object = *ParseJson(R"({"n": null, "list": [{}, {"c": "e"}, {"c": null}]})");
  schema.ApplyDefaults(object);
  EXPECT_EQ(
      object,
      *ParseJson(R"({"a": {"b": 7}, "n": null, "list": [{"c": "d"}, {"c": "e"}, {"c": "d"}]})"));
}

std::string ErrorsOf(const char* property, const char* value, const char* old = nullptr) {
  const Schema schema =
      Compiled(Json{{"type", "object"}, {"properties", {{"p", *ParseJson(property)}}}});
  const Json before = old == nullptr ? Json() : Json{{"p", *ParseJson(old)}};
  std::string text;
  for (const FieldError& error :
       schema.Validate(Json{{"p", *ParseJson(value)}}, old == nullptr ? nullptr : &before))
    text += error.ToString() + "\n";
  return text;
}

TEST(Schema, BoundsAreChecked) {
  EXPECT_EQ(ErrorsOf(R"({"type": "integer", "exclusiveMinimum": true, "minimum": 1})", "1"),
            "p: Invalid value: 1: p in body should be greater than 1\n");
  EXPECT_EQ(ErrorsOf(R"({"type": "number", "exclusiveMaximum": true, "maximum": 1})", "1.0"),
            "p: Invalid value: 1.0: p in body should be less than 1\n");
  EXPECT_EQ(ErrorsOf(R"({"type": "integer", "multipleOf": 4})", "6"),
            "p: Invalid value: 6: p in body should be a multiple of 4\n");
  EXPECT_EQ(ErrorsOf(R"({"type": "array", "minItems": 2, "items": {"type": "string"}})", "[\"a\"]"),
            "p: Invalid value: [\"a\"]: p in body should have at least 2 items\n");
  EXPECT_EQ(ErrorsOf(R"({"type": "object", "maxProperties": 0, "additionalProperties": true})",
                     R"({"a": 1})"),
            "p: Too many: 1: must have at most 0 items\n");
  EXPECT_EQ(ErrorsOf(R"({"type": "integer", "format": "int32"})", "18446744073709551615"),
            "p: Invalid value: 18446744073709551615: p in body should be an integer of 32 bits\n");
  EXPECT_EQ(ErrorsOf(R"({"type": "string", "nullable": true})", "null"), "");
  EXPECT_NE(ErrorsOf(R"({"type": "string"})", "null"), "");
  EXPECT_EQ(ErrorsOf(R"({"type": "integer"})", "1.0"), "");
}

TEST(Schema, CombinationsAreChecked) {
  const char* any = R"({"anyOf": [{"type": "integer"}, {"type": "string"}]})";
  EXPECT_EQ(ErrorsOf(any, "1"), "");
  EXPECT_NE(ErrorsOf(any, "true"), "");
  const char* one = R"({"oneOf": [{"required": ["a"]}, {"required": ["b"]}]})";
  EXPECT_EQ(ErrorsOf(one, R"({"a": 1})"), "");
  EXPECT_NE(ErrorsOf(one, R"({"a": 1, "b": 1})"), "");
  EXPECT_NE(ErrorsOf(R"({"not": {"type": "string"}})", "\"x\""), "");
  EXPECT_NE(ErrorsOf(R"({"allOf": [{"minimum": 3}]})", "2"), "");
}

TEST(Schema, TransitionRulesFollowTheKeysOfMapLists) {
  const char* list =
      R"({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
    "items": {"type": "object", "properties": {"k": {"type": "string"},
      "v": {"type": "integer", "x-kubernetes-validations": [{"rule": "self >= oldSelf", "message": "must not shrink"}]}}}})";
  EXPECT_EQ(ErrorsOf(list, R"([{"k": "b", "v": 1}, {"k": "a", "v": 5}])",
                     R"([{"k": "a", "v": 5}, {"k": "b", "v": 2}])"),
            "p[0].v: Invalid value: 1: must not shrink\n");
  EXPECT_EQ(ErrorsOf(list, R"([{"k": "new", "v": 0}])", R"([{"k": "a", "v": 5}])"), "");
}

TEST(Schema, RulesAreNotEvaluatedOnValuesOfTheWrongType) {
  EXPECT_EQ(ErrorsOf(R"({"type": "integer", "x-kubernetes-validations": [{"rule": "self > 0"}]})",
                     "\"x\""),
            "p: Invalid value: \"string\": p in body must be of type integer: \"string\"\n");
  EXPECT_EQ(
      ErrorsOf(R"({"type": "integer", "x-kubernetes-validations": [{"rule": "self > 0"}]})", "-1"),
      "p: Invalid value: -1: failed rule: self > 0\n");
}

TEST(Schema, MistakesInTheSchemaAreNamed) {
  const auto message = [](const char* property) {
    return std::string(
        Schema::Compile(Json{{"type", "object"}, {"properties", {{"p", *ParseJson(property)}}}})
            .status()
            .message());
  };
  EXPECT_EQ(message(R"({"type": "text"})"),
            "schema: openAPIV3Schema.p.type: \"text\" is not known");
  EXPECT_EQ(message(R"({"type": "string", "pattern": "("})"),
            "schema: openAPIV3Schema.p.pattern: missing ): (");
  EXPECT_EQ(message(R"({"x-kubernetes-validations": [{"rule": "self.size("}]})"),
            "schema: openAPIV3Schema.p.x-kubernetes-validations: rule \"self.size(\": at byte 10: "
            "expected a value, found the end");
  EXPECT_EQ(message(R"({"maxItems": "3"})"),
            "schema: openAPIV3Schema.p.maxItems: must be an integer");
}

}  // namespace
}  // namespace ashlar::schema
