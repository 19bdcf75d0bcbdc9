#include "test/bench/direct_io.h"

#include <fcntl.h>
#include <liburing.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <random>

namespace ashlar::bench {
namespace {

using Stopwatch = std::chrono::steady_clock;
constexpr double kSeconds = 1.0;

}  // namespace

void Must(bool ok, const std::string& what) {
  if (ok) return;
  std::cerr << what << "\n";
  std::exit(1);
}

double Throughput(int fd, int64_t size, const Pattern& pattern) {
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
    const auto bytes = static_cast<unsigned>(pattern.block);
    const uint64_t at = static_cast<uint64_t>(block) * pattern.block;
    if (pattern.write)
      io_uring_prep_write(sqe, fd, buffers[slot], bytes, at);
    else
      io_uring_prep_read(sqe, fd, buffers[slot], bytes, at);
    io_uring_sqe_set_data64(sqe, slot);
  };
  const auto start = Stopwatch::now();
  for (unsigned slot = 0; slot < pattern.depth; ++slot) submit(slot);
  double elapsed = 0;
  while (elapsed < kSeconds) {
    io_uring_submit_and_wait(&ring, 1);
    io_uring_cqe* cqe;
    while (io_uring_peek_cqe(&ring, &cqe) == 0) {
      Must(cqe->res == static_cast<int>(pattern.block), "a short read or write");
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

}  // namespace ashlar::bench
