// What the stand-in promises, asked through the symbols that a program finds.
#define NVML_NO_UNVERSIONED_FUNC_DEFS
#include <dlfcn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>

#include "gtest/gtest.h"
#include "nvml.h"
#include "test/fake_nvml/scene.h"

namespace fake_nvml {
namespace {

void* Library() {
  static void* const library = dlopen(FAKE_NVML_LIBRARY, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) ADD_FAILURE() << dlerror();
  return library;
}
// Calls the function of that name in the library.
#define NVML(function, ...) \
  reinterpret_cast<decltype(&function)>(dlsym(Library(), #function))(__VA_ARGS__)

class FakeNvmlTest : public testing::Test {
 protected:
  void SetUp() override {
    Write({{"gpus",
            {{{"model", "H100-80GB"}, {"pci", "0000:41:00.0"}, {"numaNode", 1}},
             {{"model", "A100-40GB"}, {"pci", "0000:c1:00.0"}},
             {{"model", "L4-24GB"}}}}});
  }
  void TearDown() override {
    NVML(nvmlShutdown);
    for (const char* end : {"", ".state", ".lock"}) std::remove((path_ + end).c_str());
  }
  void Write(const Json& scene) {
    std::ofstream(path_) << scene;
    std::remove((path_ + ".state").c_str());
    ASSERT_EQ(NVML(nvmlInit_v2), NVML_SUCCESS);
  }
  static nvmlDevice_t Device(unsigned index) {
    nvmlDevice_t device{};
    EXPECT_EQ(NVML(nvmlDeviceGetHandleByIndex_v2, index, &device), NVML_SUCCESS);
    return device;
  }
  static nvmlReturn_t ReadTemperature(nvmlDevice_t device) {
    nvmlTemperature_t temperature{};
    temperature.version = nvmlTemperature_v1;
    temperature.sensorType = NVML_TEMPERATURE_GPU;
    return NVML(nvmlDeviceGetTemperatureV, device, &temperature);
  }
  static void EnableMig(nvmlDevice_t device) {
    nvmlReturn_t activation;
    ASSERT_EQ(NVML(nvmlDeviceSetMigMode, device, NVML_DEVICE_MIG_ENABLE, &activation),
              NVML_SUCCESS);
    ASSERT_EQ(activation, NVML_SUCCESS);
  }
  static nvmlGpuInstance_t Create(nvmlDevice_t device, unsigned profile, unsigned start,
                                  unsigned size, nvmlReturn_t expected = NVML_SUCCESS) {
    const nvmlGpuInstancePlacement_t placement{start, size};
    nvmlGpuInstance_t instance{};
    EXPECT_EQ(
        NVML(nvmlDeviceCreateGpuInstanceWithPlacement, device, profile, &placement, &instance),
        expected);
    return instance;
  }
  void Change(const Json& patch) {
    scene_.With([&](Json& state) {
      state.merge_patch(patch);
      return true;
    });
  }
  void ChangeGpu(size_t index, const Json& patch) {
    scene_.With([&](Json& state) {
      state["gpus"][index].merge_patch(patch);
      return true;
    });
  }

  const std::string path_ = [] {
    std::string path = testing::TempDir() + "/scene" + std::to_string(getpid());
    setenv("ASHLAR_FAKE_NVML_SCENE", path.c_str(), 1);
    return path;
  }();
  const Scene scene_{path_};
};

TEST_F(FakeNvmlTest, GpusAreThoseOfTheScene) {
  unsigned count = 0;
  EXPECT_EQ(NVML(nvmlDeviceGetCount_v2, &count), NVML_SUCCESS);
  EXPECT_EQ(count, 3u);
  nvmlPciInfo_t pci;
  EXPECT_EQ(NVML(nvmlDeviceGetPciInfo_v3, Device(0), &pci), NVML_SUCCESS);
  EXPECT_STREQ(pci.busId, "00000000:41:00.0");
  char name[NVML_DEVICE_NAME_V2_BUFFER_SIZE];
  EXPECT_EQ(NVML(nvmlDeviceGetName, Device(1), name, sizeof name), NVML_SUCCESS);
  EXPECT_STREQ(name, "NVIDIA A100-SXM4-40GB");
  unsigned long nodes = 0;
  EXPECT_EQ(NVML(nvmlDeviceGetMemoryAffinity, Device(0), 1, &nodes, NVML_AFFINITY_SCOPE_NODE),
            NVML_SUCCESS);
  EXPECT_EQ(nodes, 2ul);
  unsigned current, pending;
  EXPECT_EQ(NVML(nvmlDeviceGetMigMode, Device(2), &current, &pending), NVML_ERROR_NOT_SUPPORTED);
}

TEST_F(FakeNvmlTest, ADeviceOfAGpuInstanceComesAndGoesWithItsComputeInstance) {
  const nvmlDevice_t gpu = Device(0);
  EnableMig(gpu);
  const nvmlGpuInstance_t instance = Create(gpu, 9, 4, 4);
  nvmlDevice_t mig{};
  EXPECT_EQ(NVML(nvmlDeviceGetMigDeviceHandleByIndex, gpu, 0, &mig), NVML_ERROR_NOT_FOUND);
  nvmlComputeInstance_t compute{};
  ASSERT_EQ(NVML(nvmlGpuInstanceCreateComputeInstance, instance,
                 NVML_COMPUTE_INSTANCE_PROFILE_3_SLICE, &compute),
            NVML_SUCCESS);
  ASSERT_EQ(NVML(nvmlDeviceGetMigDeviceHandleByIndex, gpu, 0, &mig), NVML_SUCCESS);
  char uuid[NVML_DEVICE_UUID_V2_BUFFER_SIZE];
  EXPECT_EQ(NVML(nvmlDeviceGetUUID, mig, uuid, sizeof uuid), NVML_SUCCESS);
  EXPECT_EQ(std::string(uuid).substr(0, 4), "MIG-");
  unsigned id = 99;
  EXPECT_EQ(NVML(nvmlDeviceGetGpuInstanceId, mig, &id), NVML_SUCCESS);
  EXPECT_EQ(id, 1u);
  EXPECT_EQ(NVML(nvmlGpuInstanceDestroy, instance), NVML_ERROR_IN_USE);
  EXPECT_EQ(NVML(nvmlComputeInstanceDestroy, compute), NVML_SUCCESS);
  EXPECT_EQ(NVML(nvmlGpuInstanceDestroy, instance), NVML_SUCCESS);
  EXPECT_EQ(NVML(nvmlGpuInstanceDestroy, instance), NVML_ERROR_INVALID_ARGUMENT);
}

TEST_F(FakeNvmlTest, APlaceIsTakenOnceAndMustBeOneOfTheProfiles) {
  const nvmlDevice_t gpu = Device(0);
  Create(gpu, 9, 0, 4, NVML_ERROR_NOT_SUPPORTED);  // the mode is off
  EnableMig(gpu);
  Create(gpu, 9, 0, 4);
  Create(gpu, 14, 2, 2, NVML_ERROR_INSUFFICIENT_RESOURCES);
  Create(gpu, 14, 3, 2, NVML_ERROR_INVALID_ARGUMENT);
  Create(gpu, 77, 0, 1, NVML_ERROR_INVALID_ARGUMENT);
  unsigned left = 0;
  EXPECT_EQ(NVML(nvmlDeviceGetGpuInstanceRemainingCapacity, gpu, 14, &left), NVML_SUCCESS);
  EXPECT_EQ(left, 1u);
}

// The order that the MIG User Guide shows for `nvidia-smi mig -cgi 19,14,5`.
TEST_F(FakeNvmlTest, WithoutAWishSmallInstancesGoToTheEnd) {
  const nvmlDevice_t gpu = Device(1);
  EnableMig(gpu);
  for (const auto& [profile, id, start] : {std::tuple(19u, 13u, 6u), {14u, 5u, 4u}, {5u, 1u, 0u}}) {
    nvmlGpuInstance_t instance{};
    ASSERT_EQ(NVML(nvmlDeviceCreateGpuInstance, gpu, profile, &instance), NVML_SUCCESS);
    nvmlGpuInstanceInfo_t info;
    ASSERT_EQ(NVML(nvmlGpuInstanceGetInfo, instance, &info), NVML_SUCCESS);
    EXPECT_EQ(std::tuple(info.profileId, info.id, info.placement.start),
              std::tuple(profile, id, start));
  }
}

TEST_F(FakeNvmlTest, TheModeOfABusyGpuStaysPending) {
  ChangeGpu(0, {{"clients", 1}});
  nvmlReturn_t activation;
  EXPECT_EQ(NVML(nvmlDeviceSetMigMode, Device(0), NVML_DEVICE_MIG_ENABLE, &activation),
            NVML_SUCCESS);
  EXPECT_EQ(activation, NVML_ERROR_IN_USE);
  unsigned current, pending;
  EXPECT_EQ(NVML(nvmlDeviceGetMigMode, Device(0), &current, &pending), NVML_SUCCESS);
  EXPECT_EQ(std::pair(current, pending), std::pair(0u, 1u));
}

TEST_F(FakeNvmlTest, InstancesOutliveTheProcessThatMadeThem) {
  const pid_t child = fork();
  if (child == 0) {
    const nvmlDevice_t gpu = Device(0);
    nvmlReturn_t activation;
    NVML(nvmlDeviceSetMigMode, gpu, NVML_DEVICE_MIG_ENABLE, &activation);
    Create(gpu, 9, 0, 4);
    raise(SIGKILL);
  }
  int status;
  waitpid(child, &status, 0);
  nvmlGpuInstance_t instances[8];
  unsigned count = 0;
  EXPECT_EQ(NVML(nvmlDeviceGetGpuInstances, Device(0), 9, instances, &count), NVML_SUCCESS);
  EXPECT_EQ(count, 1u);
}

TEST_F(FakeNvmlTest, EventsReachThoseWhoRegisteredForThem) {
  nvmlEventSet_t set{};
  ASSERT_EQ(NVML(nvmlEventSetCreate, &set), NVML_SUCCESS);
  ASSERT_EQ(NVML(nvmlDeviceRegisterEvents, Device(0), nvmlEventTypeXidCriticalError, set),
            NVML_SUCCESS);
  scene_.With([](Json& state) {
    AddEvent(state, state["gpus"][0]["uuid"], nvmlEventTypeDoubleBitEccError, 0);
    AddEvent(state, state["gpus"][1]["uuid"], nvmlEventTypeXidCriticalError, 48);
    AddEvent(state, state["gpus"][0]["uuid"], nvmlEventTypeXidCriticalError, 79, 3, 0);
    return true;
  });
  nvmlEventData_t event;
  ASSERT_EQ(NVML(nvmlEventSetWait_v2, set, &event, 1000), NVML_SUCCESS);
  EXPECT_EQ(event.eventData, 79u);
  EXPECT_EQ(event.gpuInstanceId, 3u);
  EXPECT_EQ(NVML(nvmlEventSetWait_v2, set, &event, 20), NVML_ERROR_TIMEOUT);
  ChangeGpu(0, {{"lost", true}});
  EXPECT_EQ(NVML(nvmlEventSetWait_v2, set, &event, 20), NVML_ERROR_GPU_IS_LOST);
  NVML(nvmlEventSetFree, set);
}

TEST_F(FakeNvmlTest, ALostGpuAndAGoneDriverSaySo) {
  const nvmlDevice_t gpu = Device(0);
  ChangeGpu(0, {{"lost", true}});
  EXPECT_EQ(ReadTemperature(gpu), NVML_ERROR_GPU_IS_LOST);
  EXPECT_EQ(ReadTemperature(Device(1)), NVML_SUCCESS);
  Change({{"driver", {{"gone", true}}}});
  EXPECT_EQ(NVML(nvmlInit_v2), NVML_ERROR_DRIVER_NOT_LOADED);
  unsigned count;
  EXPECT_NE(NVML(nvmlDeviceGetCount_v2, &count), NVML_SUCCESS);
}

TEST_F(FakeNvmlTest, ACallThatHangsNeverReturnsAndHoldsUpNobodyElse) {
  Change({{"hang", {"nvmlDeviceGetPowerUsage"}}});
  const pid_t child = fork();
  if (child == 0) {
    unsigned power;
    NVML(nvmlDeviceGetPowerUsage, Device(0), &power);
    _exit(0);
  }
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(ReadTemperature(Device(0)), NVML_SUCCESS);
    usleep(5000);
  }
  int status;
  EXPECT_EQ(waitpid(child, &status, WNOHANG), 0) << "the call returned";
  kill(child, SIGKILL);
  waitpid(child, &status, 0);
}

TEST_F(FakeNvmlTest, VersionedStructuresAreChecked) {
  nvmlMemory_v2_t memory{};
  EXPECT_EQ(NVML(nvmlDeviceGetMemoryInfo_v2, Device(0), &memory),
            NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
  memory.version = nvmlMemory_v2;
  EXPECT_EQ(NVML(nvmlDeviceGetMemoryInfo_v2, Device(0), &memory), NVML_SUCCESS);
  EXPECT_EQ(memory.total, 81559ull << 20);
}

}  // namespace
}  // namespace fake_nvml
