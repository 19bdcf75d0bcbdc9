#include "kubectl/topology.h"

#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kubectl/topology_tree.h"
#include "lib/api/kinds.h"
#include "lib/base/status_macros.h"

namespace ashlar::kubectl {

using v1alpha1::NodeInventory;

absl::StatusOr<std::string> Topology(const CallContext& context, kube::Client& client,
                                     const std::vector<std::string>& nodes) {
  ASHLAR_ASSIGN_OR_RETURN(const kube::ListResult list,
                          client.List(context, api::Kind<NodeInventory>(), {}));
  std::map<std::string, std::string> drawn;
  for (const Json& item : list.items) {
    ASHLAR_ASSIGN_OR_RETURN(const NodeInventory inventory, api::FromJson<NodeInventory>(item));
    drawn[inventory.metadata().name()] = DrawTopology(inventory);
  }
  std::vector<std::string> names = nodes, unknown, pages;
  if (names.empty())
    for (const auto& [name, text] : drawn) names.push_back(name);
  for (const std::string& name : names) {
    const auto found = drawn.find(name);
    if (found == drawn.end()) {
      unknown.push_back(name);
    } else {
      pages.push_back(found->second);
    }
  }
  if (!unknown.empty())
    return absl::NotFoundError(absl::StrCat(
        "no agent has told of ", absl::StrJoin(unknown, ", "), "; there are: ",
        drawn.empty() ? "none"
                      : absl::StrJoin(drawn, ", ", [](std::string* out, const auto& entry) {
                          absl::StrAppend(out, entry.first);
                        })));
  if (pages.empty()) return std::string("no agent has told of a node yet\n");
  return absl::StrJoin(pages, "\n");
}

}  // namespace ashlar::kubectl
