#include "node-agent/limits/io_cgroups.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/testing/temporary_directory.h"
#include "lib/system/files.h"

namespace ashlar::node_agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr char kPod[] = "0b9a1c2d-1111-2222-3333-444455556666";
constexpr DeviceNumber kDevice = {7, 3};
constexpr IoLimits kLimits = {100, 200, 4096, 8192};

void MakeFile(const std::string& path, const std::string& text = "") {
  ASSERT_EQ(sys::WritePage(path, text), absl::OkStatus());
}

std::string MakeBlkioGroup(const std::string& path) {
  EXPECT_EQ(sys::EnsureDirectory(path), absl::OkStatus());
  for (const char* file :
       {"read_bps_device", "write_bps_device", "read_iops_device", "write_iops_device"})
    MakeFile(absl::StrCat(path, "/blkio.throttle.", file));
  return path;
}

std::string MakeUnifiedGroup(const std::string& path) {
  EXPECT_EQ(sys::EnsureDirectory(path), absl::OkStatus());
  MakeFile(path + "/io.max");
  return path;
}

// What was written; a file of these tests is a page, filled up with newlines.
std::string Written(const std::string& path) {
  const std::string text = sys::ReadFile(path).value_or("");
  return text.substr(0, text.find('\n'));
}

TEST(PodOfTarget, IsThePodsUidInBothKindsOfTargetPath) {
  EXPECT_EQ(PodOfTarget("/var/lib/kubelet/pods/u-1/volumes/kubernetes.io~csi/pv-1/mount"), "u-1");
  EXPECT_EQ(
      PodOfTarget("/var/lib/kubelet/plugins/kubernetes.io/csi/volumeDevices/publish/pv-1/u-2"),
      "u-2");
}

TEST(PodOfTarget, IsEmptyForOtherPaths) {
  for (const char* path : {"", "/", "/mnt/data", "/pods", "/a/pods/u-1", "/a/pods/u-1/other/x",
                           "/a/volumeDevices/publish/pv-1", "/a/volumeDevices/staging/pv-1/u-2",
                           "/a/volumeDevices/publish/pv-1/u-2/more"})
    EXPECT_EQ(PodOfTarget(path), "") << path;
}

TEST(FindIoCgroups, SaysWhatIsMissingWhereBlockIoCannotBeLimited) {
  const TemporaryDirectory directory;
  const auto groups = FindIoCgroups(directory.path());
  const absl::Status status = groups->GroupsOf(kPod).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr(directory.path()));
  EXPECT_FALSE(groups->grows());
}

TEST(FindIoCgroups, TakesBlkioWhereItIsMountedAndUnifiedOnlyWithTheControllerIo) {
  const TemporaryDirectory directory;
  MakeFile(directory.path() + "/cgroup.controllers", "cpuset cpu memory\n");
  EXPECT_FALSE(FindIoCgroups(directory.path())->GroupsOf(kPod).ok());
  MakeFile(directory.path() + "/cgroup.controllers", "cpuset cpu io memory\n");
  EXPECT_TRUE(absl::IsNotFound(FindIoCgroups(directory.path())->GroupsOf(kPod).status()));
  EXPECT_FALSE(FindIoCgroups(directory.path())->grows());
  MakeBlkioGroup(directory.path() + "/blkio");
  EXPECT_TRUE(FindIoCgroups(directory.path())->grows());
}

TEST(BlkioCgroups, FindsThePodBelowAnyParentWithTheGroupsOfItsContainers) {
  const TemporaryDirectory directory;
  MakeBlkioGroup(directory.path());
  MakeBlkioGroup(directory.path() + "/lab-1/kubepods/burstable/podother");
  const std::string pod =
      MakeBlkioGroup(absl::StrCat(directory.path(), "/lab-2/kubepods/besteffort/pod", kPod));
  const std::string container = MakeBlkioGroup(pod + "/c1");
  BlkioCgroups groups(directory.path());
  const auto found = groups.GroupsOf(kPod);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_THAT(*found, ElementsAre(pod, container));
}

TEST(BlkioCgroups, FindsASliceOfSystemd) {
  const TemporaryDirectory directory;
  MakeBlkioGroup(directory.path());
  const std::string pod =
      MakeBlkioGroup(directory.path() +
                     "/kubepods.slice/kubepods-burstable.slice/"
                     "kubepods-burstable-pod0b9a1c2d_1111_2222_3333_444455556666.slice");
  BlkioCgroups groups(directory.path());
  const auto found = groups.GroupsOf(kPod);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_THAT(*found, ElementsAre(pod));
}

TEST(BlkioCgroups, APodWithoutAGroupIsNotFoundAndNamed) {
  const TemporaryDirectory directory;
  MakeBlkioGroup(directory.path() + "/kubepods/podother");
  BlkioCgroups groups(directory.path());
  const absl::Status status = groups.GroupsOf(kPod).status();
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(kPod));
  EXPECT_TRUE(absl::IsNotFound(groups.GroupsOf("").status()));
}

TEST(BlkioCgroups, WritesEachLimitAndZeroForNone) {
  const TemporaryDirectory directory;
  const std::string group = MakeBlkioGroup(directory.path() + "/g");
  BlkioCgroups groups(directory.path());
  ASSERT_EQ(groups.Limit(group, kDevice, kLimits), absl::OkStatus());
  EXPECT_EQ(Written(group + "/blkio.throttle.read_iops_device"), "7:3 100");
  EXPECT_EQ(Written(group + "/blkio.throttle.write_iops_device"), "7:3 200");
  EXPECT_EQ(Written(group + "/blkio.throttle.read_bps_device"), "7:3 4096");
  EXPECT_EQ(Written(group + "/blkio.throttle.write_bps_device"), "7:3 8192");
  ASSERT_EQ(groups.Limit(group, kDevice, {}), absl::OkStatus());
  EXPECT_EQ(Written(group + "/blkio.throttle.read_bps_device"), "7:3 0");
}

TEST(BlkioCgroups, ManyOperationsAreTheMostThatTheKernelKeeps) {
  const TemporaryDirectory directory;
  const std::string group = MakeBlkioGroup(directory.path() + "/g");
  ASSERT_EQ(BlkioCgroups(directory.path()).Limit(group, kDevice, {int64_t{1} << 40, 0, 0, 0}),
            absl::OkStatus());
  EXPECT_EQ(Written(group + "/blkio.throttle.read_iops_device"), "7:3 4294967295");
}

TEST(BlkioCgroups, AGroupThatIsGoneIsNotFound) {
  const TemporaryDirectory directory;
  EXPECT_TRUE(absl::IsNotFound(
      BlkioCgroups(directory.path()).Limit(directory.path() + "/gone", kDevice, kLimits)));
}

TEST(IoMaxCgroups, LimitsThePodsGroupAlone) {
  const TemporaryDirectory directory;
  const std::string pod = MakeUnifiedGroup(absl::StrCat(directory.path(), "/kubepods/pod", kPod));
  MakeUnifiedGroup(pod + "/c1");
  IoMaxCgroups groups(directory.path());
  const auto found = groups.GroupsOf(kPod);
  ASSERT_TRUE(found.ok()) << found.status();
  ASSERT_THAT(*found, ElementsAre(pod));
  ASSERT_EQ(groups.Limit(pod, kDevice, kLimits), absl::OkStatus());
  EXPECT_EQ(Written(pod + "/io.max"), "7:3 rbps=4096 wbps=8192 riops=100 wiops=200");
  ASSERT_EQ(groups.Limit(pod, kDevice, {0, 200, 0, 0}), absl::OkStatus());
  EXPECT_THAT(Written(pod + "/io.max"), StartsWith("7:3 rbps=max wbps=max riops=max wiops=200"));
}

TEST(IoMaxCgroups, APodWithoutTheControllerSaysHowToEnableIt) {
  const TemporaryDirectory directory;
  const std::string pod = absl::StrCat(directory.path(), "/kubepods.slice/kubepods-pod",
                                       "0b9a1c2d_1111_2222_3333_444455556666.slice");
  ASSERT_EQ(sys::EnsureDirectory(pod), absl::OkStatus());
  const absl::Status status = IoMaxCgroups(directory.path()).GroupsOf(kPod).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("DefaultIOAccounting"));
}

}  // namespace
}  // namespace ashlar::node_agent
