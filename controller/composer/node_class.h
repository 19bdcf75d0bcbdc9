// NodeClasses: nodes that are the same to a gang, and what fits on them, found out once for each
// class. Bytes count as many as the gang's volumes can tell apart: two drives with room for three
// of its volumes are the same to it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "controller/composer/fit_search.h"

namespace ashlar::composer {

// How many members of each group a node gets.
using GroupCounts = std::vector<int>;

struct ClassFit {
  FitProblem problem;  // members in the order of the groups
  FitAnswer answer;
};

class NodeClasses {
 public:
  // `groups` asks for `replicas` members each. All arguments are borrowed.
  NodeClasses(const Inventory& inventory, const std::vector<const MemberRequest*>& groups,
              const std::vector<int>& replicas);

  // The class of a node of the inventory, by its number there; -1 if it takes nothing.
  int ClassOf(int node) const { return class_of_[node]; }
  // Classes are numbered from 0, by the name of the first node of each.
  int size() const { return static_cast<int>(example_.size()); }
  // The number of the class's first node.
  int Example(int node_class) const { return example_[node_class]; }

  // The most members of the group alone that fit, at most its replicas.
  int Most(int node_class, int group) const { return most_[node_class][group]; }

  // A way to have so many that misses the fewest levels, and of one member the cheapest; nullptr if
  // they don't fit. Stays valid.
  const ClassFit* Fit(int node_class, const GroupCounts& counts);

  // The same, if it was asked for before.
  const ClassFit* Known(int node_class, const GroupCounts& counts) const;

  // Whether every answer so far is proven.
  bool proven() const { return proven_; }

 private:
  std::string KeyOf(const NodeDevices& node) const;
  int64_t BytesThatCount(const NodeDevices& node) const;
  int MostThinkable(const NodeDevices& node, int group) const;
  int MostOfRequests(const NodeDevices& node, int group) const;
  void FindMost(int node_class);

  const Inventory& inventory_;
  const std::vector<const MemberRequest*>& groups_;
  const std::vector<int>& replicas_;
  int64_t unit_bytes_ = 0;  // every volume of the gang is a multiple
  bool names_gpus_ = false;
  bool asks_nics_ = false;  // some group asks for NICs
  std::vector<int> class_of_;
  std::vector<int> example_;
  std::vector<std::vector<int>> most_;
  std::vector<absl::flat_hash_map<GroupCounts, std::unique_ptr<ClassFit>>> fits_;
  bool proven_ = true;
};

}  // namespace ashlar::composer
