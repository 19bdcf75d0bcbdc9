// Which nodes the topologies of CSI requests mean. A topology names a node, or labels of nodes such
// as topology.kubernetes.io/zone; volumes always lie on one node.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "csi.pb.h"
#include "lib/kube/client.h"

namespace ashlar::csi_driver {

// One of the two is set.
struct TopologyTerm {
  std::string node;
  std::string label_selector;  // of Node objects

  bool operator==(const TopologyTerm&) const = default;
};

// The node that a topology names, or empty if it names none of ours.
std::string NodeOf(const csi::v1::Topology& topology);

// What a topology means. A named node makes its other segments superfluous. InvalidArgument: no
// segments, or one that can't be a label.
absl::StatusOr<TopologyTerm> ReadTopology(absl::string_view field,
                                          const csi::v1::Topology& topology);

// All topologies of a requirement, each once. InvalidArgument as above, and for more than 5000.
absl::StatusOr<std::vector<TopologyTerm>> ReadTopologies(
    absl::string_view field,
    const google::protobuf::RepeatedPtrField<csi::v1::Topology>& topologies);

// The nodes that the terms mean, each once, in the order of the terms; those of one term by name.
// Asks Kubernetes only for terms that name labels. Where the API has no Nodes (`ashlar
// standalone`), labels mean none.
absl::StatusOr<std::vector<std::string>> NodesOf(const CallContext& context, kube::Client& client,
                                                 const std::vector<TopologyTerm>& terms);

// key=value, as --topology has it; an empty value, of a label that the node does not have, is left
// out. InvalidArgument: what can't be a label, and the key of the driver's own segment.
absl::StatusOr<std::vector<std::pair<std::string, std::string>>> ParseSegments(
    const std::vector<std::string>& flags);

}  // namespace ashlar::csi_driver
