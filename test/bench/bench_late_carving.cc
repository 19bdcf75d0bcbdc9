// bench_late_carving: what it costs the start of a pod that its volume is carved when it is
// published, beside the pod's GPU, and not before.
//
// In turn on the same two drives (backend Partition, ext4 of 256 MiB): an ordinary volume (carved,
// staged, published), an inline volume, and an inline volume near a GPU, for which the kubelet is
// asked over a unix socket. Prints medians and what the last adds (goal at most 50 ms over an
// ordinary one). The question to the controller, for GPUs of ResourceClaims, is not in it.
//
//   bench_late_carving [rounds]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <iostream>

#include "lib/base/log.h"
#include "node-agent/near/kubelet_pod_devices.h"
#include "node-agent/testing/fake_kubelet.h"
#include "node-agent/testing/loop_lab.h"
#include "node-agent/volume/inline_volumes.h"

namespace ashlar::node_agent {
namespace {

using Stopwatch = std::chrono::steady_clock;
constexpr int64_t kSize = 256 * kMiB;
constexpr int64_t kDriveSize = int64_t{2} << 30;

void Must(const absl::Status& status) {
  if (status.ok()) return;
  std::cerr << status << "\n";
  std::exit(1);
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

double Milliseconds(const std::function<void()>& work) {
  const auto start = Stopwatch::now();
  work();
  return std::chrono::duration<double, std::milli>(Stopwatch::now() - start).count();
}

::v1::ListPodResourcesResponse OnePod() {
  ::v1::ListPodResourcesResponse pods;
  ::v1::PodResources& pod = *pods.add_pod_resources();
  pod.set_name("trainer");
  pod.set_namespace_("ml");
  ::v1::ContainerDevices& given = *pod.add_containers()->add_devices();
  given.set_resource_name("nvidia.com/gpu");
  given.add_device_ids("GPU-a");
  return pods;
}

// The pool's second drive is behind the GPU's switch, the first one far away.
NearFacts Facts(const PoolUsage& usage) {
  NearFacts facts;
  facts.gpus.emplace_back().set_uuid("GPU-a");
  for (const DriveUsage& drive : usage.drives) {
    Drive known;
    known.id = drive.id;
    facts.drives.push_back(known);
    v1alpha1::GpuDrivePath& path = facts.paths.emplace_back();
    path.set_gpu("GPU-a");
    path.set_drive(drive.id);
    path.set_level(drive.id == usage.drives.back().id ? "Switch" : "System");
  }
  return facts;
}

class Pods {
 public:
  explicit Pods(const LoopLab& lab)
      : target_(lab.Path("kubelet/pod")),
        staging_(lab.Path("kubelet/staged")),
        agent_(lab.Path("state"), {lab.Path("kubelet"), lab.Path("state/inline")}),
        kubelet_(lab.Path("kubelet.sock"), OnePod),
        devices_(lab.Path("kubelet.sock"), agent_.clock),
        near_(devices_, devices_, [this] { return Facts(*(*agent_.pools.Backend("p"))->Usage()); }),
        inline_(agent_.volumes, agent_.pools, near_, lab.Path("state/inline"), agent_.clock,
                [] {}) {}

  void MakePool(const std::vector<std::string>& drives) {
    Must(agent_.Start());
    PoolSpec spec;
    spec.name = "p";
    spec.uid = "0f8fad5b-d9cb-469f-a165-70867728950e";
    spec.backend = BackendKind::kPartition;
    spec.devices.emplace();
    spec.devices->paths = drives;
    spec.inline_volume_max_bytes = kSize;
    Must(agent_.pools.Ensure({}, spec).status());
    Must(agent_.volumes.Adopt({}, "p"));
  }

  double Ordinary() {
    const double took = Milliseconds([&] {
      Must(agent_.volumes.Ensure({}, {"v", "p", kSize, VolumeMode::kFilesystem, "ext4"}).status());
      Must(agent_.volumes.Stage({}, {"v", staging_}));
      Must(agent_.volumes.Publish({}, {"v", staging_, target_}));
    });
    Must(agent_.volumes.Unpublish({}, "v", target_));
    Must(agent_.volumes.Unstage({}, "v", staging_));
    Must(agent_.volumes.Remove({}, "v"));
    return took;
  }

  double Inline(bool near) {
    InlineVolumeArgs args;
    args.id = "csi-1";
    args.target_path = target_;
    args.pool = "p";
    args.size_bytes = kSize;
    if (near) args.near = NearArgs{{"ml", "trainer", "uid-1"}, "Switch", true};
    const double took = Milliseconds([&] { Must(inline_.Publish({}, args)); });
    Must(inline_.Unpublish({}, "csi-1", target_));
    return took;
  }

 private:
  const std::string target_, staging_;
  AgentStack agent_;
  FakeKubelet kubelet_;
  KubeletPodDevices devices_;
  NearDrives near_;
  InlineVolumes inline_;
};

int Main(int rounds) {
  if (const std::string missing = LoopLab::Missing(); !missing.empty()) {
    std::cerr << "bench_late_carving lacks " << missing << "\n";
    return 2;
  }
  SetLogLevel(LogLevel::kError);
  LoopLab lab;
  Pods pods(lab);
  pods.MakePool({lab.MakeDrive(kDriveSize), lab.MakeDrive(kDriveSize)});
  std::vector<double> ordinary, plain, near;
  for (int i = -2; i < rounds; ++i) {
    const double times[] = {pods.Ordinary(), pods.Inline(false), pods.Inline(true)};
    if (i < 0) continue;  // warm
    ordinary.push_back(times[0]);
    plain.push_back(times[1]);
    near.push_back(times[2]);
  }
  std::printf("%d rounds, medians: ordinary %.2f ms, inline %.2f ms, inline near a GPU %.2f ms\n",
              rounds, Median(ordinary), Median(plain), Median(near));
  std::printf(
      "late carving adds %.2f ms to an ordinary volume (goal: at most 50), %.2f ms to an "
      "inline one\n",
      Median(near) - Median(ordinary), Median(near) - Median(plain));
  return 0;
}

}  // namespace
}  // namespace ashlar::node_agent

int main(int argc, char** argv) {
  return ashlar::node_agent::Main(argc > 1 ? std::atoi(argv[1]) : 40);
}
