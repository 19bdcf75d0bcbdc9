// bench_volume_io: how much of the pool's speed a volume keeps.
//
// Reads with O_DIRECT from a block volume, from a file in an ext4 volume, and from a file of the
// same size on the pool's filesystem, in turn: 4 KiB random at queue depth 1 and 64, and 1 MiB
// sequential at queue depth 4. Prints medians of the ratios of each round (goals at least 0.75,
// 0.85, 0.95).
//
//   bench_volume_io [rounds] [directory for the pool]
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <iostream>

#include "lib/base/log.h"
#include "node-agent/testing/loop_lab.h"
#include "test/bench/direct_io.h"

namespace ashlar {
namespace {

using bench::kMiB;
using bench::Median;
using bench::Must;
using bench::OpenFilled;
using bench::Pattern;
using bench::Throughput;
using node_agent::VolumeMode;
constexpr int64_t kSize = 1024 * kMiB;

struct Subjects {
  int file, block, in_ext4;
};

void Measure(const Pattern& pattern, double goal, int rounds, const Subjects& on) {
  std::vector<double> file, block_ratio, ext4_ratio;
  for (int round = 0; round < rounds; ++round) {
    const double base = Throughput(on.file, kSize, pattern);
    const double block = Throughput(on.block, kSize, pattern);
    const double ext4 = Throughput(on.in_ext4, kSize, pattern);
    const double again = Throughput(on.file, kSize, pattern);
    const double mean = (base + again) / 2;  // drift of the machine cancels out
    file.push_back(mean);
    block_ratio.push_back(block / mean);
    ext4_ratio.push_back(ext4 / mean);
  }
  printf(
      "%-20s file %8.1f MiB/s (%7.0f /s)  block volume %.2f  file in ext4 volume %.2f  (goal >= "
      "%.2f)\n",
      pattern.name, Median(file) / kMiB, Median(file) / static_cast<double>(pattern.block),
      Median(block_ratio), Median(ext4_ratio), goal);
}

int Main(int argc, char** argv) {
  const int rounds = argc > 1 ? atoi(argv[1]) : 5;
  if (const std::string missing = node_agent::LoopLab::Missing(); !missing.empty()) {
    std::cerr << "bench_volume_io lacks " << missing << "\n";
    return 2;
  }
  SetLogLevel(LogLevel::kError);
  node_agent::LoopLab lab;
  const std::string pool = argc > 2 ? std::string(argv[2]) : lab.Path("pool");
  node_agent::AgentStack agent(lab.Path("state"), {lab.Path("kubelet")});
  Must(agent.Start().ok(), "start");
  Must(agent.EnsureDirectoryPool(pool).ok(), "pool");
  auto& volumes = agent.volumes;
  const std::string block = lab.Path("kubelet/block"), fs = lab.Path("kubelet/fs");
  Must(volumes.Ensure({}, {"block", "p", kSize, VolumeMode::kBlock, ""}).ok(), "ensure block");
  Must(volumes.Ensure({}, {"fs", "p", kSize + 256 * kMiB, VolumeMode::kFilesystem, "ext4"}).ok(),
       "ensure fs");
  Must(volumes.Stage({}, {"block", block, VolumeMode::kBlock, "", {}}).ok(), "stage");
  Must(volumes.Publish({}, {"block", block, block + "-dev", VolumeMode::kBlock}).ok(), "publish");
  Must(volumes.Stage({}, {"fs", fs, VolumeMode::kFilesystem, "ext4", {}}).ok(), "stage");
  const Subjects on{OpenFilled(pool + "/file", kSize), OpenFilled(block + "-dev", kSize),
                    OpenFilled(fs + "/file", kSize)};
  Measure({"4K random read qd1", 4096, 1, true}, 0.75, rounds, on);
  Measure({"4K random read qd64", 4096, 64, true}, 0.85, rounds, on);
  Measure({"1M sequential read", 1 << 20, 4, false}, 0.95, rounds, on);
  close(on.file);
  close(on.block);
  close(on.in_ext4);
  std::filesystem::remove(pool + "/file");
  (void)volumes.Unpublish({}, "block", block + "-dev");
  for (const auto& [id, path] : {std::pair{"block", block}, std::pair{"fs", fs}}) {
    (void)volumes.Unstage({}, id, path);
    (void)volumes.Remove({}, id);
  }
  return 0;
}

}  // namespace
}  // namespace ashlar

int main(int argc, char** argv) { return ashlar::Main(argc, argv); }
