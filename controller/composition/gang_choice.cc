#include "controller/composition/gang_choice.h"

#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "controller/composer/gang.h"
#include "controller/composition/composition_objects.h"
#include "controller/dra_names/device_names.h"
#include "controller/placement/placement.h"
#include "lib/base/status_macros.h"

namespace ashlar::controller {
namespace {

using v1alpha1::ComposedMember;
using v1alpha1::CompositionMember;
using v1alpha1::CompositionSpec;

constexpr int kMostMembers = 1024;
constexpr size_t kLongestHost = 63;  // a DNS label
constexpr size_t kMostMisfits = 64;  // as the API says

absl::Status Invalid(const std::string& field, const std::string& value,
                     const std::string& accepted) {
  return absl::InvalidArgumentError(
      absl::StrCat("spec.", field, ": Invalid value: ", value, ": ", accepted));
}

absl::Status CheckMember(const std::string& field, const CompositionMember& member) {
  std::set<std::string> names;
  const auto add = [&](const std::string& name) {
    return names.insert(name).second
               ? absl::OkStatus()
               : Invalid(field, name, "names two of GPUs, volumes and NICs alike");
  };
  for (const auto& gpus : member.gpus()) ASHLAR_RETURN_IF_ERROR(add(gpus.name()));
  for (const auto& volume : member.volumes()) {
    ASHLAR_RETURN_IF_ERROR(add(volume.name()));
    const std::string at = absl::StrCat(field, ".volumes[", volume.name(), "]");
    if (volume.size() <= 0)
      return Invalid(at + ".size", absl::StrCat(volume.size()), "must be greater than 0");
    if (volume.pool().empty())
      return Invalid(at + ".pool", "\"\"", "a pool must be named here or by the class");
    if (volume.mode() == "Block" && !volume.fs_type().empty())
      return Invalid(at + ".fsType", volume.fs_type(), "must be unset for mode Block");
  }
  for (const auto& nics : member.nics()) ASHLAR_RETURN_IF_ERROR(add(nics.name()));
  for (const auto& constraint : member.constraints())
    for (const std::string& request : constraint.requests())
      if (names.count(request) == 0)
        return Invalid(field + ".constraints", request,
                       absl::StrCat("must be one of ", absl::StrJoin(names, ", ")));
  return absl::OkStatus();
}

composer::Level LevelOf(const std::string& name) {
  if (name == "Switch") return composer::Level::kSwitch;
  if (name == "Root") return composer::Level::kRoot;
  return name == "NUMANode" ? composer::Level::kNuma : composer::Level::kSystem;
}

// What the placed member gets, in the words of the API.
class MemberWriter {
 public:
  MemberWriter(const DeviceStock& stock, const v1alpha1::Composition& object,
               const composer::PlacedMember& placed)
      : stock_(stock),
        object_(object),
        placed_(placed),
        node_(stock.inventory.nodes[static_cast<size_t>(placed.node)]) {
    for (const CompositionMember& member : object.spec().members())
      if (member.name() == placed.member) spec_ = &member;
  }

  ComposedMember Write() {
    ComposedMember member;
    member.set_name(absl::StrCat(placed_.member, "-", placed_.index));
    member.set_rank(placed_.rank);
    member.set_node(node_.name);
    std::vector<int> count(static_cast<size_t>(spec_->gpus_size()), 0);
    for (const composer::GpuGrant& grant : placed_.grants.gpus)
      Write(grant, count[static_cast<size_t>(grant.request)]++, *member.add_gpus());
    for (const composer::DriveGrant& grant : placed_.grants.drives)
      Write(grant, member.name(), *member.add_volumes());
    count.assign(static_cast<size_t>(spec_->nics_size()), 0);
    for (const composer::NicGrant& grant : placed_.grants.nics)
      Write(grant, count[static_cast<size_t>(grant.request)]++, *member.add_nics());
    if (!member.gpus().empty())
      member.set_resource_claim_name(HostOf(object_.metadata().name(), member));
    for (const composer::Level level : placed_.reached)
      member.add_achieved_levels(std::string(composer::LevelName(level)));
    return member;
  }

 private:
  void Write(const composer::GpuGrant& grant, int index, v1alpha1::ComposedGPU& out) const {
    const composer::Gpu& gpu = node_.gpus[static_cast<size_t>(grant.gpu)];
    out.set_request(absl::StrCat(spec_->gpus(grant.request).name(), "-", index));
    out.set_gpu(gpu.name);
    out.set_device(GpuDeviceName(gpu.name));
    if (grant.profile < 0) return;
    out.set_profile(spec_->gpus(grant.request).profile());
    out.set_start(grant.placement.start);
    out.set_size(grant.placement.size);
    out.set_device(GpuPartDeviceName(gpu.name, out.profile(), out.start(), out.size()));
  }

  void Write(const composer::DriveGrant& grant, const std::string& member,
             v1alpha1::ComposedVolume& out) const {
    const DriveName& drive =
        stock_.drives[static_cast<size_t>(placed_.node)][static_cast<size_t>(grant.drive)];
    out.set_request(spec_->volumes(grant.request).name());
    out.set_claim_name(absl::StrCat(object_.metadata().name(), "-", member, "-", out.request()));
    out.set_volume(
        absl::StrCat("composition-", object_.metadata().uid(), "-", member, "-", out.request()));
    out.set_pool(drive.pool);
    out.set_drive(drive.drive);
    out.set_bytes(grant.bytes);
  }

  void Write(const composer::NicGrant& grant, int index, v1alpha1::ComposedNIC& out) const {
    const v1alpha1::Nic& nic =
        stock_.nics[static_cast<size_t>(placed_.node)][static_cast<size_t>(grant.nic)];
    out.set_request(absl::StrCat(spec_->nics(grant.request).name(), "-", index));
    out.set_pci_address(nic.pci_address());
    if (!nic.interfaces().empty()) out.set_interface(nic.interfaces(0));
    if (!nic.rdma_devices().empty()) out.set_rdma_device(nic.rdma_devices(0));
    out.set_link_layer(nic.link_layer());
  }

  const DeviceStock& stock_;
  const v1alpha1::Composition& object_;
  const composer::PlacedMember& placed_;
  const composer::NodeDevices& node_;
  const CompositionMember* spec_ = nullptr;
};

std::vector<v1alpha1::CompositionMisfit> MisfitsOf(const composer::GangRefusal& refusal) {
  std::vector<v1alpha1::CompositionMisfit> misfits;
  for (const composer::NodeMisfit& node : refusal.nodes)
    for (const composer::Misfit& misfit : node.misfits) {
      if (misfits.size() >= kMostMisfits) return misfits;
      v1alpha1::CompositionMisfit& out = misfits.emplace_back();
      out.set_node(node.node);
      out.set_alike(node.alike);
      out.set_member(node.member);
      out.set_fits(node.fits);
      out.set_constraint(misfit.constraint);
      out.set_reason(misfit.reason);
      out.set_nearest(misfit.nearest);
    }
  return misfits;
}

}  // namespace

composer::MemberRequest MemberRequestOf(const CompositionMember& member) {
  composer::MemberRequest request;
  request.name = member.name();
  for (const auto& gpus : member.gpus()) {
    composer::GpuRequest& one = request.gpus.emplace_back();
    one.name = gpus.name();
    one.count = std::max(gpus.count(), 1);
    one.profile = gpus.profile();
    one.products.assign(gpus.products().begin(), gpus.products().end());
    one.one_clique = gpus.one_clique();
  }
  for (const auto& volume : member.volumes())
    request.drives.push_back(
        {volume.name(), RoundedVolumeBytes(volume.size()), volume.pool(), false});
  for (const auto& nics : member.nics())
    request.nics.push_back({nics.name(), std::max(nics.count(), 1), nics.rdma(), nics.link_layer(),
                            nics.min_speed_mbits()});
  for (const auto& constraint : member.constraints())
    request.constraints.push_back({{constraint.requests().begin(), constraint.requests().end()},
                                   LevelOf(constraint.level()),
                                   constraint.enforcement() == "Preferred"
                                       ? composer::Enforcement::kPreferred
                                       : composer::Enforcement::kRequired});
  return request;
}

composer::GangRequest GangRequestOf(const CompositionSpec& spec) {
  composer::GangRequest request;
  for (const CompositionMember& member : spec.members())
    request.members.push_back({MemberRequestOf(member), std::max(member.replicas(), 1)});
  request.required_label = spec.topology().required_label();
  request.preferred_label = spec.topology().preferred_label();
  request.rank_labels.assign(spec.topology().rank_labels().begin(),
                             spec.topology().rank_labels().end());
  return request;
}

CompositionSpec WithClass(const CompositionSpec& spec,
                          const v1alpha1::CompositionClassSpec& its_class) {
  CompositionSpec whole = spec;
  for (CompositionMember& member : *whole.mutable_members())
    for (auto& volume : *member.mutable_volumes())
      if (volume.pool().empty()) volume.set_pool(its_class.pool());
  if (whole.gang_scheduler().empty()) whole.set_gang_scheduler(its_class.gang_scheduler());
  if (whole.queue().empty()) whole.set_queue(its_class.queue());
  if (!whole.has_topology() && its_class.has_topology())
    *whole.mutable_topology() = its_class.topology();
  if (!whole.reservation().has_ttl_seconds() && its_class.has_ttl_seconds())
    whole.mutable_reservation()->set_ttl_seconds(its_class.ttl_seconds());
  return whole;
}

absl::Status CheckComposition(const std::string& name, const CompositionSpec& spec,
                              const v1alpha1::CompositionClassSpec& its_class) {
  int members = 0;
  for (const CompositionMember& member : spec.members()) {
    const std::string field = absl::StrCat("members[", member.name(), "]");
    ASHLAR_RETURN_IF_ERROR(CheckMember(field, member));
    members += std::max(member.replicas(), 1);
    const std::string host =
        absl::StrCat(name, "-", member.name(), "-", std::max(member.replicas(), 1) - 1);
    if (host.size() > kLongestHost)
      return Invalid(field + ".name", host,
                     absl::StrCat("with the names of Composition and member, hosts may have ",
                                  kLongestHost, " characters"));
  }
  const int most = its_class.has_max_members() ? its_class.max_members() : kMostMembers;
  if (members <= most) return absl::OkStatus();
  return Invalid(
      "members", absl::StrCat(members, " members"),
      absl::StrCat(its_class.has_max_members() ? "the class allows " : "there may be ", most));
}

GangChoice ChooseGang(const DeviceStock& stock, const v1alpha1::Composition& object) {
  if (stock.inventory.nodes.empty())
    return NoGang{
        "NoNodes", "no node that has an agent is selected by spec.nodeSelector and the class", {}};
  const composer::GangOutcome outcome =
      composer::PlaceGang(stock.inventory, GangRequestOf(object.spec()));
  if (const auto* refusal = std::get_if<composer::GangRefusal>(&outcome))
    return NoGang{"NoRoom", refusal->Explain(), MisfitsOf(*refusal)};
  std::vector<ComposedMember> members;
  for (const composer::PlacedMember& placed : std::get<composer::GangPlan>(outcome).members)
    members.push_back(MemberWriter(stock, object, placed).Write());
  return members;
}

}  // namespace ashlar::controller
