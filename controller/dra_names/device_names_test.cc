#include "controller/dra_names/device_names.h"

#include <set>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ashlar::controller {
namespace {

constexpr char kUuid[] = "GPU-7A1f03bc-91d2-5e3f-8a4b-0123456789ab";

TEST(DeviceNames, FollowFromTheUuidTheProfileAndThePlace) {
  EXPECT_EQ(GpuDeviceName(kUuid), "gpu-7a1f03bc-91d2");
  EXPECT_EQ(GpuPartDeviceName(kUuid, "3g.40gb", 4, 4), "mig-7a1f03bc-91d2-3g-40gb-4-4");
  EXPECT_EQ(GpuPartDeviceName(kUuid, "1g.24gb+me.all", 0, 1),
            "mig-7a1f03bc-91d2-1g-24gb-plus-me-all-0-1");
}

// The names of NVIDIA's data centre GPUs and of its workstation GPUs, and some that nobody has.
const std::vector<std::string> kProfiles = {"1g.5gb",
                                            "1g.10gb",
                                            "1g.10gb+me",
                                            "1g.24gb-me",
                                            "1g.24gb+me.all",
                                            "1g.24gb+gfx",
                                            "2g.48gb+me.all",
                                            "2g.48gb-me",
                                            "7g.141gb",
                                            "12g.1024gb+gfx+me.all",
                                            "1C.2g.10gb",
                                            "a name",
                                            std::string(90, 'x'),
                                            std::string(91, 'x'),
                                            ""};
const std::vector<std::string> kUuids = {kUuid, "GPU-7a1f03bc-91d3-5e3f-8a4b-0123456789ab",
                                         "GPU-short", "something else", ""};

TEST(DeviceNames, AreDnsLabelsAndUnique) {
  std::set<std::string> names;
  size_t count = 0;
  const auto note = [&](const std::string& name) {
    ++count;
    EXPECT_THAT(name, testing::MatchesRegex("[a-z]([a-z0-9-]*[a-z0-9])?"));
    EXPECT_LE(name.size(), 63u);
    EXPECT_TRUE(names.insert(name).second) << name;
  };
  for (const std::string& uuid : kUuids) {
    note(GpuDeviceName(uuid));
    for (const std::string& profile : kProfiles)
      for (int size : {1, 2, 4, 8, 16})
        for (int start = 0; start < 16; ++start)
          note(GpuPartDeviceName(uuid, profile, start, size));
  }
  EXPECT_EQ(names.size(), count);
}

TEST(DeviceNames, SelectorsNameOneDeviceAndMeetNoAbsentAttribute) {
  EXPECT_EQ(SelectGpu("GPU-a\"b"),
            "device.driver == \"gpu.ashlar.dev\" && "
            "device.attributes[\"gpu.ashlar.dev\"].type == \"gpu\" && "
            "device.attributes[\"gpu.ashlar.dev\"].uuid == \"GPU-a\\\"b\"");
  EXPECT_EQ(SelectGpuPart("GPU-a", "3g.40gb", 4, 4),
            "device.driver == \"gpu.ashlar.dev\" && "
            "device.attributes[\"gpu.ashlar.dev\"].type == \"mig\" && "
            "device.attributes[\"gpu.ashlar.dev\"].parentUUID == \"GPU-a\" && "
            "device.attributes[\"gpu.ashlar.dev\"].profile == \"3g.40gb\" && "
            "device.attributes[\"gpu.ashlar.dev\"].placementStart == 4 && "
            "device.attributes[\"gpu.ashlar.dev\"].placementSize == 4");
}

}  // namespace
}  // namespace ashlar::controller
