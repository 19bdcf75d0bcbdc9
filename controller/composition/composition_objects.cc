#include "controller/composition/composition_objects.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "controller/dra_names/device_names.h"

namespace ashlar::controller {
namespace {

using v1alpha1::ComposedMember;
using v1alpha1::ComposedVolume;
using v1alpha1::Composition;

constexpr char kCsiDriver[] = "csi.ashlar.dev";
constexpr char kTopologyKey[] = "topology.ashlar.dev/node";

Json LabelsOf(const Composition& object) {
  return {{kCompositionUidLabel, object.metadata().uid()}};
}

Json AnnotationsOf(const Composition& object) {
  return {{kCompositionAnnotation,
           absl::StrCat(object.metadata().namespace_(), "/", object.metadata().name())}};
}

Json OfNoNamespace(const Composition& object, const std::string& name) {
  return {{"name", name}, {"labels", LabelsOf(object)}, {"annotations", AnnotationsOf(object)}};
}

const v1alpha1::CompositionVolume& SpecOf(const Composition& object, const ComposedMember& member,
                                          const ComposedVolume& volume) {
  const std::string kind = member.name().substr(0, member.name().rfind('-'));
  for (const auto& members : object.spec().members()) {
    if (members.name() != kind) continue;
    for (const auto& wanted : members.volumes())
      if (wanted.name() == volume.request()) return wanted;
  }
  return v1alpha1::CompositionVolume::default_instance();
}

std::string ModeOf(const v1alpha1::CompositionVolume& volume) {
  return volume.mode().empty() ? "Filesystem" : volume.mode();
}

std::string FullHostOf(const Composition& object, const ComposedMember& member) {
  const std::string host = HostOf(object.metadata().name(), member);
  return object.spec().subdomain().empty() ? host
                                           : absl::StrCat(host, ".", object.spec().subdomain());
}

// Processes that a member runs: one for each GPU or part of one.
int SlotsOf(const ComposedMember& member) { return std::max(member.gpus_size(), 1); }

// What libraries take to use the member's NICs and no others. NCCL: "=" means these names exactly.
// UCX wants a port, too: adapters of today have one for each function.
void AddNics(const ComposedMember& member, Json& data) {
  std::vector<std::string> rdma, sockets, ucx;
  for (const v1alpha1::ComposedNIC& nic : member.nics()) {
    if (!nic.interface().empty()) sockets.push_back(nic.interface());
    if (!nic.rdma_device().empty()) {
      rdma.push_back(nic.rdma_device());
      ucx.push_back(absl::StrCat(nic.rdma_device(), ":1"));
    } else if (!nic.interface().empty()) {
      ucx.push_back(nic.interface());
    }
  }
  const std::string prefix = member.name() + ".";
  if (!rdma.empty()) data[prefix + "NCCL_IB_HCA"] = absl::StrCat("=", absl::StrJoin(rdma, ","));
  if (!sockets.empty())
    data[prefix + "NCCL_SOCKET_IFNAME"] = absl::StrCat("=", absl::StrJoin(sockets, ","));
  if (!ucx.empty()) data[prefix + "UCX_NET_DEVICES"] = absl::StrJoin(ucx, ",");
}

}  // namespace

Json MetadataOfOwned(const Composition& object, const std::string& name) {
  Json metadata = OfNoNamespace(object, name);
  metadata["namespace"] = object.metadata().namespace_();
  metadata["ownerReferences"] = Json::array({{{"apiVersion", "ashlar.dev/v1alpha1"},
                                              {"kind", "Composition"},
                                              {"name", object.metadata().name()},
                                              {"uid", object.metadata().uid()},
                                              {"controller", true}}});
  return metadata;
}

std::string HostOf(const std::string& composition, const ComposedMember& member) {
  return absl::StrCat(composition, "-", member.name());
}

Json VolumeOf(const Composition& object, const ComposedMember& member,
              const ComposedVolume& volume) {
  const v1alpha1::CompositionVolume& wanted = SpecOf(object, member, volume);
  Json spec = {
      {"pool", volume.pool()},
      {"size", absl::StrCat(volume.bytes())},
      {"nodeName", member.node()},
      {"mode", ModeOf(wanted)},
      {"claimRef", {{"namespace", object.metadata().namespace_()}, {"name", volume.claim_name()}}}};
  if (!volume.drive().empty()) spec["drive"] = volume.drive();
  if (!wanted.fs_type().empty()) spec["fsType"] = wanted.fs_type();
  return {{"apiVersion", "ashlar.dev/v1alpha1"},
          {"kind", "Volume"},
          {"metadata", OfNoNamespace(object, volume.volume())},
          {"spec", spec}};
}

Json PersistentVolumeOf(const Composition& object, const ComposedMember& member,
                        const ComposedVolume& volume) {
  const v1alpha1::CompositionVolume& wanted = SpecOf(object, member, volume);
  Json csi = {{"driver", kCsiDriver}, {"volumeHandle", volume.volume()}};
  if (!wanted.fs_type().empty()) csi["fsType"] = wanted.fs_type();
  const Json here = {
      {"matchExpressions", Json::array({{{"key", kTopologyKey},
                                         {"operator", "In"},
                                         {"values", Json::array({member.node()})}}})}};
  return {{"apiVersion", "v1"},
          {"kind", "PersistentVolume"},
          {"metadata", OfNoNamespace(object, volume.volume())},
          {"spec",
           {{"capacity", {{"storage", absl::StrCat(volume.bytes())}}},
            {"accessModes", Json::array({"ReadWriteOnce"})},
            {"volumeMode", ModeOf(wanted)},
            // The Composition takes the bytes back.
            {"persistentVolumeReclaimPolicy", "Retain"},
            {"storageClassName", ""},
            {"claimRef",
             {{"apiVersion", "v1"},
              {"kind", "PersistentVolumeClaim"},
              {"namespace", object.metadata().namespace_()},
              {"name", volume.claim_name()}}},
            {"csi", csi},
            {"nodeAffinity", {{"required", {{"nodeSelectorTerms", Json::array({here})}}}}}}}};
}

Json VolumeClaimOf(const Composition& object, const ComposedMember& member,
                   const ComposedVolume& volume) {
  return {{"apiVersion", "v1"},
          {"kind", "PersistentVolumeClaim"},
          {"metadata", MetadataOfOwned(object, volume.claim_name())},
          {"spec",
           {{"accessModes", Json::array({"ReadWriteOnce"})},
            {"volumeMode", ModeOf(SpecOf(object, member, volume))},
            {"storageClassName", ""},
            {"volumeName", volume.volume()},
            {"resources", {{"requests", {{"storage", absl::StrCat(volume.bytes())}}}}}}}};
}

Json ResourceClaimOf(const Composition& object, const ComposedMember& member) {
  Json requests = Json::array();
  for (const v1alpha1::ComposedGPU& gpu : member.gpus()) {
    const std::string device =
        gpu.profile().empty() ? SelectGpu(gpu.gpu())
                              : SelectGpuPart(gpu.gpu(), gpu.profile(), gpu.start(), gpu.size());
    requests.push_back({{"name", gpu.request()},
                        {"exactly",
                         {{"deviceClassName", kGpuDriver},
                          {"allocationMode", "ExactCount"},
                          {"count", 1},
                          {"selectors", Json::array({{{"cel", {{"expression", device}}}}})},
                          {"tolerations", Json::array({{{"key", kReservedTaint},
                                                        {"operator", "Equal"},
                                                        {"value", object.metadata().uid()},
                                                        {"effect", "NoSchedule"}}})}}}});
  }
  return {{"apiVersion", "resource.k8s.io/v1"},
          {"kind", "ResourceClaim"},
          {"metadata", MetadataOfOwned(object, member.resource_claim_name())},
          {"spec", {{"devices", {{"requests", requests}}}}}};
}

Json ConfigMapOf(const Composition& object) {
  const auto& members = object.status().members();
  std::string hostfile, mpich;
  std::vector<std::string> horovod;
  Json data = Json::object();
  int processes = 0, most = 0;
  for (const ComposedMember& member : members) {
    const std::string host = FullHostOf(object, member);
    const int slots = SlotsOf(member);
    absl::StrAppend(&hostfile, host, " slots=", slots, "\n");
    absl::StrAppend(&mpich, host, ":", slots, "\n");
    horovod.push_back(absl::StrCat(host, ":", slots));
    data[member.name() + ".rank"] = absl::StrCat(member.rank());
    data[member.name() + ".host"] = host;
    AddNics(member, data);
    processes += slots;
    most = std::max(most, slots);
  }
  const std::string first = members.empty() ? "" : FullHostOf(object, members.Get(0));
  const int wanted_port = object.spec().port();
  const std::string port = absl::StrCat(wanted_port == 0 ? 29500 : wanted_port);
  data["hostfile"] = hostfile;                          // Open MPI, DeepSpeed: mpirun --hostfile
  data["hostfile.hydra"] = mpich;                       // MPICH, Intel MPI: mpiexec -f
  data["HOROVOD_HOSTS"] = absl::StrJoin(horovod, ",");  // horovodrun -H
  data["HOROVOD_NUM_PROC"] = absl::StrCat(processes);   // horovodrun -np
  data["MASTER_ADDR"] = first;
  data["MASTER_PORT"] = port;
  data["WORLD_SIZE"] = absl::StrCat(processes);
  // What torchrun takes in place of its options; PET_NODE_RANK is the member's .rank.
  data["PET_NNODES"] = absl::StrCat(members.size());
  data["PET_NPROC_PER_NODE"] = absl::StrCat(most);
  data["PET_MASTER_ADDR"] = first;
  data["PET_MASTER_PORT"] = port;
  return {{"apiVersion", "v1"},
          {"kind", "ConfigMap"},
          {"metadata", MetadataOfOwned(object, object.status().config_map_name())},
          {"data", data}};
}

}  // namespace ashlar::controller
