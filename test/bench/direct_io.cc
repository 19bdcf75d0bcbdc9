#include "test/bench/direct_io.h"

#include <fcntl.h>
#include <liburing.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <random>

#include "absl/strings/str_cat.h"

namespace ashlar::bench {
namespace {

using Stopwatch = std::chrono::steady_clock;
constexpr double kSeconds = 0.4;

// One read or write that is under way.
struct Slot {
  void* buffer = nullptr;
  uint64_t at = 0;
  size_t done = 0;
};

}  // namespace

void Must(bool ok, const std::string& what) {
  if (ok) return;
  std::cerr << what << "\n";
  std::exit(1);
}

double Throughput(int fd, int64_t size, const Pattern& pattern, int64_t from) {
  io_uring ring;
  Must(io_uring_queue_init(pattern.depth, &ring, 0) == 0, "io_uring_queue_init");
  std::vector<Slot> slots(pattern.depth);
  for (Slot& slot : slots) Must(posix_memalign(&slot.buffer, 4096, pattern.block) == 0, "memory");
  std::mt19937_64 random(42);
  const int64_t blocks = size / static_cast<int64_t>(pattern.block);
  int64_t next = 0, done = 0;
  const auto submit = [&](Slot& slot) {
    io_uring_sqe* sqe = io_uring_get_sqe(&ring);
    const auto bytes = static_cast<unsigned>(pattern.block - slot.done);
    char* buffer = static_cast<char*>(slot.buffer) + slot.done;
    if (pattern.write)
      io_uring_prep_write(sqe, fd, buffer, bytes, slot.at + slot.done);
    else
      io_uring_prep_read(sqe, fd, buffer, bytes, slot.at + slot.done);
    io_uring_sqe_set_data(sqe, &slot);
  };
  const auto begin = [&](Slot& slot) {
    const int64_t block = pattern.random
                              ? static_cast<int64_t>(random() % static_cast<uint64_t>(blocks))
                              : next++ % blocks;
    slot.at = static_cast<uint64_t>(from) + static_cast<uint64_t>(block) * pattern.block;
    slot.done = 0;
    submit(slot);
  };
  const auto start = Stopwatch::now();
  for (Slot& slot : slots) begin(slot);
  double elapsed = 0;
  while (elapsed < kSeconds) {
    io_uring_submit_and_wait(&ring, 1);
    io_uring_cqe* cqe;
    while (io_uring_peek_cqe(&ring, &cqe) == 0) {
      Slot& slot = *static_cast<Slot*>(io_uring_cqe_get_data(cqe));
      const int result = cqe->res;
      io_uring_cqe_seen(&ring, cqe);
      // Filesystems may answer in parts, or ask to be asked again.
      Must(result > 0 || result == -EAGAIN,
           absl::StrCat(pattern.name, ": ", result == 0 ? "end of file" : strerror(-result)));
      slot.done += static_cast<size_t>(std::max(result, 0));
      if (slot.done < pattern.block) {
        submit(slot);
      } else {
        ++done;
        begin(slot);
      }
    }
    elapsed = std::chrono::duration<double>(Stopwatch::now() - start).count();
  }
  io_uring_queue_exit(&ring);
  for (const Slot& slot : slots) free(slot.buffer);
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
