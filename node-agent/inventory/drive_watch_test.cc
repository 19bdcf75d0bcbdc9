#include "node-agent/inventory/drive_watch.h"

#include <fstream>

#include "gtest/gtest.h"
#include "lib/base/mutex.h"

namespace ashlar::node_agent {
namespace {

sys::Uevent Of(const std::string& subsystem, const std::string& name) {
  return {"change", subsystem, "/devices/x/" + name, name};
}

TEST(DriveWatch, WhatConcernsDrives) {
  for (const char* name : {"nvme0n1", "nvme0n1p1", "sda", "vda", "dm-0", "md127"})
    EXPECT_TRUE(ConcernsDrives(Of("block", name), {})) << name;
  EXPECT_TRUE(ConcernsDrives(Of("nvme", "nvme0"), {}));
  EXPECT_TRUE(ConcernsDrives(Of("nvme-subsystem", "nvme-subsys0"), {}));
  for (const char* name : {"ram0", "zram0", "sr0", "loop7"})
    EXPECT_FALSE(ConcernsDrives(Of("block", name), {})) << name;
  EXPECT_FALSE(ConcernsDrives(Of("net", "eth0"), {}));
  EXPECT_TRUE(ConcernsDrives(Of("block", "loop7"), {"/dev/loop[78]"}));
  EXPECT_FALSE(ConcernsDrives(Of("block", "loop9"), {"/dev/loop[78]"}));
}

TEST(DriveWatch, TellsOfADevice) {
  Mutex mu;
  CondVar changed;
  bool told = false;
  sys::KernelMountTable mounts;
  RealClock clock;
  DriveWatch watch(
      mounts, clock, [] { return std::vector<std::string>{"/dev/loop0"}; },
      [&](bool) {
        MutexLock lock(mu);
        told = true;
        changed.NotifyAll();
      });
  const absl::Status started = watch.Start();
  ASSERT_TRUE(started.ok()) << started;
  std::ofstream file("/sys/block/loop0/uevent");
  file << "change" << std::flush;
  if (!file) GTEST_SKIP() << "needs root and a loop device";
  MutexLock lock(mu);
  while (!told) clock.WaitUntil(changed, mu, absl::InfiniteFuture());
}

}  // namespace
}  // namespace ashlar::node_agent
