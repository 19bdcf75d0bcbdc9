#include "lib/system/device_events.h"

#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "gtest/gtest.h"

namespace ashlar::sys {
namespace {

std::string Message(const std::string& head) {
  std::string text = head;
  for (const char* field :
       {"ACTION=change", "DEVPATH=/devices/pci0000:40/0000:40:00.0/nvme/nvme0/nvme0n1",
        "SUBSYSTEM=block", "SYNTH_UUID=0", "DEVNAME=nvme0n1", "DEVTYPE=disk", "SEQNUM=7"}) {
    text += '\0';
    text += field;
  }
  return text;
}

TEST(ParseUevent, OfTheKernel) {
  const Uevent expected = {"change", "block", "/devices/pci0000:40/0000:40:00.0/nvme/nvme0/nvme0n1",
                           "nvme0n1"};
  EXPECT_EQ(ParseUevent(Message("change@/devices/pci0000:40/0000:40:00.0/nvme/nvme0/nvme0n1")),
            expected);
}

TEST(ParseUevent, OfNobodyElse) {
  EXPECT_EQ(ParseUevent(Message("libudev")), std::nullopt);
  EXPECT_EQ(ParseUevent(""), std::nullopt);
  EXPECT_EQ(ParseUevent("add@/x"), std::nullopt);
  EXPECT_EQ(ParseUevent("ACTION=add"), std::nullopt);
}

TEST(DeviceEvents, StopEndsAWait) {
  auto events = DeviceEvents::Open();
  ASSERT_TRUE(events.ok()) << events.status();
  std::stop_source stop;
  CallContext context;
  context.stop = stop.get_token();
  std::jthread stopper([&] { stop.request_stop(); });
  absl::StatusOr<DeviceNews> news = events->Await(context);
  while (news.ok()) news = events->Await(context);  // of others on this machine
  EXPECT_TRUE(absl::IsCancelled(news.status())) << news.status();
}

// A write to a device's file "uevent" makes the kernel send one.
TEST(DeviceEvents, HearsOfADevice) {
  auto events = DeviceEvents::Open();
  ASSERT_TRUE(events.ok()) << events.status();
  std::ofstream file("/sys/class/mem/null/uevent");
  file << "change" << std::flush;
  if (!file) GTEST_SKIP() << "may not make uevents here";
  for (;;) {
    const absl::StatusOr<DeviceNews> news = events->Await({});
    ASSERT_TRUE(news.ok()) << news.status();
    for (const Uevent& event : news->uevents)
      if (event == Uevent{"change", "mem", "/devices/virtual/mem/null", "null"}) return;
  }
}

TEST(DeviceEvents, HearsOfMounts) {
  if (unshare(CLONE_NEWNS) != 0) GTEST_SKIP() << "needs root: a mount namespace of its own";
  ASSERT_EQ(mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
  auto events = DeviceEvents::Open();
  ASSERT_TRUE(events.ok()) << events.status();
  const std::string target = testing::TempDir();
  ASSERT_EQ(mount("none", target.c_str(), "tmpfs", 0, nullptr), 0);
  absl::StatusOr<DeviceNews> news = events->Await({});
  while (news.ok() && !news->mounts_changed) news = events->Await({});
  EXPECT_TRUE(news.ok()) << news.status();
  umount(target.c_str());
}

}  // namespace
}  // namespace ashlar::sys
