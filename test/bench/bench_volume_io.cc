// bench_volume_io: how much of the pool's speed a volume keeps.
//
// Reads with O_DIRECT from a block volume, from a file in an ext4 volume, and from a file of the
// same size on the pool's filesystem, in turn: 4 KiB random at queue depth 1 and 64, and 1 MiB
// sequential at queue depth 4. Prints medians of the ratios of each round (goals at least 0.75,
// 0.85, 0.95).
//
//   bench_volume_io [rounds] [directory for the pool]
#include <fcntl.h>
#include <liburing.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <random>

#include "lib/base/log.h"
#include "node-agent/testing/loop_lab.h"

namespace ashlar {
namespace {

using node_agent::VolumeMode;
using Stopwatch = std::chrono::steady_clock;
constexpr int64_t kMiB = int64_t{1} << 20;
constexpr int64_t kSize = 1024 * kMiB;
constexpr double kSeconds = 1.0;

void Must(bool ok, const std::string& what) {
  if (ok) return;
  std::cerr << what << "\n";
  std::exit(1);
}

struct Pattern {
  const char* name;
  size_t block;
  unsigned depth;
  bool random;
  double goal;
};

// Bytes a second over about kSeconds.
double ReadFor(int fd, int64_t size, const Pattern& pattern) {
  io_uring ring;
  Must(io_uring_queue_init(pattern.depth, &ring, 0) == 0, "io_uring_queue_init");
  std::vector<void*> buffers(pattern.depth);
  for (void*& buffer : buffers) Must(posix_memalign(&buffer, 4096, pattern.block) == 0, "memory");
  std::mt19937_64 random(42);
  const int64_t blocks = size / static_cast<int64_t>(pattern.block);
  int64_t next = 0, done = 0;
  const auto submit = [&](unsigned slot) {
    const int64_t block = pattern.random
                              ? static_cast<int64_t>(random() % static_cast<uint64_t>(blocks))
                              : next++ % blocks;
    io_uring_sqe* sqe = io_uring_get_sqe(&ring);
    io_uring_prep_read(sqe, fd, buffers[slot], static_cast<unsigned>(pattern.block),
                       static_cast<uint64_t>(block) * pattern.block);
    io_uring_sqe_set_data64(sqe, slot);
  };
  const auto start = Stopwatch::now();
  for (unsigned slot = 0; slot < pattern.depth; ++slot) submit(slot);
  double elapsed = 0;
  while (elapsed < kSeconds) {
    io_uring_submit_and_wait(&ring, 1);
    io_uring_cqe* cqe;
    while (io_uring_peek_cqe(&ring, &cqe) == 0) {
      Must(cqe->res == static_cast<int>(pattern.block), "short read");
      submit(static_cast<unsigned>(io_uring_cqe_get_data64(cqe)));
      io_uring_cqe_seen(&ring, cqe);
      ++done;
    }
    elapsed = std::chrono::duration<double>(Stopwatch::now() - start).count();
  }
  io_uring_queue_exit(&ring);
  for (void* buffer : buffers) free(buffer);
  return static_cast<double>(done) * static_cast<double>(pattern.block) / elapsed;
}

// Opens for direct I/O and writes all of it, so that no read is answered without the device.
int OpenFilled(const std::string& path, int64_t size) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_DIRECT, 0600);
  Must(fd >= 0, "open " + path);
  void* buffer = nullptr;
  Must(posix_memalign(&buffer, 4096, kMiB) == 0, "memory");
  memset(buffer, 'x', kMiB);
  for (int64_t at = 0; at < size; at += kMiB)
    Must(pwrite(fd, buffer, kMiB, at) == kMiB, "write " + path);
  Must(fsync(fd) == 0, "fsync " + path);
  free(buffer);
  return fd;
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

struct Subjects {
  int file, block, in_ext4;
};

void Measure(const Pattern& pattern, int rounds, const Subjects& on) {
  std::vector<double> file, block_ratio, ext4_ratio;
  for (int round = 0; round < rounds; ++round) {
    const double base = ReadFor(on.file, kSize, pattern);
    const double block = ReadFor(on.block, kSize, pattern);
    const double ext4 = ReadFor(on.in_ext4, kSize, pattern);
    const double again = ReadFor(on.file, kSize, pattern);
    const double mean = (base + again) / 2;  // drift of the machine cancels out
    file.push_back(mean);
    block_ratio.push_back(block / mean);
    ext4_ratio.push_back(ext4 / mean);
  }
  printf(
      "%-20s file %8.1f MiB/s (%7.0f /s)  block volume %.2f  file in ext4 volume %.2f  (goal >= "
      "%.2f)\n",
      pattern.name, Median(file) / kMiB, Median(file) / static_cast<double>(pattern.block),
      Median(block_ratio), Median(ext4_ratio), pattern.goal);
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
  for (const Pattern& pattern : {Pattern{"4K random read qd1", 4096, 1, true, 0.75},
                                 Pattern{"4K random read qd64", 4096, 64, true, 0.85},
                                 Pattern{"1M sequential read", 1 << 20, 4, false, 0.95}})
    Measure(pattern, rounds, on);
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
