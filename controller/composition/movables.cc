#include "controller/composition/movables.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "ashlar/v1alpha1/composition.codec.h"
#include "ashlar/v1alpha1/gpu_partition.codec.h"
#include "controller/composition/composition_objects.h"
#include "controller/composition/gang_choice.h"
#include "controller/dra_names/drive_names.h"
#include "lib/api/conditions.h"
#include "lib/kube/object.h"

namespace ashlar::controller {
namespace {

using v1alpha1::ComposedMember;
using v1alpha1::Composition;
using v1alpha1::CompositionMember;
using v1alpha1::GPUPartition;

bool IsUsed(const runtime::Cache* claims, const api::ObjectKey& key) {
  const runtime::ObjectPtr claim = claims == nullptr ? nullptr : claims->Get(key);
  if (claim == nullptr) return false;
  const Json* users = FindJson(*claim, {"status", "reservedFor"});
  return FindJson(*claim, {"status", "allocation"}) != nullptr ||
         (users != nullptr && !users->empty());
}

std::string Text(const k8s::ObjectMeta& meta) {
  return absl::StrCat(meta.namespace_(), "/", meta.name());
}

// "NAME" of "NAME-3".
std::string WithoutIndex(const std::string& name) { return name.substr(0, name.rfind('-')); }

template <class List>
int NumberOf(const List& list, const std::string& name) {
  for (int i = 0; i < list.size(); ++i)
    if (list[i].name() == name) return i;
  return -1;
}

Movable MovableOf(const GPUPartition& object) {
  Movable one{.what = absl::StrCat("GPUPartition ", Text(object.metadata())),
              .node = object.status().allocations(0).node()};
  const auto& wanted = object.spec().gpus();
  one.request.name = "parts";
  one.request.gpus.push_back({.name = "parts",
                              .count = object.status().allocations_size(),
                              .profile = object.status().allocations(0).profile(),
                              .products = {wanted.products().begin(), wanted.products().end()},
                              .gpus = {wanted.names().begin(), wanted.names().end()}});
  for (const auto& part : object.status().allocations()) {
    one.gpus.push_back(part);
    one.gpu_requests.push_back(0);
  }
  return one;
}

Movable MovableOf(const Composition& object, const CompositionMember& kind,
                  const ComposedMember& member) {
  Movable one{
      .what = absl::StrCat("Composition ", Text(object.metadata()), " member ", member.name()),
      .node = member.node(),
      .request = MemberRequestOf(kind)};
  for (const v1alpha1::ComposedGPU& gpu : member.gpus()) {
    v1alpha1::GPUPartitionAllocation& part = one.gpus.emplace_back();
    part.set_node(member.node());
    part.set_gpu(gpu.gpu());
    part.set_profile(gpu.profile());
    part.set_start(gpu.start());
    part.set_size(gpu.size());
    one.gpu_requests.push_back(NumberOf(kind.gpus(), WithoutIndex(gpu.request())));
  }
  for (const v1alpha1::ComposedVolume& volume : member.volumes())
    one.drives.push_back({volume.pool(), volume.drive(), volume.bytes(),
                          NumberOf(kind.volumes(), volume.request())});
  return one;
}

void AddPartitions(const CompositionSources& parts, std::vector<Movable>& out) {
  for (const runtime::ObjectPtr& object : parts.gpu_partitions.List()) {
    const auto read = api::FromJson<GPUPartition>(*object);
    if (!read.ok() || read->status().allocations().empty() ||
        IsUsed(parts.claims, kube::KeyOf(*object)))
      continue;
    const bool bound = read->spec().has_node_selector() ||
                       !read->spec().gpus().architectures().empty() ||
                       read->metadata().has_deletion_timestamp();
    if (!bound) out.push_back(MovableOf(*read));
  }
}

void AddCompositions(const CompositionSources& parts, const api::ObjectKey& own,
                     std::vector<Movable>& out) {
  for (const runtime::ObjectPtr& object : parts.compositions.List()) {
    const auto read = api::FromJson<Composition>(*object);
    if (!read.ok() || kube::KeyOf(*object) == own) continue;
    // With a time until which it is reserved, no pod uses it.
    if (!read->status().has_reserved_until() || read->metadata().has_deletion_timestamp()) continue;
    v1alpha1::CompositionClassSpec its_class;
    if (const runtime::ObjectPtr found = parts.classes.Get({"", read->spec().class_name()}))
      if (const auto one = api::FromJson<v1alpha1::CompositionClass>(*found); one.ok())
        its_class = one->spec();
    const v1alpha1::CompositionSpec spec = WithClass(read->spec(), its_class);
    if (spec.has_node_selector() || its_class.has_node_selector() ||
        !spec.topology().required_label().empty())
      continue;
    for (const ComposedMember& member : read->status().members()) {
      const int kind = NumberOf(spec.members(), WithoutIndex(member.name()));
      if (kind >= 0) out.push_back(MovableOf(*read, spec.members(kind), member));
    }
  }
}

void AddVolumes(const CompositionSources& parts, const std::vector<ComposableNode>& nodes,
                std::vector<Movable>& out) {
  for (const ComposableNode& node : nodes) {
    if (node.facts.inventory == nullptr) continue;
    for (const agent::v1::VolumeState& volume : node.facts.inventory->volumes()) {
      if (volume.staged() || volume.publications() > 0 || volume.drive().empty() ||
          volume.inline_volume() || volume.snapshot() || !volume.source().empty())
        continue;
      const runtime::ObjectPtr object = parts.volumes.Get({"", volume.volume_id()});
      if (object == nullptr || kube::IsBeingDeleted(*object)) continue;
      // What others made goes where they go.
      const Json* labels = FindJson(*object, {"metadata", "labels"});
      if (labels != nullptr &&
          (labels->contains(kCompositionUidLabel) || labels->contains(kClaimUidLabel)))
        continue;
      Movable one{.what = absl::StrCat("Volume ", volume.volume_id()), .node = node.facts.name};
      one.request.name = "volume";
      one.request.drives.push_back({"volume", volume.size_bytes(), volume.pool(), false});
      one.drives.push_back({volume.pool(), volume.drive(), volume.size_bytes(), 0});
      one.stays_on_node = true;
      out.push_back(std::move(one));
    }
  }
}

}  // namespace

std::vector<Movable> MovablesOf(const CompositionSources& parts,
                                const std::vector<ComposableNode>& nodes,
                                const api::ObjectKey& own) {
  std::vector<Movable> out;
  AddPartitions(parts, out);
  AddCompositions(parts, own, out);
  AddVolumes(parts, nodes, out);
  return out;
}

}  // namespace ashlar::controller
