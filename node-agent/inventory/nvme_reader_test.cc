#include "node-agent/inventory/nvme_reader.h"

#include <filesystem>
#include <fstream>

#include "gtest/gtest.h"
#include "lib/base/testing/simulated_clock.h"
#include "lib/base/testing/temporary_directory.h"
#include "lib/system/testing/fake_nvme_admin.h"

namespace ashlar::node_agent {
namespace {

class NvmeReaderTest : public testing::Test {
 protected:
  NvmeReaderTest() {
    std::filesystem::create_directories(sys_.path() + "/block/nvme0n2");
    std::ofstream(sys_.path() + "/block/nvme0n2/nsid") << "2\n";
    sys::FakeNvmeAdmin::Drive& drive = admin_.drives["/dev/nvme0n2"];
    drive.controller.serial = "S";
    drive.controller.namespace_management = true;
    drive.controller.sanitize_crypto_erase = true;
    drive.controller.capacity_bytes = 1 << 30;
    drive.namespaces[2].size_blocks = 1;
    drive.namespaces[2].eui64 = "0025384300000001";
    drive.namespaces[2].lba_formats = {{0, 512, 0, 0, true}};
    drive.ids[2].uuid = "9c2bd3a4-5a4e-4a0e-8f4e-6f0d7e3c2b1a";
    drive.health = {0, 40, 100, 10, 3, 0};
    Drive found;
    found.id = "S";
    found.device = "/dev/nvme0n2";
    found.transport = "nvme";
    drives_.push_back(found);
  }

  TemporaryDirectory sys_;
  SimulatedClock clock_;
  sys::FakeNvmeAdmin admin_;
  NvmeReader reader_{admin_, clock_, sys_.path()};
  std::vector<Drive> drives_;
};

TEST_F(NvmeReaderTest, AddsWhatTheControllerAndTheNamespaceTell) {
  reader_.Fill(drives_);
  ASSERT_TRUE(drives_[0].nvme.has_value());
  const NvmeFacts& facts = *drives_[0].nvme;
  EXPECT_EQ(facts.nsid, 2u);
  EXPECT_EQ(facts.eui64, "0025384300000001");
  EXPECT_EQ(facts.uuid, "9c2bd3a4-5a4e-4a0e-8f4e-6f0d7e3c2b1a");
  EXPECT_TRUE(facts.namespace_management && facts.sanitize_crypto_erase);
  EXPECT_FALSE(facts.sanitize_overwrite);
  EXPECT_EQ(facts.capacity_bytes, 1 << 30);
  EXPECT_EQ(facts.lba_formats, admin_.drives["/dev/nvme0n2"].namespaces[2].lba_formats);
  EXPECT_EQ(drives_[0].health, admin_.drives["/dev/nvme0n2"].health);
}

TEST_F(NvmeReaderTest, WhatIsNotToldIsAbsent) {
  admin_.drives["/dev/nvme0n2"].ids.clear();
  admin_.drives["/dev/nvme0n2"].namespaces.clear();
  reader_.Fill(drives_);
  ASSERT_TRUE(drives_[0].nvme.has_value());
  EXPECT_TRUE(drives_[0].nvme->namespace_management);
  EXPECT_EQ(drives_[0].nvme->eui64, "");
  EXPECT_TRUE(drives_[0].nvme->lba_formats.empty());
  admin_.drives.clear();  // no permission, or it is gone
  reader_.ForgetHealth();
  reader_.Fill(drives_);
  EXPECT_FALSE(drives_[0].nvme.has_value());
  EXPECT_FALSE(drives_[0].health.has_value());
}

TEST_F(NvmeReaderTest, OthersGetNoCommands) {
  drives_[0].transport = "sata";
  reader_.Fill(drives_);
  EXPECT_FALSE(drives_[0].nvme.has_value());
  EXPECT_EQ(admin_.health_reads, 0);
}

TEST_F(NvmeReaderTest, TheHealthIsReadRarelyUnlessItChanged) {
  for (int i = 0; i < 3; ++i) reader_.Fill(drives_);
  EXPECT_EQ(admin_.health_reads, 1);
  clock_.Advance(kHealthAge);
  reader_.Fill(drives_);
  EXPECT_EQ(admin_.health_reads, 2);
  admin_.drives["/dev/nvme0n2"].health.critical_warnings = sys::kNvmeReadOnly;
  reader_.ForgetHealth();
  reader_.Fill(drives_);
  EXPECT_EQ(drives_[0].health->critical_warnings, sys::kNvmeReadOnly);
}

}  // namespace
}  // namespace ashlar::node_agent
