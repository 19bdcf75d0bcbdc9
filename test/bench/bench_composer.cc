// How long the placement engine takes on one core: 10,000 nodes of 8 GPUs and 8 drives in racks and
// blocks, a gang of 1,024 GPUs. Prints the median of the runs, in milliseconds.
//   few: nodes are in a few hundred different states
//   all different: no two nodes are in the same state, the worst case for what is shared
#include <algorithm>
#include <cstdio>
#include <functional>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "controller/composer/gang.h"

namespace ashlar::composer {
namespace {

constexpr int kNodes = 10'000;
constexpr int64_t kGi = int64_t{1} << 30;

MigLayout Layout() {
  return MigLayout(8, 7, 1,
                   {{"1g", 1, 0, 7, {{0, 1}, {1, 1}, {2, 1}, {3, 1}, {4, 1}, {5, 1}, {6, 1}}},
                    {"2g", 2, 0, 3, {{0, 2}, {2, 2}, {4, 2}}},
                    {"3g", 3, 0, 2, {{0, 4}, {4, 4}}},
                    {"4g", 4, 0, 1, {{0, 4}}},
                    {"7g", 7, 1, 1, {{0, 8}}}});
}

NodeDevices Node(int number) {
  NodeDevices node;
  node.name = absl::StrCat("node-", number);
  node.labels = {{"rack", absl::StrCat("rack-", number / 16)},
                 {"block", absl::StrCat("block-", number / 1000)}};
  for (int i = 0; i < 8; ++i) {
    const Place place{i / 2, i / 2, i / 4};
    Gpu gpu;
    gpu.name = absl::StrCat("GPU-", number, "-", i);
    gpu.product = "NVIDIA H100 80GB HBM3";
    gpu.place = place;
    gpu.layout = 0;
    node.gpus.push_back(gpu);
    node.drives.push_back({.name = absl::StrCat("nvme", i),
                           .place = place,
                           .kinds = {"Namespace", "Partition"},
                           .capacity_bytes = 7000 * kGi,
                           .allocatable_bytes = 7000 * kGi});
  }
  return node;
}

// Each node in one of `states` states of use.
Inventory Cluster(int states) {
  Inventory inventory{{Layout()}, {}};
  for (int n = 0; n < kNodes; ++n) {
    NodeDevices node = Node(n);
    std::mt19937 random(n % states);
    for (int i = 0; i < 8; ++i) {
      const uint32_t use = states == 1 ? 9 : random() % 10;
      if (use < 3) node.gpus[i].taken = true;
      if (use == 3) inventory.layouts[0].Take(node.gpus[i].used, 0, {6, 1});
      if (states > 1)
        node.drives[i].allocatable_bytes = static_cast<int64_t>(random() % 7000) * kGi;
    }
    inventory.nodes.push_back(std::move(node));
  }
  return inventory;
}

GangRequest Gang(int replicas, int gpus, Enforcement enforcement, const char* profile = "") {
  return {.members = {{{.name = "worker",
                        .gpus = {{.name = "gpu", .count = gpus, .profile = profile}},
                        .drives = {{.name = "scratch", .bytes = 500 * kGi, .kind = "Namespace"}},
                        .constraints = {{{"gpu", "scratch"},
                                         gpus > 2 ? Level::kSystem : Level::kSwitch,
                                         enforcement}}},
                       replicas}}};
}

void Measure(const char* cluster, const char* what, const Inventory& inventory,
             const GangRequest& request) {
  std::vector<double> times;
  GangOutcome outcome;
  for (int run = 0; run < 5; ++run) {
    const absl::Time began = absl::Now();
    outcome = PlaceGang(inventory, request);
    times.push_back(absl::ToDoubleMilliseconds(absl::Now() - began));
  }
  std::sort(times.begin(), times.end());
  std::printf("%-14s %-44s %8.1f ms  ", cluster, what, times[times.size() / 2]);
  if (const GangPlan* plan = std::get_if<GangPlan>(&outcome)) {
    std::printf("%zu members on %d nodes, %d domains, %d levels missed%s\n", plan->members.size(),
                plan->cost.nodes, plan->cost.domains, plan->cost.missed_levels,
                plan->proven ? ", proven best" : "");
  } else {
    std::printf("refused: %d of %d fit\n", std::get<GangRefusal>(outcome).placeable,
                std::get<GangRefusal>(outcome).wanted);
  }
}

void MeasureAll(const char* name, const Inventory& cluster) {
  GangRequest ones = Gang(1024, 1, Enforcement::kRequired);
  Measure(name, "1,024 x 1 GPU, switch required", cluster, ones);
  ones.required_label = "block";
  ones.preferred_label = "rack";
  Measure(name, "same, one block, few racks", cluster, ones);
  GangRequest wishes = Gang(1024, 1, Enforcement::kPreferred);
  wishes.preferred_label = "block";
  Measure(name, "1,024 x 1 GPU, switch and block preferred", cluster, wishes);
  GangRequest nodes = Gang(128, 8, Enforcement::kRequired);
  nodes.required_label = "block";
  Measure(name, "128 x 8 GPUs, one block", cluster, nodes);
  Measure(name, "1 slice of 3g, switch preferred", cluster,
          Gang(1, 1, Enforcement::kPreferred, "3g"));
  GangRequest never = Gang(1024, 1, Enforcement::kRequired);
  never.required_label = "rack";
  Measure(name, "1,024 x 1 GPU in one rack", cluster, never);
}

void Main() {
  MeasureAll("empty", Cluster(1));
  MeasureAll("few", Cluster(200));
  MeasureAll("all different", Cluster(kNodes));
}

}  // namespace
}  // namespace ashlar::composer

int main() { ashlar::composer::Main(); }
