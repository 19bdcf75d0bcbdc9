#include "node-agent/near/kubelet_pod_devices.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/client_call.h"

namespace ashlar::node_agent {
namespace {

using Stub = ::v1::PodResourcesLister::Stub;

std::vector<PodDevice> DevicesOf(const ::v1::PodResources& pod) {
  std::vector<PodDevice> devices;
  for (const ::v1::ContainerResources& container : pod.containers()) {
    for (const ::v1::ContainerDevices& given : container.devices())
      for (const std::string& id : given.device_ids())
        devices.push_back({given.resource_name(), id});
    for (const ::v1::DynamicResource& claim : container.dynamic_resources())
      for (const ::v1::ClaimResource& given : claim.claim_resources())
        devices.push_back({given.driver_name(), given.device_name()});
  }
  return devices;
}

// Kubelets have Get since 1.27 and may have it switched off before 1.34; all have List.
absl::StatusOr<::v1::PodResources> Ask(const CallContext& context, Stub& stub,
                                       const std::string& pod_namespace,
                                       const std::string& pod_name) {
  ::v1::GetPodResourcesRequest get;
  get.set_pod_namespace(pod_namespace);
  get.set_pod_name(pod_name);
  const auto got = rpc::Call(context, stub, &Stub::Get, get);
  if (got.ok()) return got->pod_resources();
  if (absl::IsUnavailable(got.status()) || absl::IsDeadlineExceeded(got.status()))
    return got.status();
  ASHLAR_ASSIGN_OR_RETURN(const auto all, rpc::Call(context, stub, &Stub::List, {}));
  for (const ::v1::PodResources& pod : all.pod_resources())
    if (pod.namespace_() == pod_namespace && pod.name() == pod_name) return pod;
  return got.status();
}

}  // namespace

KubeletPodDevices::KubeletPodDevices(std::string socket, Clock& clock)
    : socket_(std::move(socket)),
      clock_(clock),
      stub_(::v1::PodResourcesLister::NewStub(
          rpc::MakeUnixChannel(absl::StrCat("unix://", socket_)))) {}

absl::StatusOr<std::vector<PodDevice>> KubeletPodDevices::Find(const CallContext& context,
                                                               const PodId& pod) {
  const absl::StatusOr<::v1::PodResources> told =
      Ask(context.Until(clock_.Now() + kKubeletTime), *stub_, pod.name_space, pod.name);
  if (told.ok()) return DevicesOf(*told);
  return absl::UnavailableError(absl::StrCat("the kubelet does not tell at ", socket_,
                                             " which devices pod ", pod.name_space, "/", pod.name,
                                             " has: ", std::string(told.status().message())));
}

}  // namespace ashlar::node_agent
