#include "controller/near/pod_answer.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "controller/dra_names/device_names.h"

namespace ashlar::controller {
namespace {

constexpr char kNvidiaDriver[] = "gpu.nvidia.com";

// An attribute of the driver's own may be written with its domain or without.
std::string TextOf(const k8s::Device& device, const std::string& driver, const std::string& name) {
  for (const std::string& full : {name, absl::StrCat(driver, "/", name)}) {
    const auto found = device.attributes().find(full);
    if (found != device.attributes().end()) return found->second.string();
  }
  return "";
}

bool IsPartOf(const agent::v1::PodClaimDevice& device, const v1alpha1::Gpu& gpu) {
  return gpu.uuid() == device.uuid() || gpu.uuid() == device.parent_uuid() ||
         (!device.pci_address().empty() &&
          absl::EqualsIgnoreCase(gpu.pci_address(), device.pci_address()));
}

}  // namespace

bool IsReservedFor(const k8s::ResourceClaim& claim, const std::string& pod_uid) {
  const auto& consumers = claim.status().reserved_for();
  return std::any_of(consumers.begin(), consumers.end(), [&](const auto& consumer) {
    return consumer.resource() == "pods" && consumer.uid() == pod_uid;
  });
}

bool DescribeGpu(const k8s::DeviceRequestAllocationResult& result, const std::string& node,
                 const FindSlice& find_slice, agent::v1::PodClaimDevice& device) {
  if (result.driver() != kNvidiaDriver && result.driver() != kGpuDriver) return false;
  const k8s::ResourceSlice* slice = find_slice(result.driver(), result.pool(), result.device());
  if ((slice == nullptr ? result.pool() : slice->spec().node_name()) != node) return false;
  device.set_driver(result.driver());
  device.set_device(result.device());
  if (slice == nullptr) return true;
  for (const k8s::Device& published : slice->spec().devices()) {
    if (published.name() != result.device()) continue;
    device.set_uuid(TextOf(published, result.driver(), kUuidAttribute));
    device.set_parent_uuid(TextOf(published, result.driver(), kParentAttribute));
    device.set_pci_address(TextOf(published, result.driver(), kPciBusIdAttribute));
  }
  return true;
}

std::vector<std::string> GpusOf(const k8s::ResourceClaim& claim, const std::string& node,
                                const agent::v1::Inventory& inventory,
                                const FindSlice& find_slice) {
  std::vector<std::string> gpus;
  for (const auto& result : claim.status().allocation().devices().results()) {
    agent::v1::PodClaimDevice device;
    if (!DescribeGpu(result, node, find_slice, device)) continue;
    for (const v1alpha1::Gpu& gpu : inventory.gpus())
      if (IsPartOf(device, gpu) && std::count(gpus.begin(), gpus.end(), gpu.uuid()) == 0)
        gpus.push_back(gpu.uuid());
  }
  return gpus;
}

agent::v1::PodAnswer AnswerOf(const agent::v1::PodQuestion& question, const std::string& node,
                              const std::vector<k8s::ResourceClaim>& claims,
                              const FindSlice& find_slice) {
  agent::v1::PodAnswer answer;
  answer.set_id(question.id());
  for (const k8s::ResourceClaim& claim : claims) {
    if (claim.metadata().namespace_() != question.pod_namespace() ||
        !IsReservedFor(claim, question.pod_uid()))
      continue;
    for (const auto& result : claim.status().allocation().devices().results()) {
      agent::v1::PodClaimDevice device;
      if (DescribeGpu(result, node, find_slice, device)) *answer.add_devices() = std::move(device);
    }
  }
  return answer;
}

}  // namespace ashlar::controller
