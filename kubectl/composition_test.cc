#include "kubectl/composition.h"

#include "ashlar/v1alpha1/composition.codec.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "lib/base/clock.h"
#include "lib/kube/testing/fake_client.h"

namespace ashlar::kubectl {
namespace {

using v1alpha1::Composition;

Composition Parse(const std::string& text) {
  Composition composition;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &composition));
  return composition;
}

TEST(CompositionText, AReadyOneShowsWhoHasWhat) {
  EXPECT_EQ(Describe(Parse(R"(metadata { name: "train" namespace: "team" } status {
        member_count: 2 node_count: 1 reserved_until { seconds: 1700000000 }
        conditions { type: "Ready" status: "True" reason: "Ready" }
        members { name: "worker-0" rank: 0 node: "n1" achieved_levels: "Switch"
          gpus { request: "gpu-0" gpu: "GPU-a" } volumes { request: "scratch" drive: "S0" bytes: 1073741824 } }
        members { name: "worker-1" rank: 1 node: "n1"
          gpus { request: "gpu-0" gpu: "GPU-b" profile: "3g.40gb" start: 4 size: 4 }
          volumes { request: "scratch" pool: "fast" bytes: 1048576 } } })")),
            "team/train: ready (Ready), 2 members on 1 nodes, unless pods use it until "
            "2023-11-14T22:13:20+00:00\n"
            "  rank 0  worker-0  n1  GPU-a; scratch 1Gi on S0; within Switch\n"
            "  rank 1  worker-1  n1  3g.40gb at 4 of GPU-b; scratch 1Mi on fast\n");
}

TEST(CompositionText, ARefusedOneSaysWhatWouldFit) {
  EXPECT_EQ(Describe(Parse(R"(metadata { name: "huge" namespace: "team" } status {
        conditions { type: "Ready" status: "False" reason: "NoRoom" message: "0 of 4 members fit. Node n1 ..." }
        unsatisfied { node: "n1" alike: 1 member: "worker" constraint: "scratch: 150Gi"
          reason: "no drive has so much left" nearest: "largest scratch that fits: 100Gi" }
        unsatisfied { node: "n2" constraint: "the node" reason: "it is cordoned" } })")),
            "team/huge: not ready (NoRoom)\n"
            "  0 of 4 members fit.\n"
            "  node n1 and 1 alike, worker\n"
            "    wanted: scratch: 150Gi\n"
            "    but:    no drive has so much left\n"
            "    fits:   largest scratch that fits: 100Gi\n"
            "  node n2\n"
            "    wanted: the node\n"
            "    but:    it is cordoned\n");
  EXPECT_EQ(Describe(Parse(R"(metadata { name: "new" namespace: "team" })")),
            "team/new: the controller has not looked at it yet\n");
}

TEST(CompositionText, WhatCouldMoveIsAPlanInOrder) {
  const std::string refused = R"(metadata { name: "huge" namespace: "team" } status {
        conditions { type: "Ready" status: "False" reason: "NoRoom" message: "0 of 1 members fit." } )";
  const std::string head = "team/huge: not ready (NoRoom)\n  0 of 1 members fit.\n";
  EXPECT_EQ(Describe(Parse(refused + R"(moves { movable: 3 largest_part_before: "3g.40gb"
          largest_part_after: "7g.80gb" largest_volume_before: 53687091200 largest_volume_after: 107374182400
          moves { what: "GPUPartition team/a" from: "n1: 1g.10gb at 3 of GPU-a" to: "n2: 1g.10gb at 0 of GPU-c" }
          moves { what: "Volume data" from: "n1: 50Gi on S0" to: "n1: 50Gi on S1" } } })")),
            head +
                "  it would fit after 2 moves of the 3 things that no pod uses (a plan: nothing is "
                "moved)\n"
                "    1. GPUPartition team/a\n"
                "       from n1: 1g.10gb at 3 of GPU-a\n"
                "       to   n2: 1g.10gb at 0 of GPU-c\n"
                "    2. Volume data\n"
                "       from n1: 50Gi on S0\n"
                "       to   n1: 50Gi on S1\n"
                "    largest part of a GPU: 3g.40gb, afterwards 7g.80gb\n"
                "    largest volume: 50Gi, afterwards 100Gi\n");
  EXPECT_EQ(Describe(Parse(refused + "moves { movable: 1 } }")),
            head +
                "  nothing is gained by moving: no move of the one thing that no pod uses makes "
                "room\n");
  EXPECT_EQ(Describe(Parse(refused + "moves { } }")),
            head + "  nothing can be moved to make room: pods use all that is there\n");
}

TEST(Compose, MakesWhatTheFlagsSayAndFreeTakesItBack) {
  RealClock clock;
  kube::FakeClient server(clock);
  ComposeRequest request{.key = {"team", "train"}, .class_name = "gold", .replicas = 4};
  EXPECT_EQ(Compose({}, server, request).status().message(), "a member needs --gpus or --volume");
  request.gpus = 2;
  request.near = "Switch";
  EXPECT_EQ(Compose({}, server, request).status().message(),
            "--near is for members with --gpus and --volume");
  request.volume = "much";
  EXPECT_EQ(Compose({}, server, request).status().code(), absl::StatusCode::kInvalidArgument);
  request.volume = "10Gi";
  const auto made = Compose({}, server, request);
  ASSERT_TRUE(made.ok()) << made.status();
  const auto object = server.Get({}, api::Kind<Composition>(), {"team", "train"});
  const auto read = api::FromJson<Composition>(*object);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->spec().class_name(), "gold");
  EXPECT_EQ(read->spec().members(0).replicas(), 4);
  EXPECT_EQ(read->spec().members(0).gpus(0).count(), 2);
  EXPECT_EQ(read->spec().members(0).volumes(0).size(), int64_t{10} << 30);
  EXPECT_EQ(read->spec().members(0).constraints(0).level(), "Switch");
  EXPECT_EQ(*Explain({}, server, {"team", "train"}),
            "team/train: the controller has not looked at it yet\n");
  ASSERT_TRUE(Free({}, server, "team", {"train"}).ok());
  EXPECT_TRUE(absl::IsNotFound(Free({}, server, "team", {"train"}).status()));
  EXPECT_TRUE(absl::IsNotFound(Explain({}, server, {"team", "train"}).status()));
}

}  // namespace
}  // namespace ashlar::kubectl
