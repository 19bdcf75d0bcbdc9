#include "controller/near/near_controllers.h"

#include <algorithm>
#include <thread>

#include "absl/strings/match.h"
#include "controller/volume/volume_plan.h"
#include "lib/kube/object.h"

namespace ashlar::controller {
namespace {

constexpr int kQuestionWorkers = 8;
constexpr int kVolumeWorkers = 4;
// How the kubelet calls inline volumes.
constexpr char kInlinePrefix[] = "csi-";

}  // namespace

NearControllers::NearControllers(const NearParts& parts)
    : parts_(parts),
      questions_reconciler_(parts.client, parts.dra, parts.agents, parts.clock),
      volumes_reconciler_({parts.client, parts.volumes, parts.volume_writer, parts.agents,
                           parts.offers, parts.clock}),
      questions_({.name = "pod-questions", .workers = kQuestionWorkers}, questions_reconciler_,
                 parts.clock, parts.metrics),
      volumes_({.name = "inline-volumes", .workers = kVolumeWorkers}, volumes_reconciler_,
               parts.clock, parts.metrics) {}

void NearControllers::Run(std::stop_token stop) {
  std::jthread questions([&] { questions_.Run(stop); });
  volumes_.Run(stop);
}

void NearControllers::WatchCaches() {
  parts_.volumes.AddHandler([this](const api::ObjectKey& key) { OnVolume(key); });
  parts_.nodes.AddHandler([this](const api::ObjectKey& key) {
    if (parts_.nodes.Get(key) == nullptr) volumes_.queue().Add(key);
  });
}

void NearControllers::OnVolume(const api::ObjectKey& key) {
  if (!absl::StartsWith(key.name, kInlinePrefix)) return;
  if (const runtime::ObjectPtr volume = parts_.volumes.Get(key)) {
    if (IsInlineVolume(*volume))
      volumes_.queue().Add({"", JsonString(*volume, {"spec", "nodeName"})});
    return;
  }
  // Somebody may have deleted the object of a volume that is still there.
  for (const std::string& node : parts_.agents.Nodes()) {
    const AgentView agent = parts_.agents.View(node);
    if (agent.report == nullptr) continue;
    const auto& volumes = agent.report->inventory().volumes();
    if (std::any_of(volumes.begin(), volumes.end(), [&](const agent::v1::VolumeState& volume) {
          return volume.inline_volume() && volume.volume_id() == key.name;
        }))
      volumes_.queue().Add({"", node});
  }
}

void NearControllers::OnReport(const ReportChange& change) {
  const api::ObjectKey node{"", change.node};
  if (change.asks) questions_.queue().Add(node);
  if (change.first || change.inline_volumes) volumes_.queue().Add(node);
}

void NearControllers::OnFreshness(const std::string& node) { volumes_.queue().Add({"", node}); }

}  // namespace ashlar::controller
