#include "node-agent/testing/kernel_contract.h"

#include <sys/mount.h>

#include "lib/system/files.h"

namespace ashlar::node_agent {

using absl::StatusCode;

void KernelContract::SetUp() { kernel_ = GetParam().make(); }

TEST_P(KernelContract, AnAttachedDeviceIsKnownByItsFileUntilItIsDetached) {
  const std::string image = kernel_->MakeImage("a");
  const sys::FileIdentity backing = sys::StatFile(image)->identity;
  auto held = loops().Attach({}, image, {"label", false, false});
  ASSERT_TRUE(held.ok()) << held.status();
  const std::string device = held->device.path;
  EXPECT_EQ(loops().Inspect(device)->backing, backing);
  EXPECT_EQ(loops().Inspect(device)->label, "label");
  EXPECT_EQ(sys::FindByBacking(*loops().List(), backing)->path, device);
  EXPECT_TRUE(loops().UpdateCapacity(device).ok());
  EXPECT_TRUE(loops().Detach(device, {1, 2}).ok()) << "of another file: nothing is done";
  EXPECT_TRUE(loops().Inspect(device).ok());
  held->hold.reset();
  EXPECT_TRUE(loops().Detach(device, backing).ok());
  EXPECT_EQ(loops().Inspect(device).status().code(), StatusCode::kNotFound);
  EXPECT_TRUE(loops().Detach(device, backing).ok()) << "may be repeated";
  EXPECT_FALSE(sys::FindByBacking(*loops().List(), backing));
}

TEST_P(KernelContract, AFileThatIsNotThereIsNotAttached) {
  EXPECT_EQ(loops().Attach({}, Path("absent"), {"label", false, false}).status().code(),
            StatusCode::kNotFound);
}

TEST_P(KernelContract, ADeviceThatIsInUseIsDetachedAfterItsLastUser) {
  const std::string image = kernel_->MakeImage("a");
  const sys::FileIdentity backing = sys::StatFile(image)->identity;
  auto held = loops().Attach({}, image, {"label", false, false});
  ASSERT_TRUE(held.ok()) << held.status();
  const std::string device = held->device.path;
  ASSERT_TRUE(mounts().MountDevice({}, device, Path("m"), "ext4", {}).ok());
  held->hold.reset();
  EXPECT_EQ(loops().Detach(device, backing).code(), StatusCode::kFailedPrecondition);
  EXPECT_TRUE(mounts().Find(Path("m")).ok());
  ASSERT_TRUE(mounts().Unmount(Path("m")).ok());
  EXPECT_EQ(loops().Inspect(device).status().code(), StatusCode::kNotFound);
}

TEST_P(KernelContract, ADeviceThatClearsItselfGoesWithItsLastUserAndNotBefore) {
  auto held = loops().Attach({}, kernel_->MakeImage("a"), {"label", true, false});
  ASSERT_TRUE(held.ok()) << held.status();
  const std::string device = held->device.path;
  ASSERT_TRUE(mounts().MountDevice({}, device, Path("m"), "ext4", {}).ok());
  held->hold.reset();
  EXPECT_TRUE(loops().Inspect(device).ok());
  ASSERT_TRUE(mounts().Bind(Path("m"), Path("b"), 0).ok());
  ASSERT_TRUE(mounts().Unmount(Path("m")).ok());
  EXPECT_TRUE(loops().Inspect(device).ok()) << "the bind mount keeps it";
  ASSERT_TRUE(mounts().Unmount(Path("b")).ok());
  EXPECT_EQ(loops().Inspect(device).status().code(), StatusCode::kNotFound);
}

TEST_P(KernelContract, WhatIsMountedIsFoundAtItsTargetAlone) {
  auto held = loops().Attach({}, kernel_->MakeImage("a"), {"label", true, false});
  ASSERT_TRUE(held.ok()) << held.status();
  EXPECT_EQ(mounts().Find(Path("m")).status().code(), StatusCode::kNotFound);
  ASSERT_TRUE(mounts().MountDevice({}, held->device.path, Path("m"), "ext4", {}).ok());
  const auto found = mounts().Find(Path("m"));
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->major, held->device.major);
  EXPECT_EQ(found->minor, held->device.minor);
  ASSERT_TRUE(mounts().Bind(Path("m"), Path("b"), MS_RDONLY).ok());
  const auto listed = mounts().List();
  const sys::MountEntry* bound = sys::FindMount(*listed, Path("b"));
  ASSERT_NE(bound, nullptr);
  EXPECT_TRUE(bound->read_only());
  EXPECT_EQ(bound->minor, held->device.minor);
  EXPECT_FALSE(sys::FindMount(*listed, Path("m"))->read_only());
  for (const char* target : {"b", "m", "m"}) {
    EXPECT_TRUE(mounts().Unmount(Path(target)).ok()) << "nothing mounted is OK";
    EXPECT_TRUE(mounts().RemoveTarget(Path(target)).ok());
  }
  EXPECT_EQ(mounts().Find(Path("m")).status().code(), StatusCode::kNotFound);
}

TEST_P(KernelContract, ABoundDeviceNodeIsFoundAsTheDevice) {
  auto held = loops().Attach({}, kernel_->MakeImage("a"), {"label", false, false});
  ASSERT_TRUE(held.ok()) << held.status();
  ASSERT_TRUE(mounts().Bind(held->device.path, Path("node"), 0).ok());
  const auto found = mounts().Find(Path("node"));
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->node_major, held->device.major);
  EXPECT_EQ(found->node_minor, held->device.minor);
  const auto listed = mounts().List();
  const sys::MountEntry* entry = sys::FindMount(*listed, Path("node"));
  ASSERT_NE(entry, nullptr);
  EXPECT_EQ(entry->root, held->device.path.substr(held->device.path.rfind('/')));
  EXPECT_TRUE(mounts().Unmount(Path("node")).ok());
}

TEST_P(KernelContract, NothingIsMountedOrBoundThatIsNotThere) {
  EXPECT_FALSE(mounts().MountDevice({}, "/dev/loop99999", Path("m"), "ext4", {}).ok());
  EXPECT_EQ(mounts().Bind(Path("absent"), Path("b"), 0).code(), StatusCode::kNotFound);
  EXPECT_EQ(mounts().Find(Path("m")).status().code(), StatusCode::kNotFound);
}

}  // namespace ashlar::node_agent
