#include "controller/composer/member_fit.h"

namespace ashlar::composer {

std::vector<Level> LevelsOf(const FitProblem& problem, const FitAnswer& answer, int member) {
  std::vector<Level> levels;
  for (size_t i = 0; i < problem.bonds.size(); ++i) {
    if (problem.bonds[i].member == member) levels.push_back(answer.reached[i]);
  }
  return levels;
}

std::optional<MemberFit> FitMember(const NodeDevices& node, const std::vector<MigLayout>& layouts,
                                   const MemberRequest& member) {
  if (!node.problem.empty()) return std::nullopt;
  const FitProblem problem = MakeFitProblem({&member});
  const FitAnswer answer = SearchFit(node, layouts, problem);
  if (!answer.found) return std::nullopt;
  return MemberFit{GrantsOf(problem, answer, node, 0), answer.cost, LevelsOf(problem, answer, 0),
                   answer.proven};
}

}  // namespace ashlar::composer
