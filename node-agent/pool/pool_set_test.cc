#include "node-agent/pool/pool_set.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/testing/temporary_directory.h"
#include "lib/system/files.h"
#include "lib/system/loop_devices.h"
#include "node-agent/storage/media.h"

namespace ashlar::node_agent {
namespace {

using ::testing::HasSubstr;

TEST(PoolSet, ADirectoryOutsideTheAllowedOnesIsRefusedWithTheirNamesAndTheWayToAddIt) {
  const TemporaryDirectory temporary;
  const std::string allowed = temporary.path() + "/allowed";
  sys::PosixCommandRunner commands;
  sys::KernelMountTable mounts;
  sys::KernelLoopDevices loops;
  DriveScanner scanner(mounts, loops);
  const std::string state = temporary.path() + "/state";
  const PoolEnvironment environment{commands, mounts, scanner, state, {"/elsewhere", allowed}};
  PoolSet pools(state, PoolMedia(environment));
  ASSERT_EQ(pools.Load({}), absl::OkStatus());
  PoolSpec spec;
  spec.name = "p";
  spec.uid = "u";
  for (const std::string& path : {temporary.path() + "/other", allowed + "-too"}) {
    spec.directory = DirectorySource{path, 0};
    const auto status = pools.Ensure({}, spec);
    ASSERT_TRUE(status.ok()) << status.status();
    EXPECT_FALSE(status->ready);
    EXPECT_EQ(status->reason, "DirectoryNotAllowed");
    for (const std::string& word :
         {path + " ", absl::StrCat("(/elsewhere, ", allowed, ")"), std::string("node.directories")})
      EXPECT_THAT(status->message, HasSubstr(word));
    EXPECT_FALSE(sys::Exists(path));
  }
  for (const std::string& path : {allowed, allowed + "/below"}) {
    spec.directory = DirectorySource{path, 0};
    EXPECT_TRUE(pools.Ensure({}, spec)->ready) << path;
    ASSERT_EQ(pools.Remove({}, "p"), absl::OkStatus());
  }
}

}  // namespace
}  // namespace ashlar::node_agent
