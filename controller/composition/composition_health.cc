#include "controller/composition/composition_health.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "controller/slices/gpu_health.h"
#include "lib/api/conditions.h"

namespace ashlar::controller {
namespace {

using v1alpha1::ComposedGPU;
using v1alpha1::ComposedMember;
using v1alpha1::ComposedVolume;

// A condition's message has a limit, and so have readers.
constexpr size_t kSentences = 8;

// The part of the GPU that could not be made, or is not as it was made; empty: there is none.
std::string PartTrouble(const agent::v1::Inventory& inventory, const ComposedGPU& gpu) {
  for (const agent::v1::GpuPartitionState& part : inventory.gpu_partitions())
    if (!gpu.profile().empty() && part.gpu() == gpu.gpu() && part.start() == gpu.start() &&
        part.size() == gpu.size() && !part.problem().empty())
      return absl::StrCat("its part ", gpu.profile(), " at ", gpu.start(), ": ", part.problem());
  return "";
}

std::string GpuTrouble(const MemberNode& node, const ComposedGPU& gpu, absl::Time now) {
  if (!node.gpus_problem.empty()) return node.gpus_problem;
  const agent::v1::Inventory& inventory = *node.inventory;
  const v1alpha1::GpuDriver& driver = inventory.gpu_driver();
  if (driver.state() != "Ready")
    return absl::StrCat("the GPUs' driver is ", driver.state().empty() ? "gone" : driver.state(),
                        driver.message().empty() ? "" : ": ", driver.message());
  const auto its = std::find_if(inventory.gpus().begin(), inventory.gpus().end(),
                                [&](const auto& one) { return one.uuid() == gpu.gpu(); });
  if (its == inventory.gpus().end()) return "it is not there any more";
  if (const std::string problem = GpuProblem(*its); !problem.empty())
    return absl::StrCat("it ", problem);
  if (const SevereXid xid = SevereXidOf(its->health(), now); xid.code != 0)
    return absl::StrCat("XID ", xid.code);
  return PartTrouble(inventory, gpu);
}

std::string NicTrouble(const agent::v1::Inventory& inventory, const v1alpha1::ComposedNIC& nic) {
  for (const v1alpha1::Nic& its : inventory.nics())
    if (its.pci_address() == nic.pci_address()) return its.link_up() ? "" : "no link is up";
  return "it is not there any more";
}

std::string VolumeTrouble(const ComposedObjects& made, const ComposedVolume& volume) {
  const auto its = made.volumes.find(volume.volume());
  if (its == made.volumes.end()) return "it is gone";
  const k8s::Condition* healthy = api::FindCondition(its->second.status().conditions(), "Healthy");
  if (healthy == nullptr || healthy->status() != api::kFalse) return "";
  return healthy->message().empty() ? healthy->reason() : healthy->message();
}

class MemberTroubles {
 public:
  MemberTroubles(const CompositionFacts& facts, absl::Time now) : facts_(facts), now_(now) {}

  void Look(const ComposedMember& member) {
    const auto found = facts_.member_nodes.find(member.node());
    const MemberNode nothing;
    const MemberNode& node = found == facts_.member_nodes.end() ? nothing : found->second;
    settling |= node.settling;
    if (!node.problem.empty())
      sentences.push_back(absl::StrCat(member.name(), ": node ", member.node(), " ", node.problem));
    // What a node tells that is not heard any more is old.
    const bool heard = node.problem.empty() && node.inventory != nullptr;
    for (const ComposedGPU& gpu : member.gpus()) {
      std::string trouble = heard ? GpuTrouble(node, gpu, now_) : "";
      if (trouble.empty() && IsTaken(member, gpu)) trouble = "it is somebody else's now";
      Add(member, absl::StrCat("GPU ", gpu.gpu()), trouble);
    }
    for (const v1alpha1::ComposedNIC& nic : member.nics())
      Add(member, absl::StrCat("NIC ", nic.pci_address()),
          heard ? NicTrouble(*node.inventory, nic) : "");
    for (const ComposedVolume& volume : member.volumes())
      Add(member, absl::StrCat("volume ", volume.request(), " (", volume.volume(), ")"),
          VolumeTrouble(facts_.made, volume));
  }

  std::vector<std::string> sentences;
  bool settling = false;

 private:
  bool IsTaken(const ComposedMember& member, const ComposedGPU& gpu) const {
    const auto claim = facts_.made.claims.find(member.resource_claim_name());
    if (claim != facts_.made.claims.end() && claim->second.status().has_allocation()) return false;
    return !CouldHave(facts_.stock.inventory, member, gpu);
  }
  void Add(const ComposedMember& member, const std::string& device, const std::string& trouble) {
    if (!trouble.empty())
      sentences.push_back(
          absl::StrCat(member.name(), " on node ", member.node(), ": ", device, ": ", trouble));
  }

  const CompositionFacts& facts_;
  const absl::Time now_;
};

}  // namespace

bool CouldHave(const composer::Inventory& inventory, const ComposedMember& member,
               const ComposedGPU& gpu) {
  const bool heard = std::any_of(
      inventory.nodes.begin(), inventory.nodes.end(),
      [&](const auto& node) { return node.name == member.node() && !node.gpus.empty(); });
  v1alpha1::GPUPartitionAllocation place;
  place.set_node(member.node());
  place.set_gpu(gpu.gpu());
  place.set_profile(gpu.profile());
  place.set_start(gpu.start());
  place.set_size(gpu.size());
  return !heard || IsFree(inventory, place);
}

std::optional<std::string> TroubleOf(const CompositionFacts& facts, absl::Time now) {
  MemberTroubles troubles(facts, now);
  for (const ComposedMember& member : facts.object.status().members()) troubles.Look(member);
  if (troubles.settling) return std::nullopt;
  std::vector<std::string>& all = troubles.sentences;
  const size_t more = all.size() - std::min(all.size(), kSentences);
  all.resize(all.size() - more);
  return absl::StrCat(absl::StrJoin(all, "; "), more > 0 ? absl::StrCat("; ", more, " more") : "");
}

}  // namespace ashlar::controller
