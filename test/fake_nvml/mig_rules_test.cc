#include "test/fake_nvml/mig_rules.h"

#include <map>

#include "gtest/gtest.h"
#include "test/fake_nvml/gpu_models.h"

namespace fake_nvml {
namespace {

const std::vector<MigProfile>& Profiles(const std::string& model) {
  return FindModel(model)->profiles;
}
unsigned Id(const std::string& model, const std::string& name) {
  for (const MigProfile& profile : Profiles(model))
    if (profile.name == name) return profile.id;
  ADD_FAILURE() << model << " has no " << name;
  return 0;
}
std::vector<unsigned> Starts(const std::vector<Placement>& placements) {
  std::vector<unsigned> starts;
  for (const Placement& placement : placements) starts.push_back(placement.start);
  return starts;
}

using Starts_ = std::vector<unsigned>;
const std::string kModel = "H100-80GB";
std::vector<Placement> Free(const std::vector<Occupied>& occupied, const std::string& name) {
  return FreePlacements(Profiles(kModel), occupied, Id(kModel, name));
}
Occupied At(const std::string& name, unsigned start) {
  const MigProfile& profile = *FindProfile(Profiles(kModel), Id(kModel, name));
  return {profile.id, {start, profile.placements[0].size}};
}

// As `nvidia-smi mig -lgipp` prints it of GPUs with eight memory slices.
TEST(MigRules, PlacesAreThosePublished) {
  const std::map<unsigned, std::pair<unsigned, Starts_>> published = {
      {19, {1, {0, 1, 2, 3, 4, 5, 6}}},
      {20, {1, {0, 1, 2, 3, 4, 5, 6}}},
      {15, {2, {0, 2, 4, 6}}},
      {14, {2, {0, 2, 4}}},
      {9, {4, {0, 4}}},
      {5, {4, {0}}},
      {0, {8, {0}}}};
  for (const GpuModel& model : Models()) {
    if (model.profiles.empty()) continue;
    EXPECT_EQ(model.profiles.size(), published.size()) << model.key;
    for (const MigProfile& profile : model.profiles) {
      SCOPED_TRACE(model.key + " " + profile.name);
      const auto& [size, starts] = published.at(profile.id);
      EXPECT_EQ(Starts(profile.placements), starts);
      EXPECT_EQ(profile.placements[0].size, size);
    }
  }
}

// "Number of Instances Available" of the MIG User Guide.
TEST(MigRules, AnEmptyGpuTakesAsManyAsThePublishedTableSays) {
  const std::map<std::string, std::map<std::string, unsigned>> published = {{"A100-40GB",
                                                                             {{"1g.5gb", 7},
                                                                              {"1g.5gb+me", 1},
                                                                              {"1g.10gb", 4},
                                                                              {"2g.10gb", 3},
                                                                              {"3g.20gb", 2},
                                                                              {"4g.20gb", 1},
                                                                              {"7g.40gb", 1}}},
                                                                            {"A100-80GB",
                                                                             {{"1g.10gb", 7},
                                                                              {"1g.10gb+me", 1},
                                                                              {"1g.20gb", 4},
                                                                              {"2g.20gb", 3},
                                                                              {"3g.40gb", 2},
                                                                              {"4g.40gb", 1},
                                                                              {"7g.80gb", 1}}},
                                                                            {"H100-80GB",
                                                                             {{"1g.10gb", 7},
                                                                              {"1g.10gb+me", 1},
                                                                              {"1g.20gb", 4},
                                                                              {"2g.20gb", 3},
                                                                              {"3g.40gb", 2},
                                                                              {"4g.40gb", 1},
                                                                              {"7g.80gb", 1}}},
                                                                            {"H200-141GB",
                                                                             {{"1g.18gb", 7},
                                                                              {"1g.18gb+me", 1},
                                                                              {"1g.35gb", 4},
                                                                              {"2g.35gb", 3},
                                                                              {"3g.71gb", 2},
                                                                              {"4g.71gb", 1},
                                                                              {"7g.141gb", 1}}},
                                                                            {"B200-180GB",
                                                                             {{"1g.23gb", 7},
                                                                              {"1g.23gb+me", 1},
                                                                              {"1g.45gb", 4},
                                                                              {"2g.45gb", 3},
                                                                              {"3g.90gb", 2},
                                                                              {"4g.90gb", 1},
                                                                              {"7g.180gb", 1}}}};
  for (const auto& [model, table] : published)
    for (const auto& [name, count] : table) {
      const unsigned id = Id(model, name);
      EXPECT_EQ(FindProfile(Profiles(model), id)->max_instances, count) << model << " " << name;
      EXPECT_EQ(RemainingCapacity(Profiles(model), {}, id), count) << model << " " << name;
    }
}

TEST(MigRules, InstancesNeverOverlap) {
  EXPECT_EQ(Starts(Free({At("1g.10gb", 3)}, "2g.20gb")), (Starts_{0, 4}));
  EXPECT_EQ(Starts(Free({At("1g.10gb", 3)}, "3g.40gb")), (Starts_{4}));
  EXPECT_EQ(Starts(Free({At("1g.10gb", 0)}, "7g.80gb")), (Starts_{}));
  EXPECT_EQ(Starts(Free({At("1g.20gb", 6)}, "1g.10gb")), (Starts_{0, 1, 2, 3, 4, 5}));
}

TEST(MigRules, TwoThirdsStrandOneComputeSlice) {
  const std::vector<Occupied> both = {At("3g.40gb", 0), At("3g.40gb", 4)};
  for (const MigProfile& profile : Profiles(kModel))
    EXPECT_TRUE(FreePlacements(Profiles(kModel), both, profile.id).empty()) << profile.name;
}

TEST(MigRules, ComputeSlicesRunOutBeforeMemoryDoes) {
  // 4 and 3 compute slices are all seven, in eight memory slices.
  EXPECT_EQ(Starts(Free({At("4g.40gb", 0)}, "3g.40gb")), (Starts_{4}));
  // Five of seven are taken: two are left, though four memory slices are free.
  const std::vector<Occupied> five = {At("2g.20gb", 0), At("1g.10gb", 2), At("1g.10gb", 3),
                                      At("1g.20gb", 4)};
  EXPECT_EQ(RemainingCapacity(Profiles(kModel), five, Id(kModel, "1g.10gb")), 1u);
  EXPECT_EQ(RemainingCapacity(Profiles(kModel), five, Id(kModel, "1g.20gb")), 1u);
}

TEST(MigRules, MediaEnginesAreGivenOnce) {
  EXPECT_TRUE(Free({At("1g.10gb+me", 0)}, "1g.10gb+me").empty());
  EXPECT_EQ(Free({At("1g.10gb+me", 0)}, "1g.10gb").size(), 6u);
}

TEST(MigRules, NumbersOfInstancesAreUniqueOnAGpu) {
  const std::vector<Occupied> mixed = {At("4g.40gb", 0), At("2g.20gb", 4), At("1g.10gb", 6)};
  std::map<unsigned, int> seen;
  for (const Occupied& one : mixed)
    ++seen[InstanceId(*FindProfile(Profiles(kModel), one.profile_id), one.placement)];
  EXPECT_EQ(seen, (std::map<unsigned, int>{{1, 1}, {5, 1}, {13, 1}}));
}

}  // namespace
}  // namespace fake_nvml
