#include "controller/pool/node_offers.h"

#include <algorithm>

#include "lib/base/status_macros.h"

namespace ashlar::controller {

std::vector<std::string> NodeOffers::Names() const {
  std::vector<std::string> names;
  for (const std::string& node : agents_.Nodes()) {
    if (Exists(node)) names.push_back(node);
  }
  for (const runtime::ObjectPtr& node : nodes_.List()) {
    names.push_back(JsonString(*node, {"metadata", "name"}));
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

bool NodeOffers::Exists(const std::string& node) const {
  return nodes_.Get({"", node}) != nullptr || agents_.View(node).state != AgentState::kNone;
}

absl::StatusOr<std::vector<NodeOffer>> NodeOffers::For(const v1alpha1::Pool& pool,
                                                       const VolumeRequest& request) const {
  ASHLAR_ASSIGN_OR_RETURN(const PoolSelection selection, PoolSelection::Make(pool));
  std::vector<std::string> names;
  if (!request.node.empty()) {
    names = {request.node};
  } else if (!request.allowed_nodes.empty()) {
    names = request.allowed_nodes;
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
  } else {
    names = Names();
  }
  std::vector<NodeOffer> offers;
  offers.reserve(names.size());
  for (const std::string& name : names) {
    const runtime::ObjectPtr node = nodes_.Get({"", name});
    const AgentView agent = agents_.View(name);
    if (node == nullptr && agent.state == AgentState::kNone) continue;
    NodeOffer offer;
    offer.node = name;
    offer.selected = selection.Selects(node.get(), agent.state != AgentState::kNone);
    offer.cordoned = IsCordoned(node.get());
    offer.agent = agent.state;
    offer.agent_detail = agent.detail;
    offers.push_back(std::move(offer));
  }
  return offers;
}

}  // namespace ashlar::controller
