// What a Create that names its drive promises.
#include "absl/strings/str_cat.h"
#include "node-agent/testing/backend_contract.h"

namespace ashlar::node_agent {
namespace {

using absl::StatusCode;

constexpr int64_t kSmall = 20 * kMiB;

DriveUsage RoomOf(StorageBackend& backend, const std::string& drive) {
  const PoolUsage usage = *backend.Usage();
  for (const DriveUsage& one : usage.drives)
    if (one.id == drive) return one;
  ADD_FAILURE() << "drive " << drive << " is not told";
  return {};
}

}  // namespace

TEST_P(NamedDriveContract, RoomOfDrivesIsThePoolsRoom) {
  const PoolUsage usage = *backend().Usage();
  if (usage.drives.empty()) GTEST_SKIP() << "its volumes lie on no one drive";
  int64_t allocatable = 0, largest = 0;
  for (const DriveUsage& drive : usage.drives) {
    allocatable += drive.allocatable_bytes;
    largest = std::max(largest, drive.largest_bytes);
    EXPECT_LE(drive.largest_bytes, drive.allocatable_bytes) << drive.id;
    EXPECT_LE(drive.allocatable_bytes, drive.capacity_bytes) << drive.id;
  }
  EXPECT_EQ(allocatable, usage.allocatable_bytes);
  EXPECT_LE(largest, usage.largest_bytes);
}

TEST_P(NamedDriveContract, AVolumeLiesOnTheDriveThatIsNamedAndTakesRoomOfItAlone) {
  const std::vector<DriveUsage> drives = backend().Usage()->drives;
  if (drives.empty()) GTEST_SKIP() << "its volumes lie on no one drive";
  for (const DriveUsage& drive : drives) {
    SCOPED_TRACE(drive.id);
    const std::string id = absl::StrCat("v", &drive - drives.data());
    const std::vector<DriveUsage> before = backend().Usage()->drives;
    const auto made = Create(id, kSmall, "", "", VolumeKind::kVolume, drive.id);
    ASSERT_TRUE(made.ok()) << made.status();
    EXPECT_EQ(made->drive, drive.id);
    for (const DriveUsage& was : before) {
      const DriveUsage is = RoomOf(backend(), was.id);
      EXPECT_EQ(is.allocated_bytes - was.allocated_bytes, was.id == drive.id ? made->size_bytes : 0)
          << was.id;
      EXPECT_EQ(is.allocatable_bytes == was.allocatable_bytes, was.id != drive.id) << was.id;
    }
  }
  tested_->Reopen();
  for (const DriveUsage& drive : drives) {
    const std::string id = absl::StrCat("v", &drive - drives.data());
    EXPECT_EQ(backend().Find(id)->drive, drive.id);
    EXPECT_EQ(backend().Prepare({}, id)->drive, drive.id);
  }
  const auto listed = backend().List();
  for (const StoredVolume& volume : *listed) EXPECT_NE(volume.drive, "");
}

TEST_P(NamedDriveContract, AFullDriveIsRefusedThoughAnotherHasRoom) {
  const std::vector<DriveUsage> drives = backend().Usage()->drives;
  if (drives.empty()) GTEST_SKIP() << "its volumes lie on no one drive";
  const DriveUsage& first = drives.front();
  const auto create = [&](const std::string& id, int64_t size, const std::string& drive) {
    return Create(id, size, "", "", VolumeKind::kVolume, drive);
  };
  EXPECT_EQ(create("large", first.largest_bytes + kMiB, first.id).status().code(),
            StatusCode::kResourceExhausted);
  EXPECT_TRUE(backend().List()->empty());
  EXPECT_EQ(RoomOf(backend(), first.id), first) << "something is left of a refusal";
  ASSERT_TRUE(create("full", first.largest_bytes, first.id).ok());
  const int64_t left = RoomOf(backend(), first.id).largest_bytes;
  EXPECT_EQ(create("more", std::max(kSmall, left + kMiB), first.id).status().code(),
            StatusCode::kResourceExhausted);
  if (drives.size() == 1) return;
  EXPECT_EQ(RoomOf(backend(), drives.back().id), drives.back());
  const auto beside = create("beside", kSmall, drives.back().id);
  ASSERT_TRUE(beside.ok()) << beside.status();
  ASSERT_TRUE(backend().Remove({}, "full").ok());
  EXPECT_EQ(RoomOf(backend(), first.id), first);
  if (!backend().Traits().grow) return;
  // It does not go over to another drive when its own is full.
  const int64_t most = RoomOf(backend(), drives.back().id).allocatable_bytes;
  EXPECT_EQ(backend().Grow({}, "beside", beside->size_bytes + most + kMiB).status().code(),
            StatusCode::kResourceExhausted);
  EXPECT_EQ(backend().Grow({}, "beside", beside->size_bytes + most)->drive, drives.back().id);
}

TEST_P(NamedDriveContract, ADriveOnWhichThePoolTakesNoVolumesIsRefusedAndNothingIsLeft) {
  const PoolUsage before = *backend().Usage();
  const auto made = Create("v", kSmall, "", "", VolumeKind::kVolume, "somebody-elses-drive");
  EXPECT_EQ(made.status().code(),
            before.drives.empty() ? StatusCode::kInvalidArgument : StatusCode::kFailedPrecondition);
  EXPECT_TRUE(backend().List()->empty());
  EXPECT_EQ(backend().Usage()->allocated_bytes, before.allocated_bytes);
  EXPECT_EQ(backend().Usage()->allocatable_bytes, before.allocatable_bytes);
  if (!backend().Traits().copy || before.drives.size() < 2) return;
  const auto source = Create("source", kSmall, "", "", VolumeKind::kVolume, before.drives[0].id);
  ASSERT_TRUE(source.ok()) << source.status();
  const auto copy_on = [&](const std::string& drive) {
    return Create("copy", source->size_bytes, "", "source", VolumeKind::kVolume, drive);
  };
  EXPECT_EQ(copy_on(before.drives[1].id).status().code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(copy_on(before.drives[0].id)->drive, before.drives[0].id);
}

}  // namespace ashlar::node_agent
