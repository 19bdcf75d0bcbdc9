#include "node-agent/testing/backend_contract.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "lib/system/files.h"
#include "node-agent/volume/superblock.h"

namespace ashlar::node_agent {
namespace {

using absl::StatusCode;

constexpr int64_t kSmall = 20 * kMiB;
constexpr char kPattern[] = "a tenant's secret";

// Into a volume's image or device, at each of the places, which are `step` apart.
void WriteAll(const StoredVolume& volume, int64_t begin, int64_t end, int64_t step,
              const std::string& bytes) {
  const auto fd = sys::OpenFile(volume.path, O_RDWR);
  ASSERT_TRUE(fd.ok()) << fd.status();
  for (int64_t at = begin; at < end; at += step)
    ASSERT_EQ(pwrite(fd->get(), bytes.data(), bytes.size(), at),
              static_cast<ssize_t>(bytes.size()));
  ASSERT_EQ(fsync(fd->get()), 0);
}

void Write(const StoredVolume& volume, int64_t at, const std::string& bytes) {
  WriteAll(volume, at, at + 1, 1, bytes);
}

std::string Read(const StoredVolume& volume, int64_t at, size_t bytes) {
  const auto fd = sys::OpenFile(volume.path, O_RDONLY);
  std::string read(bytes, '?');
  if (!fd.ok() || pread(fd->get(), read.data(), bytes, at) != static_cast<ssize_t>(bytes))
    return "unreadable";
  return read;
}

int64_t SizeOf(const StoredVolume& volume) {
  const auto fd = sys::OpenFile(volume.path, O_RDONLY);
  return fd.ok() ? lseek(fd->get(), 0, SEEK_END) : -1;
}

// One pattern in each MiB.
void Fill(const StoredVolume& volume) { WriteAll(volume, 512, volume.size_bytes, kMiB, kPattern); }

int64_t CountIn(absl::string_view bytes) {
  int64_t found = 0;
  for (size_t hit = bytes.find(kPattern); hit != absl::string_view::npos;
       hit = bytes.find(kPattern, hit + 1))
    ++found;
  return found;
}

// In a file or device; -1: it cannot be read.
int64_t CountInFile(const std::string& path, int flags) {
  const std::unique_ptr<char, decltype(&free)> buffer(static_cast<char*>(aligned_alloc(4096, kMiB)),
                                                      &free);
  const auto fd = sys::OpenFile(path, O_RDONLY | flags);
  EXPECT_TRUE(fd.ok()) << fd.status();
  if (!fd.ok()) return -1;
  int64_t found = 0;
  ssize_t n = 0;
  while ((n = read(fd->get(), buffer.get(), kMiB)) > 0)
    found += CountIn({buffer.get(), static_cast<size_t>(n)});
  EXPECT_EQ(n, 0) << path;
  return n == 0 ? found : -1;
}

int64_t CountPatterns(const StoredVolume& volume) { return CountInFile(volume.path, 0); }

// Past all caches.
int64_t CountOnMedium(const std::vector<std::string>& raw) {
  int64_t found = 0;
  for (const std::string& path : raw) {
    const int64_t in_file = CountInFile(path, O_DIRECT);
    if (in_file < 0) return -1;
    found += in_file;
  }
  return found;
}

// A file of a directory, as Fill takes it.
StoredVolume FileIn(StoredVolume volume) {
  volume.path += "/file";
  volume.size_bytes = kSmall / 2;
  return volume;
}

// Into the image or device, or into a file of the directory.
void FillWhateverItIs(const StoredVolume& volume) {
  if (volume.form != VolumeForm::kDirectory) return Fill(volume);
  const StoredVolume file = FileIn(volume);
  ASSERT_TRUE(sys::OpenFile(file.path, O_RDWR | O_CREAT, 0600).ok());
  Fill(file);
}

int64_t EntriesIn(const StoredVolume& volume) {
  return static_cast<int64_t>(sys::ListDirectory(volume.path)->size());
}

// In files of a directory that have room nobody wrote to: reserved, and as a hole. They go again.
int64_t CountInNewFiles(const StoredVolume& volume) {
  int64_t found = 0;
  for (const bool reserved : {true, false}) {
    const StoredVolume file = FileIn(volume);
    const auto fd = sys::OpenFile(file.path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    EXPECT_TRUE(fd.ok()) << fd.status();
    if (!fd.ok()) return -1;
    const int sized = reserved ? posix_fallocate(fd->get(), 0, file.size_bytes)
                               : ftruncate(fd->get(), file.size_bytes);
    EXPECT_EQ(sized, 0);
    found += CountPatterns(file);
    EXPECT_EQ(unlink(file.path.c_str()), 0);
  }
  return found;
}

}  // namespace

void BackendContract::SetUp() {
  tested_ = GetParam().make();
  ASSERT_NE(tested_, nullptr);
  ASSERT_TRUE(backend().List()->empty());
  // For docs/backends.md.
  const BackendTraits traits = backend().Traits();
  RecordProperty("block", traits.block);
  RecordProperty("fsTypes", absl::StrJoin(traits.fs_types, ", "));
  RecordProperty("grow", traits.grow);
  RecordProperty("copy", traits.copy);
  RecordProperty("granularityMiB", static_cast<int>(GetParam().granularity_bytes / kMiB));
}

absl::StatusOr<StoredVolume> BackendContract::Create(const std::string& id, int64_t size_bytes,
                                                     const std::string& fs_type,
                                                     const std::string& source, VolumeKind kind,
                                                     const std::string& drive) {
  const BackendTraits traits = backend().Traits();
  VolumeFacts facts;
  facts.id = id;
  facts.pool = "p";
  facts.pool_uid = "uid-1";
  facts.fs_type = fs_type.empty() && !traits.block ? traits.fs_types.at(0) : fs_type;
  facts.mode = facts.fs_type.empty() ? VolumeMode::kBlock : VolumeMode::kFilesystem;
  facts.source = source;
  facts.kind = kind;
  return backend().Create({}, facts, size_bytes, drive);
}

bool BackendContract::HasSize(const StoredVolume& volume, int64_t size_bytes) {
  return volume.size_bytes >= size_bytes &&
         volume.size_bytes - size_bytes < GetParam().granularity_bytes;
}

TEST_P(BackendContract, AVolumeIsFoundAsItWasMadeUntilItIsRemoved) {
  const auto made = Create("v", kSmall);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_TRUE(HasSize(*made, kSmall)) << made->size_bytes;
  for (const bool reopened : {false, true}) {
    SCOPED_TRACE(reopened);
    if (reopened) tested_->Reopen();
    const auto found = backend().Find("v");
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_EQ(found->facts, made->facts);
    EXPECT_EQ(found->size_bytes, made->size_bytes);
    EXPECT_EQ(backend().Prepare({}, "v")->path, made->path);
    ASSERT_EQ(backend().List()->size(), 1u);
    EXPECT_EQ(backend().List()->front().facts, made->facts);
    EXPECT_EQ(backend().Usage()->allocated_bytes, made->size_bytes);
  }
  EXPECT_TRUE(backend().Remove({}, "v").ok());
  EXPECT_EQ(backend().Find("v").status().code(), StatusCode::kNotFound);
  EXPECT_TRUE(backend().List()->empty());
  EXPECT_TRUE(backend().Remove({}, "v").ok()) << "absent is OK";
  tested_->Reopen();
  EXPECT_TRUE(backend().List()->empty());
}

TEST_P(BackendContract, AFilesystemVolumeIsFormattedAndClean) {
  const std::vector<std::string> types = backend().Traits().fs_types;
  if (std::count(types.begin(), types.end(), "ext4") == 0)
    GTEST_SKIP() << "makes its volumes of another filesystem";
  const auto made = Create("v", kSmall, "ext4");
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(SizeOf(*made), made->size_bytes);
  const auto state = ParseSuperblock("ext4", *sys::ReadHead(made->path, kSuperblockBytes));
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_FALSE(state->needs_check);
  EXPECT_EQ(state->size_bytes, made->size_bytes);
}

TEST_P(BackendContract, WhatTheTraitsLeaveOutIsRefused) {
  const BackendTraits traits = backend().Traits();
  if (!traits.block) {
    VolumeFacts facts{"v", "p", "uid-1", VolumeMode::kBlock, ""};
    EXPECT_EQ(backend().Create({}, facts, kSmall, "").status().code(), StatusCode::kUnimplemented);
  }
  ASSERT_TRUE(Create("source", kSmall).ok());
  if (!traits.copy) {
    EXPECT_EQ(Create("v", kSmall, "", "source").status().code(), StatusCode::kUnimplemented);
  }
  if (!traits.grow) {
    EXPECT_EQ(backend().Grow({}, "source", 4 * kSmall).status().code(), StatusCode::kUnimplemented);
  }
  EXPECT_EQ(backend().List()->size(), 1u);
}

TEST_P(BackendContract, AVolumeThatExistsIsNotMadeAgain) {
  const auto made = Create("v", kSmall);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(Create("v", 2 * kSmall).status().code(), StatusCode::kAlreadyExists);
  EXPECT_EQ(backend().Find("v")->size_bytes, made->size_bytes);
}

TEST_P(BackendContract, TheLargestVolumeCanBeHadAndNoMoreAndNothingIsLeftOfARefusal) {
  const PoolUsage before = *backend().Usage();
  ASSERT_GE(before.largest_bytes, kSmall);
  ASSERT_LE(before.largest_bytes, before.allocatable_bytes);
  ASSERT_LE(before.allocatable_bytes, before.capacity_bytes);
  ASSERT_EQ(Create("v", before.largest_bytes + kMiB).status().code(),
            StatusCode::kResourceExhausted);
  EXPECT_TRUE(backend().List()->empty());
  EXPECT_EQ(backend().Usage()->allocatable_bytes, before.allocatable_bytes);
  ASSERT_TRUE(Create("v", before.largest_bytes).ok());
  EXPECT_EQ(backend().Usage()->allocated_bytes, before.largest_bytes);
  ASSERT_TRUE(backend().Remove({}, "v").ok());
  EXPECT_EQ(backend().Usage()->allocated_bytes, 0);
  EXPECT_EQ(backend().Usage()->largest_bytes, before.largest_bytes);
}

TEST_P(BackendContract, AVolumeGrowsKeepsItsBytesAndNeverShrinks) {
  if (!backend().Traits().grow) GTEST_SKIP() << "volumes of this backend keep their size";
  const auto made = Create("v", kSmall);
  ASSERT_TRUE(made.ok()) << made.status();
  if (backend().Traits().block) Write(*made, kMiB, kPattern);
  EXPECT_TRUE(HasSize(*backend().Grow({}, "v", 2 * kSmall), 2 * kSmall));
  const int64_t grown = backend().Grow({}, "v", 5 * kMiB)->size_bytes;
  EXPECT_GE(grown, 2 * kSmall);
  EXPECT_EQ(backend().Find("v")->size_bytes, grown);
  if (backend().Traits().block) {
    EXPECT_EQ(SizeOf(*backend().Prepare({}, "v")), grown);
    EXPECT_EQ(CountPatterns(*backend().Find("v")), 1);
  }
  const int64_t left = backend().Usage()->allocatable_bytes;
  EXPECT_EQ(backend().Grow({}, "v", grown + left + kMiB).status().code(),
            StatusCode::kResourceExhausted);
  EXPECT_EQ(backend().Find("v")->size_bytes, grown);
  EXPECT_EQ(backend().Grow({}, "absent", kSmall).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(backend().Prepare({}, "absent").status().code(), StatusCode::kNotFound);
}

TEST_P(BackendContract, TheNextTenantSeesNothingOfTheLast) {
  if (!backend().Traits().block) {
    // What a tenant reaches through a filesystem: files, and bytes of a file that it did not write.
    for (const char* id : {"first", "next"}) {
      const auto made = Create(id, kSmall);
      ASSERT_TRUE(made.ok()) << made.status();
      EXPECT_EQ(EntriesIn(*made), 0) << id;
      EXPECT_EQ(CountInNewFiles(*made), 0) << id;
      FillWhateverItIs(*made);
      EXPECT_GT(CountPatterns(FileIn(*made)), 0);
      ASSERT_TRUE(backend().Remove({}, id).ok());
    }
    return;
  }
  const int64_t all = backend().Usage()->largest_bytes;
  const auto first = Create("first", all);
  ASSERT_TRUE(first.ok()) << first.status();
  Fill(*first);
  ASSERT_EQ(CountPatterns(*first), first->size_bytes / kMiB);
  ASSERT_TRUE(backend().Remove({}, "first").ok());
  const auto next = Create("next", all);
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_EQ(CountPatterns(*next), 0);
  ASSERT_TRUE(backend().Remove({}, "next").ok());
  if (!backend().Traits().grow) return;
  const auto small = Create("growing", kSmall);
  ASSERT_TRUE(small.ok()) << small.status();
  const int64_t left = backend().Usage()->allocatable_bytes;
  EXPECT_GT(left, all - 2 * kSmall);
  const auto grown = backend().Grow({}, "growing", small->size_bytes + left);
  ASSERT_TRUE(grown.ok()) << grown.status();
  EXPECT_EQ(CountPatterns(*backend().Prepare({}, "growing")), 0);
}

TEST_P(BackendContract, NoByteOfARemovedVolumeIsLeftOnTheMedium) {
  const auto made = Create("v", kSmall);
  ASSERT_TRUE(made.ok()) << made.status();
  if (tested_->Raw().empty()) GTEST_SKIP() << "its medium is not looked at in this lab";
  FillWhateverItIs(*made);
  EXPECT_GT(CountOnMedium(tested_->Raw()), 0) << "it is looked for where it never was";
  ASSERT_TRUE(backend().Remove({}, "v").ok());
  // Filesystems free and trim in the background.
  int64_t left = 1;
  for (int round = 0; round < 300 && left != 0; ++round) {
    left = CountOnMedium(tested_->Raw());
    if (left != 0) absl::SleepFor(absl::Milliseconds(100));
  }
  EXPECT_EQ(left, 0);
}

TEST_P(BackendContract, ACopyHasTheBytesOfItsMomentAndOutlivesItsSource) {
  if (!backend().Traits().copy || !backend().Traits().block)
    GTEST_SKIP() << "this backend makes no copies of block volumes";
  const auto source = Create("source", kSmall);
  ASSERT_TRUE(source.ok()) << source.status();
  Write(*source, kMiB, kPattern);
  const auto snapshot = Create("snapshot", source->size_bytes, "", "source", VolumeKind::kSnapshot);
  ASSERT_TRUE(snapshot.ok()) << snapshot.status();
  Write(*source, 3 * kMiB, kPattern);
  const auto clone = Create("clone", 2 * kSmall, "", "source");
  ASSERT_TRUE(clone.ok()) << clone.status();
  const auto restored = Create("restored", source->size_bytes, "", "snapshot");
  ASSERT_TRUE(restored.ok()) << restored.status();
  ASSERT_TRUE(backend().Remove({}, "source").ok());
  tested_->Reopen();
  EXPECT_EQ(backend().Find("snapshot")->facts.kind, VolumeKind::kSnapshot);
  EXPECT_EQ(backend().Find("snapshot")->facts.source, "source");
  EXPECT_EQ(CountPatterns(*backend().Prepare({}, "snapshot")), 1);
  EXPECT_EQ(CountPatterns(*backend().Prepare({}, "restored")), 1);
  EXPECT_EQ(CountPatterns(*backend().Prepare({}, "clone")), 2);
  EXPECT_TRUE(HasSize(*backend().Find("clone"), 2 * kSmall));
  Write(*backend().Prepare({}, "restored"), 5 * kMiB, kPattern);
  ASSERT_TRUE(backend().Remove({}, "snapshot").ok());
  EXPECT_EQ(CountPatterns(*backend().Prepare({}, "restored")), 2);
  EXPECT_EQ(CountPatterns(*backend().Prepare({}, "clone")), 2);
  EXPECT_EQ(Create("none", kSmall, "", "absent").status().code(), StatusCode::kNotFound);
  for (const char* id : {"clone", "restored"}) ASSERT_TRUE(backend().Remove({}, id).ok());
  EXPECT_EQ(backend().Usage()->allocated_bytes, 0);
}

// A volume that shares its bytes with a snapshot needs a new place for each that it writes.
TEST_P(BackendContract, AVolumeCanBeWrittenAllOverWhateverCopiesThereAreAndHoweverFullThePoolIs) {
  if (!backend().Traits().copy || !backend().Traits().block)
    GTEST_SKIP() << "this backend makes no copies of block volumes";
  const auto rewrite = [](const StoredVolume& volume, char byte) {
    WriteAll(volume, 0, volume.size_bytes, kMiB, std::string(kMiB, byte));
  };
  const int64_t size = backend().Usage()->largest_bytes / 4 / kMiB * kMiB;
  const auto source = Create("source", size);
  ASSERT_TRUE(source.ok()) << source.status();
  rewrite(*source, 'a');
  ASSERT_TRUE(Create("snapshot", source->size_bytes, "", "source", VolumeKind::kSnapshot).ok());
  const auto clone = Create("clone", source->size_bytes, "", "source");
  ASSERT_TRUE(clone.ok()) << clone.status();
  const int64_t rest = backend().Usage()->largest_bytes;
  ASSERT_LT(rest, size + size / 2) << "copies were promised nothing";
  const auto filler = Create("filler", rest);
  ASSERT_TRUE(filler.ok()) << filler.status();
  for (const StoredVolume& volume : {*source, *clone, *filler}) rewrite(volume, 'z');
  const auto snapshot = backend().Prepare({}, "snapshot");
  ASSERT_TRUE(snapshot.ok()) << snapshot.status();
  EXPECT_EQ(Read(*snapshot, size - 1, 1), "a");
  EXPECT_EQ(Create("more", source->size_bytes, "", "source", VolumeKind::kSnapshot).status().code(),
            StatusCode::kResourceExhausted);
  for (const char* id : {"source", "snapshot", "clone", "filler"})
    ASSERT_TRUE(backend().Remove({}, id).ok());
  EXPECT_EQ(backend().Usage()->allocated_bytes, 0);
}

}  // namespace ashlar::node_agent
