#include "controller/composition/fragment_gauges.h"

#include <map>

#include "ashlar/v1alpha1/composition.codec.h"
#include "ashlar/v1alpha1/gpu_partition.codec.h"
#include "controller/composition/gang_choice.h"
#include "lib/base/log.h"

namespace ashlar::controller {
namespace {

constexpr char kSlices[] = "ashlar_controller_gpu_slices";
constexpr char kSlicesHelp[] =
    "Memory slices of GPUs that nobody has (free), and those of them that nothing that is asked "
    "for could use (stranded).";
constexpr char kBytes[] = "ashlar_controller_gpu_node_bytes";
constexpr char kBytesHelp[] =
    "Bytes of drives beside GPUs that nobody has (free), and those of them that nothing that is "
    "asked for could use (stranded).";
constexpr char kSlicesAt[] = "ashlar_controller_stranded_gpu_slices";
constexpr char kSlicesAtHelp[] =
    "Stranded slices at a PCIe root of a node, for the nodes that have most.";
constexpr char kBytesAt[] = "ashlar_controller_stranded_gpu_node_bytes";
constexpr char kBytesAtHelp[] =
    "Stranded bytes at a PCIe root of a node, for the nodes that have most.";

metrics::Labels At(const std::string& node, const std::string& root) {
  return {{"node", node}, {"root", root}};
}

}  // namespace

FragmentGauges::FragmentGauges(const FragmentOptions& options, const CompositionSources& parts,
                               Clock& clock, metrics::Registry& metrics)
    : options_(options),
      parts_(parts),
      gatherer_(parts),
      clock_(clock),
      metrics_(metrics),
      free_slices_(metrics.GetGauge(kSlices, kSlicesHelp, {{"state", "free"}})),
      stranded_slices_(metrics.GetGauge(kSlices, kSlicesHelp, {{"state", "stranded"}})),
      free_bytes_(metrics.GetGauge(kBytes, kBytesHelp, {{"state", "free"}})),
      stranded_bytes_(metrics.GetGauge(kBytes, kBytesHelp, {{"state", "stranded"}})) {}

// Whoever leads next tells.
FragmentGauges::~FragmentGauges() { Show({}); }

void FragmentGauges::Run(const CallContext& context) {
  do {
    Look(context);
  } while (SleepFor(clock_, context, options_.period).ok());
}

std::vector<composer::MemberRequest> FragmentGauges::Shapes(
    const composer::Inventory& inventory) const {
  std::vector<composer::MemberRequest> shapes;
  std::set<std::string> seen;
  const auto add = [&](const std::string& text, composer::MemberRequest shape) {
    if (shapes.size() < options_.most_shapes && seen.insert(text).second)
      shapes.push_back(std::move(shape));
  };
  for (const runtime::ObjectPtr& object : parts_.compositions.List()) {
    const auto composition = api::FromJson<v1alpha1::Composition>(*object);
    if (!composition.ok()) continue;
    v1alpha1::CompositionClassSpec its_class;
    if (const auto found = parts_.classes.Get({"", composition->spec().class_name()})) {
      if (const auto read = api::FromJson<v1alpha1::CompositionClass>(*found); read.ok())
        its_class = read->spec();
    }
    const v1alpha1::CompositionSpec spec = WithClass(composition->spec(), its_class);
    for (const auto& member : spec.members()) {
      v1alpha1::CompositionMember alike = member;
      alike.clear_name();
      alike.clear_replicas();
      add(alike.SerializeAsString(), MemberRequestOf(member));
    }
  }
  for (const runtime::ObjectPtr& object : parts_.gpu_partitions.List()) {
    const auto partition = api::FromJson<v1alpha1::GPUPartition>(*object);
    if (!partition.ok() || partition->spec().profile().empty()) continue;
    const auto& products = partition->spec().gpus().products();
    composer::GpuRequest parts{.name = "parts",
                               .count = partition->spec().count(),
                               .profile = partition->spec().profile(),
                               .products = {products.begin(), products.end()}};
    v1alpha1::GPUPartitionSpec alike;
    alike.set_profile(parts.profile);
    alike.set_count(parts.count);
    *alike.mutable_gpus()->mutable_products() = products;
    add("GPUPartition" + alike.SerializeAsString(), {.name = "parts", .gpus = {std::move(parts)}});
  }
  return shapes.empty() ? UsualShapes(inventory.layouts) : shapes;
}

void FragmentGauges::Look(const CallContext& context) {
  const absl::StatusOr<GatheredStock> gathered = gatherer_.GatherWholeStock(context);
  if (!gathered.ok())
    return LogWarning("cannot count fragments", {{"error", gathered.status().ToString()}});
  const composer::Inventory& inventory = gathered->stock.inventory;
  Show(counter_.Count(inventory, Shapes(inventory), options_.most_nodes));
}

void FragmentGauges::Show(const FragmentFigures& figures) {
  free_slices_.Set(figures.all.free_slices);
  stranded_slices_.Set(figures.all.stranded_slices);
  free_bytes_.Set(static_cast<double>(figures.all.free_bytes));
  stranded_bytes_.Set(static_cast<double>(figures.all.stranded_bytes));
  std::set<std::pair<std::string, std::string>> shown;
  for (const StrandedAt& at : figures.worst) {
    const metrics::Labels labels = At(at.node, at.root);
    metrics_.GetGauge(kSlicesAt, kSlicesAtHelp, labels).Set(at.fragments.stranded_slices);
    metrics_.GetGauge(kBytesAt, kBytesAtHelp, labels)
        .Set(static_cast<double>(at.fragments.stranded_bytes));
    shown.emplace(at.node, at.root);
  }
  for (const auto& [node, root] : shown_) {
    if (shown.count({node, root}) > 0) continue;
    metrics_.RemoveGauge(kSlicesAt, At(node, root));
    metrics_.RemoveGauge(kBytesAt, At(node, root));
  }
  shown_ = std::move(shown);
}

}  // namespace ashlar::controller
