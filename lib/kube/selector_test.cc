#include "lib/kube/selector.h"

#include "gtest/gtest.h"

namespace ashlar::kube {
namespace {

const Json& Object() {
  static const Json object = *ParseJson(R"({
    "metadata": {"name": "a", "labels": {"app": "x", "tier": "web"}},
    "spec": {"nodeName": "n1", "count": 2}})");
  return object;
}

struct Case {
  const char* text;
  bool matches;
};

TEST(Selector, LabelsSelectByEveryOperator) {
  for (const Case& c :
       {Case{"", true}, Case{"app=x", true}, Case{"app==x", true}, Case{"app=y", false},
        Case{"app!=y", true}, Case{"app!=x", false}, Case{"absent!=x", true}, Case{"app", true},
        Case{"absent", false}, Case{"!absent", true}, Case{"!app", false},
        Case{"app in (w, x)", true}, Case{"app in (w)", false}, Case{"app notin (w)", true},
        Case{"absent notin (w)", true}, Case{"absent in (w)", false},
        Case{"app=x,tier in (web,db)", true}, Case{"app=x,tier=db", false}}) {
    auto selector = Selector::ParseLabels(c.text);
    ASSERT_TRUE(selector.ok()) << c.text << ": " << selector.status();
    EXPECT_EQ(selector->Matches(Object()), c.matches) << c.text;
  }
}

TEST(Selector, FieldsSelectByPathAndAbsentIsEmpty) {
  for (const Case& c :
       {Case{"metadata.name=a", true}, Case{"metadata.name!=a", false},
        Case{"spec.nodeName=n1,metadata.name=a", true}, Case{"spec.nodeName=", false},
        Case{"spec.absent=", true}, Case{"spec.count=2", true}}) {
    auto selector = Selector::ParseFields(c.text);
    ASSERT_TRUE(selector.ok()) << c.text << ": " << selector.status();
    EXPECT_EQ(selector->Matches(Object()), c.matches) << c.text;
  }
}

TEST(Selector, WhatIsNotUnderstoodIsRefusedByName) {
  for (const char* text : {",", "a b", "a in x", "=x", "a=x,,b=y"}) {
    EXPECT_EQ(Selector::ParseLabels(text).status().code(), absl::StatusCode::kInvalidArgument)
        << text;
  }
  EXPECT_FALSE(Selector::ParseFields("metadata.name").ok());
}

}  // namespace
}  // namespace ashlar::kube
