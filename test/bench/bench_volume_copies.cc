// bench_volume_copies: what the agent adds to the system calls that a copy of a volume needs.
//
// Snapshots of a sealed ext4 volume of several sizes, of a live one in few and in many extents, and
// clones, against FICLONE, attribute, name and fsync done bare on the same filesystem in turn, and
// against FICLONE alone; and finding the blocks that differ between two snapshots, against FIEMAP
// of both; growth and removal, against fallocate and fsync, and unlink, truncate and fsync. Prints
// medians in milliseconds, extents and ratios.
//
//   bench_volume_copies [rounds] [directory for the pool]
// Without a directory the pool lies on an XFS filesystem of its own, over a loop device.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "lib/base/log.h"
#include "lib/system/extent_map.h"
#include "lib/system/files.h"
#include "lib/system/unnamed_file.h"
#include "node-agent/testing/loop_lab.h"

namespace ashlar::node_agent {
namespace {

using Stopwatch = std::chrono::steady_clock;

void Must(const absl::Status& status) {
  if (status.ok()) return;
  std::cerr << status << "\n";
  std::exit(1);
}

double Milliseconds(const std::function<void()>& work) {
  const auto start = Stopwatch::now();
  work();
  return std::chrono::duration<double, std::milli>(Stopwatch::now() - start).count();
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Writes out what earlier operations left to be written, down to the drive below the loop device,
// so that none pays for the one before it.
void Settle() { sync(); }

struct Bench {
  AgentStack& agent;
  std::string pool, kubelet;
  int rounds;

  std::string Image(const std::string& id) const {
    return absl::StrCat(pool, "/volumes/", id, ".img");
  }

  // The same on the medium without the agent. `clone_alone` becomes the time of FICLONE.
  double Bare(const std::string& source, double& clone_alone) {
    const std::string whole = Image("bare");
    Settle();
    const double all = Milliseconds([&] {
      const sys::UniqueFd from = *sys::OpenFile(Image(source), O_RDONLY);
      const sys::UniqueFd to = *sys::OpenUnnamedFile(pool + "/volumes", 0400);
      clone_alone = Milliseconds([&] {
        Must(ioctl(to.get(), FICLONE, from.get()) == 0 ? absl::OkStatus()
                                                       : absl::InternalError("FICLONE"));
      });
      Must(sys::SetAttribute(to.get(), "user.bench", "x", whole));
      Must(sys::NameFile(to.get(), whole));
      Must(sys::SyncFile(to.get(), whole));
    });
    // As thoroughly as the agent removes its copies, so that no work of the filesystem is left for
    // the next measurement.
    const sys::UniqueFd fd = *sys::OpenFile(whole, O_RDWR);
    Must(sys::RemoveFile(whole, sys::Durability::kProcessCrash));
    Must(sys::Truncate(fd.get(), 0, whole));
    Must(sys::SyncDirectory(pool + "/volumes"));
    return all;
  }

  void Run(const char* what, const std::string& source, bool clone, int64_t size) {
    std::vector<double> ours, bare, alone;
    int64_t extents = 0;
    for (int i = 0; i < rounds; ++i) {
      Settle();
      ours.push_back(Milliseconds([&] {
        if (clone) {
          Must(
              agent.volumes.Ensure({}, {"copy", "p", size, VolumeMode::kFilesystem, "ext4", source})
                  .status());
        } else {
          const auto taken = agent.volumes.EnsureSnapshots({}, {{"copy", source}});
          Must(taken.status());
          extents = taken->front().extents;
        }
      }));
      Must(agent.volumes.Remove({}, "copy", clone ? VolumeKind::kVolume : VolumeKind::kSnapshot));
      double one = 0;
      bare.push_back(Bare(source, one));
      alone.push_back(one);
    }
    std::printf(
        "%-28s %6lld extents  %8.2f ms  bare %8.2f ms  ratio %5.2f  FICLONE alone %7.3f ms\n", what,
        static_cast<long long>(extents), Median(ours), Median(bare), Median(ours) / Median(bare),
        Median(alone));
  }

  static void Print(const std::string& what, const std::vector<double>& ours,
                    const std::vector<double>& bare) {
    std::printf("%-28s %16s  %8.2f ms  bare %8.2f ms  ratio %5.2f\n", what.c_str(), "",
                Median(ours), Median(bare), Median(ours) / Median(bare));
  }

  // Growth to twice its size, and removal, of a volume without pods.
  void Life(int64_t size) {
    std::vector<double> grow, bare_grow, remove, bare_remove;
    const std::string file = Image("bare"), folder = pool + "/volumes";
    for (int i = 0; i < rounds; ++i) {
      Must(agent.volumes.Ensure({}, {"life", "p", size / 2, VolumeMode::kBlock, ""}).status());
      Settle();
      grow.push_back(Milliseconds([&] { Must(agent.volumes.Resize({}, "life", size).status()); }));
      Settle();
      remove.push_back(Milliseconds([&] { Must(agent.volumes.Remove({}, "life")); }));
      const sys::UniqueFd fd = *sys::OpenFile(file, O_RDWR | O_CREAT | O_EXCL, 0600);
      Must(sys::Preallocate(fd.get(), 0, size / 2, file));
      Must(sys::SyncFile(fd.get(), file));
      Settle();
      bare_grow.push_back(Milliseconds([&] {
        Must(sys::Preallocate(fd.get(), size / 2, size, file));
        Must(sys::SyncFile(fd.get(), file));
      }));
      Settle();
      bare_remove.push_back(Milliseconds([&] {
        Must(sys::RemoveFile(file, sys::Durability::kProcessCrash));
        Must(sys::Truncate(fd.get(), 0, file));
        Must(sys::SyncDirectory(folder));
      }));
    }
    Print(absl::StrCat("growth to ", size >> 30, " GiB"), grow, bare_grow);
    Print(absl::StrCat("removal, ", size >> 30, " GiB"), remove, bare_remove);
  }

  static int64_t ReadMap(const std::string& image) {
    const sys::UniqueFd fd = *sys::OpenFile(image, O_RDONLY);
    int64_t count = 0;
    for (uint64_t at = 0;;) {
      const auto part = sys::MapExtents(fd.get(), at, 1024, image);
      Must(part.status());
      count += static_cast<int64_t>(part->size());
      if (part->size() < 1024) return count;
      at = part->back().logical + part->back().bytes;
    }
  }

  void Compare(const char* what, const std::string& base, const std::string& target) {
    std::vector<double> ours, bare;
    int64_t extents = 0;
    size_t ranges = 0;
    for (int i = 0; i < rounds; ++i) {
      ranges = 0;
      ours.push_back(Milliseconds([&] {
        auto all = agent.volumes.OpenExtents({}, target, base, 0);
        Must(all.status());
        while (!all->AtEnd()) {
          const auto part = all->Next();
          Must(part.status());
          ranges += part->size();
        }
      }));
      bare.push_back(
          Milliseconds([&] { extents = ReadMap(Image(base)) + ReadMap(Image(target)); }));
    }
    std::printf("%-28s %6lld extents  %8.2f ms  bare %8.2f ms  ratio %5.2f  %zu ranges\n", what,
                static_cast<long long>(extents), Median(ours), Median(bare),
                Median(ours) / Median(bare), ranges);
  }

  // Every other 4 KiB of a file, so that its image is taken apart.
  void Scatter(const std::string& file, int pieces) {
    const sys::UniqueFd fd = *sys::OpenFile(file, O_RDWR | O_CREAT, 0600);
    const std::string bytes(4096, 'x');
    for (int i = 0; i < pieces; ++i)
      if (pwrite(fd.get(), bytes.data(), bytes.size(), int64_t{i} * 8192) < 0) std::exit(1);
    Must(sys::SyncFile(fd.get(), file));
  }
};

}  // namespace

int Main(int argc, char** argv) {
  SetLogLevel(LogLevel::kError);
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 15;
  LoopLab lab;
  const std::string pool = argc > 2 ? argv[2] : lab.MakeFilesystem("xfs", int64_t{12} << 30);
  AgentStack agent(lab.Path("state"), {lab.Path("kubelet")});
  Must(agent.Start());
  Must(agent.EnsureDirectoryPool(pool).status());
  Bench bench{agent, pool, lab.Path("kubelet"), rounds};
  for (const int64_t gib : {1, 4}) {
    const std::string id = absl::StrCat("v", gib), staging = absl::StrCat(bench.kubelet, "/", id);
    const int64_t size = gib << 30;
    Must(agent.volumes.Ensure({}, {id, "p", size, VolumeMode::kFilesystem, "ext4", ""}).status());
    bench.Run(absl::StrCat("sealed snapshot, ", gib, " GiB").c_str(), id, false, size);
    if (gib == 1) bench.Run("clone, 1 GiB", id, true, size);
    Must(agent.volumes.Stage({}, {id, staging, VolumeMode::kFilesystem, "ext4", {}}));
    bench.Run(absl::StrCat("live snapshot, ", gib, " GiB").c_str(), id, false, size);
    Must(agent.volumes.EnsureSnapshots({}, {{"base", id}}).status());
    bench.Scatter(staging + "/file", 10000);
    bench.Run(absl::StrCat("live, scattered, ", gib, " GiB").c_str(), id, false, size);
    Must(agent.volumes.EnsureSnapshots({}, {{"target", id}}).status());
    bench.Compare(absl::StrCat("changed blocks, ", gib, " GiB").c_str(), "base", "target");
    for (const char* snapshot : {"base", "target"})
      Must(agent.volumes.Remove({}, snapshot, VolumeKind::kSnapshot));
    Must(agent.volumes.Unstage({}, id, staging));
    Must(agent.volumes.Remove({}, id));
    bench.Life(size);
  }
  return 0;
}

}  // namespace ashlar::node_agent

int main(int argc, char** argv) { return ashlar::node_agent::Main(argc, argv); }
