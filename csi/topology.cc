#include "csi/topology.h"

#include <algorithm>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "csi/names.h"
#include "lib/base/status_macros.h"
#include "lib/kube/core_kinds.h"
#include "lib/kube/object.h"

namespace ashlar::csi_driver {
namespace {

constexpr size_t kMaxNodes = 5000;

// A label's value, or the part of its name behind the slash.
bool IsLabelWord(absl::string_view word) {
  if (word.empty() || word.size() > 63) return false;
  if (!absl::ascii_isalnum(word.front()) || !absl::ascii_isalnum(word.back())) return false;
  return std::all_of(word.begin(), word.end(), [](char c) {
    return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
  });
}

bool IsLabelKey(absl::string_view key) {
  const std::vector<absl::string_view> parts = absl::StrSplit(key, '/');
  if (parts.size() > 2) return false;
  if (parts.size() == 2 && (parts[0].empty() || parts[0].size() > 253)) return false;
  for (const absl::string_view label : absl::StrSplit(parts.size() == 2 ? parts[0] : "a", '.')) {
    if (!IsLabelWord(label)) return false;
  }
  return IsLabelWord(parts.back());
}

absl::Status CheckSegment(absl::string_view field, absl::string_view key, absl::string_view value) {
  if (IsLabelKey(key) && IsLabelWord(value)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, " has the segment '", key, "'='", value, "', which can't be a label"));
}

}  // namespace

std::string NodeOf(const csi::v1::Topology& topology) {
  const auto found = topology.segments().find(kTopologyKey);
  return found == topology.segments().end() ? std::string() : found->second;
}

absl::StatusOr<TopologyTerm> ReadTopology(absl::string_view field,
                                          const csi::v1::Topology& topology) {
  const std::map<std::string, std::string> segments(topology.segments().begin(),
                                                    topology.segments().end());
  if (segments.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(field, " has no segments; it must name a node (",
                                                   kTopologyKey, ") or labels of nodes"));
  }
  for (const auto& [key, value] : segments) {
    // The name of a node is a subdomain and may be longer than a label's value.
    if (key == kTopologyKey && !value.empty()) continue;
    ASHLAR_RETURN_IF_ERROR(CheckSegment(field, key, value));
  }
  TopologyTerm term{.node = NodeOf(topology), .label_selector = ""};
  if (term.node.empty())
    term.label_selector = absl::StrJoin(segments, ",", absl::PairFormatter("="));
  return term;
}

absl::StatusOr<std::vector<TopologyTerm>> ReadTopologies(
    absl::string_view field,
    const google::protobuf::RepeatedPtrField<csi::v1::Topology>& topologies) {
  std::vector<TopologyTerm> terms;
  for (const csi::v1::Topology& topology : topologies) {
    ASHLAR_ASSIGN_OR_RETURN(TopologyTerm term, ReadTopology(field, topology));
    if (std::find(terms.begin(), terms.end(), term) == terms.end()) {
      terms.push_back(std::move(term));
    }
  }
  if (terms.size() > kMaxNodes) {
    return absl::InvalidArgumentError(absl::StrCat(
        field, " names ", terms.size(), " places; at most ", kMaxNodes, " are accepted"));
  }
  return terms;
}

absl::StatusOr<std::vector<std::string>> NodesOf(const CallContext& context, kube::Client& client,
                                                 const std::vector<TopologyTerm>& terms) {
  std::vector<std::string> nodes;
  const auto add = [&](const std::string& node) {
    if (std::find(nodes.begin(), nodes.end(), node) == nodes.end()) nodes.push_back(node);
  };
  for (const TopologyTerm& term : terms) {
    if (!term.node.empty()) {
      add(term.node);
      continue;
    }
    const absl::StatusOr<kube::ListResult> found =
        client.List(context, kube::kNode, {.label_selector = term.label_selector});
    if (absl::IsNotFound(found.status())) continue;
    if (!found.ok()) return Annotate(found.status(), "nodes");
    std::vector<std::string> names;
    for (const Json& node : found->items) names.push_back(kube::KeyOf(node).name);
    std::sort(names.begin(), names.end());
    for (const std::string& name : names) add(name);
  }
  if (nodes.size() > kMaxNodes) nodes.resize(kMaxNodes);
  return nodes;
}

absl::StatusOr<std::vector<std::pair<std::string, std::string>>> ParseSegments(
    const std::vector<std::string>& flags) {
  std::map<std::string, std::string> segments;
  for (const std::string& flag : flags) {
    const std::pair<std::string, std::string> pair = absl::StrSplit(flag, absl::MaxSplits('=', 1));
    if (flag.find('=') == std::string::npos || pair.first == kTopologyKey) {
      return absl::InvalidArgumentError(absl::StrCat(
          "topology '", flag, "' must be key=value, of another key than ", kTopologyKey));
    }
    if (pair.second.empty()) continue;
    ASHLAR_RETURN_IF_ERROR(CheckSegment("topology", pair.first, pair.second));
    const auto [found, added] = segments.insert(pair);
    if (!added && found->second != pair.second) {
      return absl::InvalidArgumentError(absl::StrCat(
          "topology names ", pair.first, " twice: ", found->second, " and ", pair.second));
    }
  }
  return std::vector<std::pair<std::string, std::string>>(segments.begin(), segments.end());
}

}  // namespace ashlar::csi_driver
