// ClaimStack: claims over a kernel, volumes and GPUs that a test makes, with real journals and CDI
// files. Start takes the place of an agent that is started, again or for the first time.
#pragma once

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "lib/base/testing/temporary_directory.h"
#include "node-agent/claims/claims.h"
#include "node-agent/testing/fake_backend.h"
#include "node-agent/testing/fake_kernel.h"

namespace ashlar::node_agent {

struct ClaimStack {
  // GPUs are divided by `session`; without one they cannot be.
  explicit ClaimStack(Clock& with, GpuSessionOptions session = {})
      : clock(with), gpu_session(std::move(session)) {
    for (const char* folder : {"/images", "/volumes", "/dev"})
      std::filesystem::create_directory(temporary.path() + folder);
    for (const char* node : {"/dev/nvidia0", "/dev/nvidiactl", "/dev/nvidia-uvm"})
      std::ofstream(temporary.path() + node) << "node";
    auto report = std::make_shared<GpuReport>();
    report->driver.set_state("Ready");
    report->gpus.emplace_back().set_uuid("GPU-a");
    report->gpus.back().set_minor(0);
    gpus = report;
    Start("boot-1");
  }

  void Start(const std::string& boot) {
    claims.reset();
    given.reset();
    parts.reset();
    changes = std::make_unique<SessionGpuChanges>(gpu_session, temporary.path() + "/parts", clock);
    parts = std::make_unique<GpuPartitions>(GpuPartitionsOptions{.boot_id = boot}, *changes,
                                            parts_journal, clock, [] {});
    EXPECT_EQ(parts->Recover({}), absl::OkStatus());
    given = std::make_unique<ClaimGpus>([this] { return gpus; }, *parts, temporary.path());
    volumes = std::make_unique<VolumeManager>(
        VolumeEnvironment{pools, journal, commands, kernel->mounts(), kernel->loops(), clock,
                          attributes},
        PathPolicy({root()}), boot);
    EXPECT_EQ(volumes->Recover({}), absl::OkStatus());
    shown = std::make_unique<ClaimVolumes>(*volumes, root());
    claims = std::make_unique<Claims>(records, *shown, *given, cdi, clock, boot, [this] {
      if (changed) changed();
    });
    EXPECT_EQ(claims->Recover({}), absl::OkStatus());
  }
  std::string root() const { return temporary.path() + "/claims"; }
  void Carve(const std::string& id, VolumeMode mode = VolumeMode::kFilesystem) {
    const std::string fs_type = mode == VolumeMode::kBlock ? "" : "ext4";
    EXPECT_EQ(volumes->Ensure({}, {id, "p", 20 * kMiB, mode, fs_type}).status(), absl::OkStatus());
  }
  bool Shows(const std::string& place) {
    return kernel->mounts().Find(absl::StrCat(root(), "/shown/", place)).ok();
  }
  std::string CdiFile(const std::string& driver, const std::string& uid) const {
    return absl::StrCat(temporary.path(), "/cdi/", driver, "-claim_", uid, ".json");
  }
  // Nothing is attached or mounted, and no file tells of a claim.
  void ExpectNothing() {
    EXPECT_TRUE(kernel->loops().List()->empty());
    EXPECT_TRUE(kernel->mounts().List()->empty());
    for (const std::string folder : {"/cdi", "/claims/shown", "/claims/staged"})
      EXPECT_TRUE(!std::filesystem::exists(temporary.path() + folder) ||
                  std::filesystem::is_empty(temporary.path() + folder))
          << folder;
  }

  Clock& clock;
  TemporaryDirectory temporary;
  std::unique_ptr<FakeKernel> kernel = std::make_unique<FakeKernel>();
  FakePools pools{std::make_shared<FakeBackend>(temporary.path() + "/images", 500 * kMiB)};
  FileJournal journal{temporary.path() + "/volumes"};
  sys::PosixCommandRunner commands;
  AttributeTable attributes{temporary.path() + "/volumes"};
  std::shared_ptr<const GpuReport> gpus;
  ClaimJournal records{temporary.path() + "/records"};
  CdiDirectory cdi{temporary.path() + "/cdi"};
  const GpuSessionOptions gpu_session;
  FilePartitionJournal parts_journal{temporary.path() + "/parts"};
  std::unique_ptr<SessionGpuChanges> changes;
  std::unique_ptr<GpuPartitions> parts;
  std::unique_ptr<ClaimGpus> given;
  std::unique_ptr<VolumeManager> volumes;
  std::unique_ptr<ClaimVolumes> shown;
  std::unique_ptr<Claims> claims;
  std::function<void()> changed;
};

inline ClaimDevice VolumeDevice(const std::string& request, const std::string& volume,
                                const std::string& path, bool read_only = false) {
  return {kNvmeDriver, request, "n1", "drive-1", "", ClaimVolume{volume, path, read_only}};
}
// A volume that was there before the claim.
inline ClaimDevice ExistingVolume(const std::string& request, const std::string& volume,
                                  const std::string& path, bool read_only = false) {
  return {kNvmeDriver, request, "n1", "volume-1", "", ClaimVolume{volume, path, read_only, true}};
}
inline ClaimDevice GpuDevice(const std::string& request, const std::string& uuid) {
  return {kGpuDriver, request, "n1", "gpu-0", "", ClaimGpu{uuid}};
}

}  // namespace ashlar::node_agent
