#include "controller/composer/misfit.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "controller/composer/fit_search.h"
#include "controller/placement/placement.h"

namespace ashlar::composer {
namespace {

using controller::FormatBytes;
using controller::kVolumeGranularityBytes;

class MisfitExplainer {
 public:
  MisfitExplainer(const NodeDevices& node, const std::vector<MigLayout>& layouts,
                  const MemberRequest& member)
      : node_(node), layouts_(layouts), member_(member) {}

  std::vector<Misfit> Explain() const {
    if (!node_.problem.empty()) return {{"the node", node_.problem, ""}};
    std::vector<Misfit> misfits;
    for (const GpuRequest& request : member_.gpus) {
      if (!Fits(Only(request))) misfits.push_back(OfGpus(request));
    }
    for (const DriveRequest& request : member_.drives) {
      if (!Fits(Only(request))) misfits.push_back(OfDrive(request));
    }
    for (const NicRequest& request : member_.nics) {
      if (!Fits(Only(request))) misfits.push_back(OfNics(request));
    }
    if (!misfits.empty()) return misfits;
    MemberRequest free = member_;
    free.constraints.clear();
    if (!Fits(free)) {
      return {{"all requests together", "each fits by itself, but not all of them", Largest(free)}};
    }
    return OfConstraints();
  }

 private:
  static MemberRequest Only(GpuRequest request) { return {.gpus = {std::move(request)}}; }
  static MemberRequest Only(DriveRequest request) { return {.drives = {std::move(request)}}; }

  static MemberRequest Only(NicRequest request) { return {.nics = {std::move(request)}}; }

  FitAnswer Search(const MemberRequest& member) const {
    return SearchFit(node_, layouts_, MakeFitProblem({&member}));
  }
  bool Fits(const MemberRequest& member) const { return Search(member).found; }

  Misfit OfGpus(const GpuRequest& request) const {
    const std::string of = request.products.empty()
                               ? ""
                               : absl::StrCat(" of ", absl::StrJoin(request.products, " or "));
    const bool any = std::any_of(node_.gpus.begin(), node_.gpus.end(),
                                 [&](const Gpu& gpu) { return MayUse(request, gpu, layouts_); });
    const std::string what = request.profile.empty() ? "GPU" : request.profile;
    const std::string wanted = absl::StrCat(request.name, ": ", request.count, " ", what, of);
    if (!any)
      return {wanted, absl::StrCat("no usable GPU can give it", WhyUnusable(request)),
              NearestProfile(request)};
    GpuRequest fewer = request;
    for (--fewer.count; fewer.count > 0 && !Fits(Only(fewer));) --fewer.count;
    std::string reason =
        fewer.count == 0
            ? "none is free"
            : absl::StrCat("only ", fewer.count, fewer.count == 1 ? " is free" : " are free");
    if (request.one_clique) absl::StrAppend(&reason, " in one clique");
    return {wanted, std::move(reason), NearestProfile(request)};
  }

  // What stands against the GPUs that could give it else, each reason once; empty: there are none.
  std::string WhyUnusable(const GpuRequest& request) const {
    std::vector<std::string> reasons;
    for (Gpu gpu : node_.gpus) {
      const std::string problem = std::exchange(gpu.problem, "");
      if (problem.empty() || !MayUse(request, gpu, layouts_)) continue;
      if (std::find(reasons.begin(), reasons.end(), problem) == reasons.end())
        reasons.push_back(problem);
    }
    return reasons.empty() ? "" : absl::StrCat(": ", absl::StrJoin(reasons, ", or "));
  }

  // The largest profile of which as many could be had.
  std::string NearestProfile(const GpuRequest& request) const {
    if (request.profile.empty()) return "";
    std::string best;
    std::pair<int, int> best_size;
    for (const MigLayout& layout : layouts_) {
      for (const MigProfile& profile : layout.profiles()) {
        if (profile.placements.empty() || profile.name == request.profile) continue;
        const std::pair<int, int> size{profile.placements[0].size, profile.compute_slices};
        GpuRequest other = request;
        other.profile = profile.name;
        if (size <= best_size || !Fits(Only(other))) continue;
        best = profile.name;
        best_size = size;
      }
    }
    return best.empty() ? "" : absl::StrCat("largest that fits: ", best);
  }

  static std::string Speed(int mbits) {
    return mbits % 1000 == 0 ? absl::StrCat(mbits / 1000, " Gbit/s")
                             : absl::StrCat(mbits, " Mbit/s");
  }
  static std::string Text(const NicRequest& request) {
    std::string text =
        absl::StrCat(request.name, ": ", request.count, request.count == 1 ? " NIC" : " NICs");
    if (!request.link_layer.empty()) absl::StrAppend(&text, " of ", request.link_layer);
    if (request.rdma) absl::StrAppend(&text, " with RDMA");
    if (request.min_speed_mbits > 0)
      absl::StrAppend(&text, " from ", Speed(request.min_speed_mbits));
    return text;
  }

  Misfit OfNics(const NicRequest& request) const {
    NicRequest fewer = request;
    for (--fewer.count; fewer.count > 0 && !Fits(Only(fewer));) --fewer.count;
    if (fewer.count > 0)
      return {Text(request),
              absl::StrCat("only ", fewer.count, fewer.count == 1 ? " is" : " are", " such"),
              NearestNics(request)};
    std::string down;
    for (Nic nic : node_.nics) {
      const std::string problem = std::exchange(nic.problem, "");
      if (!problem.empty() && Serves(nic, request))
        absl::StrAppend(&down, down.empty() ? ": " : ", ", nic.name, " would be: ", problem);
    }
    return {Text(request), absl::StrCat("none is such", down), NearestNics(request)};
  }

  // One wish given up: the speed as little as can be, then what they speak, then RDMA.
  std::string NearestNics(const NicRequest& request) const {
    int fastest = 0;
    for (const Nic& nic : node_.nics) {
      NicRequest slower = request;
      slower.min_speed_mbits = nic.speed_mbits;
      if (nic.speed_mbits > fastest && nic.speed_mbits < request.min_speed_mbits &&
          Fits(Only(slower)))
        fastest = nic.speed_mbits;
    }
    if (fastest > 0) return absl::StrCat("fastest that fits: ", Speed(fastest));
    NicRequest any_layer = request;
    any_layer.link_layer.clear();
    if (!request.link_layer.empty() && Fits(Only(any_layer)))
      return absl::StrCat("it would fit with ",
                          request.link_layer == "Ethernet" ? "InfiniBand" : "Ethernet");
    NicRequest plain = request;
    plain.rdma = false;
    return request.rdma && Fits(Only(plain)) ? "it would fit without RDMA" : "";
  }

  Misfit OfDrive(const DriveRequest& request) const {
    const std::string kind = request.kind.empty() ? "" : absl::StrCat(" of pool ", request.kind);
    const std::string wanted = absl::StrCat(request.name, ": ", FormatBytes(request.bytes), kind,
                                            request.whole_drive ? " on a drive of its own" : "");
    DriveRequest any = request;
    any.bytes = 0;
    if (!Fits(Only(any))) return {wanted, "no usable drive can hold it", ""};
    const std::string nearest = Largest(Only(request));
    return {wanted, "no drive has so much left", nearest};
  }

  // The largest that the biggest volume of the member could be, all else as it is.
  std::string Largest(MemberRequest member) const {
    if (member.drives.empty()) return "";
    auto biggest = std::max_element(
        member.drives.begin(), member.drives.end(),
        [](const DriveRequest& a, const DriveRequest& b) { return a.bytes < b.bytes; });
    int64_t fits = 0, too_much = biggest->bytes / kVolumeGranularityBytes + 1;
    while (fits + 1 < too_much) {
      const int64_t middle = fits + (too_much - fits) / 2;
      biggest->bytes = middle * kVolumeGranularityBytes;
      (Fits(member) ? fits : too_much) = middle;
    }
    if (fits == 0) return "";
    return absl::StrCat("largest ", biggest->name,
                        " that fits: ", FormatBytes(fits * kVolumeGranularityBytes));
  }

  std::string Text(const Constraint& constraint) const {
    return absl::StrCat(absl::StrJoin(constraint.requests, " and "), " within ",
                        LevelName(constraint.level));
  }

  std::vector<Misfit> OfConstraints() const {
    std::vector<Misfit> misfits;
    const std::string nearest = Largest(member_);
    for (size_t i = 0; i < member_.constraints.size(); ++i) {
      const Constraint& constraint = member_.constraints[i];
      if (constraint.enforcement != Enforcement::kRequired) continue;
      MemberRequest relaxed = member_;
      while (relaxed.constraints[i].level < Level::kSystem) {
        Level& level = relaxed.constraints[i].level;
        level = static_cast<Level>(static_cast<int>(level) + 1);
        if (!Fits(relaxed)) continue;
        misfits.push_back(
            {Text(constraint), absl::StrCat("best level there is: ", LevelName(level)), nearest});
        break;
      }
    }
    if (!misfits.empty()) return misfits;
    MemberRequest wished = member_;
    for (Constraint& constraint : wished.constraints) {
      constraint.enforcement = Enforcement::kPreferred;
    }
    const FitAnswer answer = Search(wished);
    for (size_t i = 0; answer.found && i < member_.constraints.size(); ++i) {
      const Constraint& constraint = member_.constraints[i];
      if (constraint.enforcement != Enforcement::kRequired) continue;
      if (answer.reached[i] <= constraint.level) continue;
      misfits.push_back({Text(constraint),
                         absl::StrCat("best level there is beside the other constraints: ",
                                      LevelName(answer.reached[i])),
                         nearest});
    }
    if (misfits.empty()) {
      misfits.push_back({"all constraints together", "no fit was found in time", nearest});
    }
    return misfits;
  }

  const NodeDevices& node_;
  const std::vector<MigLayout>& layouts_;
  const MemberRequest& member_;
};

}  // namespace

std::string Misfit::Sentence() const {
  return absl::StrCat(constraint, ": ", reason, nearest.empty() ? "" : "; ", nearest);
}

std::vector<Misfit> ExplainMisfit(const NodeDevices& node, const std::vector<MigLayout>& layouts,
                                  const MemberRequest& member) {
  return MisfitExplainer(node, layouts, member).Explain();
}

}  // namespace ashlar::composer
