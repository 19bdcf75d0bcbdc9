#include "controller/placement/placement.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace ashlar::controller {
namespace {

// How many nodes a refusal names one by one; a condition's message has a limit, and so have
// readers.
constexpr size_t kNodesExplained = 8;

bool Contains(const std::vector<std::string>& names, absl::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

NodeRefusal Refuse(const NodeOffer& offer, Obstacle obstacle, std::string detail) {
  return {offer.node, obstacle, std::move(detail), 0};
}

// Why the pool on this node is out of the question whatever its size, or nothing.
std::optional<NodeRefusal> FindObstacle(const NodeOffer& offer, const VolumeRequest& request) {
  const bool named = !request.node.empty();
  if (named ? offer.node != request.node
            : !request.allowed_nodes.empty() && !Contains(request.allowed_nodes, offer.node)) {
    return Refuse(offer, Obstacle::kNotAllowed, "not allowed by the volume");
  }
  if (!offer.selected) return Refuse(offer, Obstacle::kNotSelected, "not selected by the pool");
  if (offer.cordoned && !named) {
    return Refuse(offer, Obstacle::kCordoned, "cordoned: takes no new volumes");
  }
  const std::string detail =
      offer.agent_detail.empty() ? "" : absl::StrCat(": ", offer.agent_detail);
  if (offer.agent == AgentState::kNone) {
    return Refuse(offer, Obstacle::kNoAgent, absl::StrCat("runs no agent", detail));
  }
  if (offer.agent == AgentState::kSilent) {
    return Refuse(offer, Obstacle::kAgentSilent, absl::StrCat("its agent is silent", detail));
  }
  if (!offer.pool_ready) {
    std::string why = absl::StrCat("pool not ready: ", offer.pool_reason);
    if (!offer.pool_message.empty()) absl::StrAppend(&why, ": ", offer.pool_message);
    return Refuse(offer, Obstacle::kPoolNotReady, std::move(why));
  }
  if (!request.drive.empty() && !offer.has_drive) {
    return Refuse(offer, Obstacle::kNoDrive, "the pool takes no volumes on that drive here");
  }
  return std::nullopt;
}

// True if `a` is to be taken before `b` when neither is preferred.
bool Better(PlacementPolicy policy, const NodeOffer& a, const NodeOffer& b) {
  if (a.allocatable_bytes != b.allocatable_bytes) {
    return policy == PlacementPolicy::kMostFree ? a.allocatable_bytes > b.allocatable_bytes
                                                : a.allocatable_bytes < b.allocatable_bytes;
  }
  return a.node < b.node;
}

const NodeOffer* Choose(const std::vector<const NodeOffer*>& fitting,
                        const VolumeRequest& request) {
  for (const std::string& preferred : request.preferred_nodes) {
    for (const NodeOffer* offer : fitting) {
      if (offer->node == preferred) return offer;
    }
  }
  return *std::min_element(
      fitting.begin(), fitting.end(),
      [&](const NodeOffer* a, const NodeOffer* b) { return Better(request.policy, *a, *b); });
}

// The kind says what has to change: room is stated first, because it can be asked for elsewhere.
Refusal::Kind KindOf(const std::vector<NodeRefusal>& nodes) {
  auto any = [&](Obstacle obstacle) {
    return std::any_of(nodes.begin(), nodes.end(),
                       [&](const NodeRefusal& node) { return node.obstacle == obstacle; });
  };
  if (any(Obstacle::kNoRoom)) return Refusal::Kind::kNoCapacity;
  if (any(Obstacle::kPoolNotReady)) return Refusal::Kind::kPoolNotReady;
  if (any(Obstacle::kAgentSilent) || any(Obstacle::kNoAgent)) {
    return Refusal::Kind::kAgentUnavailable;
  }
  return Refusal::Kind::kNoCapacity;
}

// A part of the granularity cannot be given to anyone.
int64_t Usable(int64_t bytes) {
  return std::max<int64_t>(0, bytes) / kVolumeGranularityBytes * kVolumeGranularityBytes;
}

std::string NoRoomDetail(int64_t wanted, int64_t largest, const NodeOffer& offer) {
  const int64_t allocatable = Usable(offer.allocatable_bytes);
  if (largest == allocatable) {
    return absl::StrCat("needs ", FormatBytes(wanted), " but ", FormatBytes(largest),
                        " are allocatable");
  }
  return absl::StrCat("needs ", FormatBytes(wanted), " but the largest volume has ",
                      FormatBytes(largest), " of the ", FormatBytes(allocatable),
                      " that are allocatable");
}

// Nodes that the request names and that nobody offers: they don't exist.
void RefuseUnknownNodes(const std::vector<NodeOffer>& offers, const VolumeRequest& request,
                        std::vector<NodeRefusal>& refusals) {
  std::vector<std::string> wanted = request.allowed_nodes;
  if (!request.node.empty()) wanted = {request.node};
  std::sort(wanted.begin(), wanted.end());
  wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
  for (const std::string& name : wanted) {
    const bool offered = std::any_of(offers.begin(), offers.end(),
                                     [&](const NodeOffer& offer) { return offer.node == name; });
    if (!offered) refusals.push_back({name, Obstacle::kNotSelected, "no such node", 0});
  }
}

int Rank(Obstacle obstacle) {
  switch (obstacle) {
    case Obstacle::kNoRoom:
      return 0;
    case Obstacle::kPoolNotReady:
      return 1;
    case Obstacle::kAgentSilent:
      return 2;
    case Obstacle::kNoAgent:
      return 3;
    case Obstacle::kNoDrive:
      return 4;
    case Obstacle::kCordoned:
      return 5;
    case Obstacle::kNotSelected:
      return 6;
    case Obstacle::kNotAllowed:
      return 7;
  }
  return 8;
}

std::string Summary(Obstacle obstacle) {
  switch (obstacle) {
    case Obstacle::kNoRoom:
      return "without room";
    case Obstacle::kPoolNotReady:
      return "where the pool is not ready";
    case Obstacle::kAgentSilent:
      return "with a silent agent";
    case Obstacle::kNoAgent:
      return "without an agent";
    case Obstacle::kNoDrive:
      return "without that drive";
    case Obstacle::kCordoned:
      return "cordoned";
    case Obstacle::kNotSelected:
      return "not selected by the pool";
    case Obstacle::kNotAllowed:
      return "not allowed by the volume";
  }
  return "";
}

}  // namespace

int64_t RoundedVolumeBytes(int64_t bytes) {
  if (bytes > std::numeric_limits<int64_t>::max() - kVolumeGranularityBytes) {
    return std::numeric_limits<int64_t>::max();
  }
  return (bytes + kVolumeGranularityBytes - 1) / kVolumeGranularityBytes * kVolumeGranularityBytes;
}

std::string FormatBytes(int64_t bytes) {
  constexpr std::pair<int, const char*> kUnits[] = {
      {50, "Pi"}, {40, "Ti"}, {30, "Gi"}, {20, "Mi"}, {10, "Ki"}};
  for (const auto& [shift, unit] : kUnits) {
    const int64_t size = int64_t{1} << shift;
    if (bytes != 0 && bytes % size == 0) return absl::StrCat(bytes / size, unit);
  }
  return absl::StrCat(bytes);
}

std::string Refusal::Explain() const {
  std::vector<const NodeRefusal*> order;
  for (const NodeRefusal& node : nodes) order.push_back(&node);
  std::stable_sort(order.begin(), order.end(), [](const NodeRefusal* a, const NodeRefusal* b) {
    return std::make_pair(Rank(a->obstacle), -a->largest_bytes) <
           std::make_pair(Rank(b->obstacle), -b->largest_bytes);
  });
  std::string text = absl::StrCat(FormatBytes(requested_bytes), " of pool ", pool);
  if (!drive.empty()) absl::StrAppend(&text, " on drive ", drive);
  absl::StrAppend(&text, " fit on none of ", nodes.size(), nodes.size() == 1 ? " node" : " nodes");
  const size_t shown = std::min(order.size(), kNodesExplained);
  for (size_t i = 0; i < shown; ++i) {
    absl::StrAppend(&text, i == 0 ? ": " : "; ", order[i]->node, ": ", order[i]->detail);
  }
  std::map<int, std::pair<Obstacle, int>> rest;
  for (size_t i = shown; i < order.size(); ++i) {
    auto& entry = rest[Rank(order[i]->obstacle)];
    entry = {order[i]->obstacle, entry.second + 1};
  }
  for (const auto& [rank, entry] : rest) {
    absl::StrAppend(&text, "; ", entry.second, " more ", Summary(entry.first));
  }
  absl::StrAppend(&text, ".");
  if (largest_bytes > 0) {
    absl::StrAppend(&text, " The largest volume that fits is ", FormatBytes(largest_bytes),
                    " on node ", largest_node, ".");
  }
  return text;
}

PlacementOutcome Place(const std::vector<NodeOffer>& offers, const VolumeRequest& request) {
  const int64_t bytes = RoundedVolumeBytes(request.size_bytes);
  Refusal refusal;
  refusal.requested_bytes = bytes;
  refusal.pool = request.pool;
  refusal.drive = request.drive;
  std::vector<const NodeOffer*> certain, fitting;
  for (const NodeOffer& offer : offers) {
    if (std::optional<NodeRefusal> obstacle = FindObstacle(offer, request)) {
      refusal.nodes.push_back(*std::move(obstacle));
      continue;
    }
    const int64_t usable = Usable(std::min(offer.allocatable_bytes, offer.largest_bytes));
    if (usable >= bytes) {
      fitting.push_back(&offer);
      if (Usable(offer.certain_bytes) >= bytes) certain.push_back(&offer);
      continue;
    }
    refusal.nodes.push_back(
        {offer.node, Obstacle::kNoRoom, NoRoomDetail(bytes, usable, offer), usable});
    const bool larger = usable > refusal.largest_bytes ||
                        (usable == refusal.largest_bytes && offer.node < refusal.largest_node);
    if (usable > 0 && larger) {
      refusal.largest_bytes = usable;
      refusal.largest_node = offer.node;
    }
  }
  if (!fitting.empty()) {
    const NodeOffer* chosen = Choose(certain.empty() ? fitting : certain, request);
    return Plan{{Assignment{request.volume, chosen->node, request.pool, bytes, request.drive}}};
  }
  RefuseUnknownNodes(offers, request, refusal.nodes);
  std::sort(refusal.nodes.begin(), refusal.nodes.end(),
            [](const NodeRefusal& a, const NodeRefusal& b) { return a.node < b.node; });
  refusal.kind = KindOf(refusal.nodes);
  return refusal;
}

}  // namespace ashlar::controller
