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

// Bytes a second over a part of a second, of `size` bytes from `from` on of a file or device opened
// with O_DIRECT. Short slices, taken in turn and often, see the same noise of the machine.
double Throughput(int fd, int64_t size, const Pattern& pattern, int64_t from = 0);

// Opens for direct I/O and writes all of it, so that no read is answered without the device.
int OpenFilled(const std::string& path, int64_t size);

double Median(std::vector<double> values);

}  // namespace ashlar::bench
