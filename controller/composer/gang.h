// PlaceGang: which nodes serve the members of a gang, with which devices, all or nothing. A pure
// function: facts and a request in, a plan or an explained refusal out; equal input gives equal
// output, in whatever order the nodes come.
//
// What is best, the first that differs decides: fewest members left out (if the gang may do with
// fewer), fewest domains of the preferred label, fewest levels missed by preferred constraints,
// fewest nodes. Between equals the devices whose taking leaves the most room for others, as far as
// is looked (docs/decisions/0018-placement-of-gangs.md).
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "controller/composer/member_request.h"
#include "controller/composer/misfit.h"

namespace ashlar::composer {

struct GangMembers {
  MemberRequest request;
  int replicas = 1;
};

struct GangRequest {
  std::vector<GangMembers> members;
  std::string required_label;            // all nodes have one value of it; empty: any nodes
  std::string preferred_label;           // as few values of it as possible
  int min_members = 0;                   // so many will do; 0: all
  std::vector<std::string> rank_labels;  // the outermost first: ranks follow these domains too
};

struct PlacedMember {
  std::string member;
  int index = 0;  // among the replicas, in the order of the ranks
  int rank = 0;   // in the gang: neighbours in a domain and on a node have neighbouring ranks
  int node = 0;   // of the inventory
  Grants grants;
  std::vector<Level> reached;  // by constraint
};

struct GangCost {
  int left_out = 0;  // members
  int domains = 0;   // of the preferred label; 0: there is none
  int missed_levels = 0;
  int nodes = 0;
  friend auto operator<=>(const GangCost&, const GangCost&) = default;
};

struct GangPlan {
  std::vector<PlacedMember> members;  // by rank
  GangCost cost;
  bool proven = true;  // no plan costs less
};

// Why the members of a kind, or one more of them, fit on some nodes no better.
struct NodeMisfit {
  std::string node;
  int alike = 0;  // more nodes that are the same to the gang
  std::string member;
  int fits = 0;  // of the member, alone on the node
  std::vector<Misfit> misfits;
};

struct GangRefusal {
  int wanted = 0;      // members that there must be
  int placeable = 0;   // that were placed when as many as possible were
  std::string domain;  // the best "label value" for it; empty: no label is required
  bool proven = true;  // false: the search ended before it had seen everything
  std::vector<NodeMisfit> nodes;

  // A sentence on what fits, one for each of the nodes that say most, and a count of the rest.
  std::string Explain() const;
};

using GangOutcome = std::variant<GangPlan, GangRefusal>;

GangOutcome PlaceGang(const Inventory& inventory, const GangRequest& request);

}  // namespace ashlar::composer
