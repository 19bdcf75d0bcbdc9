// What the benchmarks of data paths have in common: direct I/O by io_uring, and medians.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace ashlar::bench {

constexpr int64_t kMiB = int64_t{1} << 20;

// Ends the program with what went wrong.
void Must(bool ok, const std::string& what);

struct Pattern {
  const char* name;
  size_t block;
  unsigned depth;
  bool random;
  bool write = false;
};

// Bytes a second over about a second, of the first `size` bytes of a file opened with O_DIRECT.
double Throughput(int fd, int64_t size, const Pattern& pattern);

// Opens for direct I/O and writes all of it, so that no read is answered without the device.
int OpenFilled(const std::string& path, int64_t size);

double Median(std::vector<double> values);

}  // namespace ashlar::bench
