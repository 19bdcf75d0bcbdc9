// bench_backends: what each backend leaves of its drive, and what it takes to make, grow and delete
// a volume.
//
// Direct I/O on a volume and, in turn, on the same bytes of its drive (for File: of its image, for
// Directory: on a file of the pool's filesystem that nobody limits), as medians of the ratios of
// each round (goal at least 0.98; File as bench_volume_io has it). Then carving, growth and
// deletion of a volume of 256 MiB and of 1 GiB, beside zeroing as many bytes of a bare drive:
// deletion must not grow with size but for wiping.
//
//   bench_backends [rounds] [backend...]     File Directory Partition WholeDrive LVM Namespace
// Drives are loop devices over files; ASHLAR_BENCH_DRIVES=A,B names two drives instead, of which
// all is lost: the first is the bare one. What needs device-mapper or namespaces runs in the drive
// lab's scene "bench".
#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "lib/base/log.h"
#include "lib/system/block_device.h"
#include "lib/system/files.h"
#include "node-agent/testing/loop_lab.h"
#include "test/bench/block_place.h"
#include "test/bench/direct_io.h"

namespace ashlar::node_agent {
namespace {

using bench::Median;
using bench::Pattern;
using bench::Place;
using bench::PlaceOf;
using bench::Throughput;
using Stopwatch = std::chrono::steady_clock;

constexpr int64_t kDriveBytes = 3072 * kMiB, kDataBytes = 512 * kMiB;
const Pattern kPatterns[] = {{"4K random read qd1", 4096, 1, true},
                             {"4K random read qd64", 4096, 64, true},
                             {"4K random write qd16", 4096, 16, true, true},
                             {"1M sequential read", 1 << 20, 4, false},
                             {"1M sequential write", 1 << 20, 4, false, true}};

void Must(const absl::Status& status, const std::string& what) {
  bench::Must(status.ok(), absl::StrCat(what, ": ", status.ToString()));
}

double Milliseconds(const std::function<void()>& work) {
  const auto start = Stopwatch::now();
  work();
  return std::chrono::duration<double, std::milli>(Stopwatch::now() - start).count();
}

class Bench {
 public:
  Bench(BackendKind backend, int rounds, std::string bare, const std::string& drive)
      : rounds_(rounds),
        bare_(std::move(bare)),
        drive_(drive),
        agent_(lab_.Path("state"), {lab_.Path("kubelet")}) {
    Must(agent_.Start(), "start");
    PoolSpec spec;
    spec.name = "p";
    spec.uid = "0f8fad5b-d9cb-469f-a165-70867728950e";
    spec.backend = backend;
    spec.devices = DeviceSource{{}, {drive}, {}, {}, 0, 0};
    const auto status = agent_.pools.Ensure({}, spec);
    Must(status.status(), "pool");
    bench::Must(status->ready, absl::StrCat("pool: ", status->reason, ": ", status->message));
    Must(agent_.volumes.Adopt({}, "p"), "adopt");
    traits_ = (*agent_.pools.Backend("p"))->Traits();
  }
  ~Bench() { (void)agent_.pools.Remove({}, "p"); }

  void DataPath() {
    const std::string staging = lab_.Path("kubelet/v");
    Must(Make("v", kDataBytes + 256 * kMiB), "carve");
    Must(agent_.volumes.Stage({}, {"v", staging, Mode(), "", {}}), "stage");
    std::string ours;
    Place bare;
    if (traits_.block) {
      Must(agent_.volumes.Publish({}, {"v", staging, staging + "-dev", Mode()}), "publish");
      ours = staging + "-dev";
      bare = PlaceOf(ours, drive_);
    } else {
      ours = staging + "/file";
      bare.path = lab_.Path("state/pools/p/file");
    }
    const int mine = bench::OpenFilled(ours, kDataBytes);
    const int other = traits_.block ? open(bare.path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC)
                                    : bench::OpenFilled(bare.path, kDataBytes);
    bench::Must(other >= 0, absl::StrCat("open ", bare.path));
    for (const Pattern& pattern : kPatterns) {
      std::vector<double> base, ratio;
      for (int round = 0; round < rounds_; ++round) {
        const double before = Throughput(other, kDataBytes, pattern, bare.offset);
        const double volume = Throughput(mine, kDataBytes, pattern);
        const double after = Throughput(other, kDataBytes, pattern, bare.offset);
        const double mean = (before + after) / 2;
        base.push_back(mean);
        ratio.push_back(volume / mean);
      }
      std::printf("  %-22s bare %8.1f MiB/s   volume %.2f\n", pattern.name, Median(base) / kMiB,
                  Median(ratio));
    }
    close(mine);
    close(other);
    if (!traits_.block) (void)sys::RemoveFile(bare.path, sys::Durability::kProcessCrash);
    if (traits_.block) Must(agent_.volumes.Unpublish({}, "v", staging + "-dev"), "unpublish");
    Must(agent_.volumes.Unstage({}, "v", staging), "unstage");
    Must(agent_.volumes.Remove({}, "v"), "delete");
  }

  void LifeOf(int64_t size) {
    std::vector<double> carve, grow, remove, zero;
    for (int round = 0; round < rounds_; ++round) {
      carve.push_back(Milliseconds([&] { Must(Make("v", size), "carve"); }));
      if (traits_.grow)
        grow.push_back(
            Milliseconds([&] { Must(agent_.volumes.Resize({}, "v", 2 * size).status(), "grow"); }));
      remove.push_back(Milliseconds([&] { Must(agent_.volumes.Remove({}, "v"), "delete"); }));
      const sys::UniqueFd fd = *sys::OpenFile(bare_, O_RDWR);
      zero.push_back(Milliseconds([&] {
        Must(sys::ZeroRange(fd.get(), 0, size, bare_), "zero");
        Must(sys::SyncFile(fd.get(), bare_), "sync");
      }));
    }
    std::printf(
        "  %4lld MiB  carve %8.1f ms  grow to twice %8.1f ms  delete %8.1f ms  bare zeroing %8.1f "
        "ms\n",
        static_cast<long long>(size / kMiB), Median(carve), grow.empty() ? 0 : Median(grow),
        Median(remove), Median(zero));
  }

 private:
  VolumeMode Mode() const { return traits_.block ? VolumeMode::kBlock : VolumeMode::kFilesystem; }
  absl::Status Make(const std::string& id, int64_t size) {
    const std::string type = traits_.block ? "" : traits_.fs_types.front();
    return agent_.volumes.Ensure({}, {id, "p", size, Mode(), type}).status();
  }

  LoopLab lab_;
  const int rounds_;
  const std::string bare_, drive_;
  AgentStack agent_;
  BackendTraits traits_;
};

int Main(int argc, char** argv) {
  SetLogLevel(LogLevel::kError);
  if (const std::string missing = LoopLab::Missing(); !missing.empty()) {
    std::cerr << "bench_backends lacks " << missing << "\n";
    return 2;
  }
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 15;
  std::vector<std::string> names(argv + std::min(argc, 2), argv + argc);
  if (names.empty()) names = {"File", "Directory", "Partition", "WholeDrive"};
  for (const std::string& name : names) {
    const auto backend = BackendFromName(name);
    Must(backend.status(), name);
    LoopLab drives;
    std::vector<std::string> pair;
    if (const char* named = std::getenv("ASHLAR_BENCH_DRIVES"))
      pair = absl::StrSplit(named, ',');
    else
      pair = {drives.MakeDrive(kDriveBytes), drives.MakeDrive(kDriveBytes)};
    bench::Must(pair.size() == 2, "ASHLAR_BENCH_DRIVES: two drives are accepted, as A,B");
    std::printf("%s\n", name.c_str());
    Bench bench(*backend, rounds, pair[0], pair[1]);
    bench.DataPath();
    for (const int64_t size : {256 * kMiB, 1024 * kMiB}) bench.LifeOf(size);
  }
  return 0;
}

}  // namespace
}  // namespace ashlar::node_agent

int main(int argc, char** argv) { return ashlar::node_agent::Main(argc, argv); }
