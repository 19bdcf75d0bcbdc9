#include "controller/composer/fragmentation.h"

#include <bit>

#include "controller/composer/fit_search.h"

namespace ashlar::composer {
namespace {

uint64_t Ones(int count) { return count >= 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1; }

// One device's share is added to all domains that it is in.
void Count(const Place& place, const Fragments& part, NodeFragments& all) {
  auto add = [&](Fragments& to) {
    to.free_slices += part.free_slices;
    to.stranded_slices += part.stranded_slices;
    to.free_bytes += part.free_bytes;
    to.stranded_bytes += part.stranded_bytes;
  };
  add(all.node);
  auto add_at = [&](std::vector<Fragments>& domains, int number) {
    if (number < 0) return;
    if (domains.size() <= static_cast<size_t>(number)) domains.resize(number + 1);
    add(domains[number]);
  };
  add_at(all.switches, place.pcie_switch);
  add_at(all.roots, place.pcie_root);
  if (place.numa_node >= 0) add(all.numa_nodes[place.numa_node]);
}

class Usefulness {
 public:
  Usefulness(const NodeDevices& node, const std::vector<MigLayout>& layouts,
             const std::vector<MemberRequest>& shapes)
      : node_(node), layouts_(layouts) {
    for (const MemberRequest& shape : shapes) problems_.push_back(MakeFitProblem({&shape}));
  }

  // The memory slices of the GPU that are free.
  uint64_t Free(const Gpu& gpu) const {
    if (gpu.taken || !gpu.problem.empty()) return 0;
    if (gpu.layout < 0) return gpu.used.Empty() ? 1 : 0;
    return Ones(layouts_[gpu.layout].memory_slices()) & ~gpu.used.memory;
  }

  // Those of them that some fit uses.
  uint64_t Useful(int number) const {
    const Gpu& gpu = node_.gpus[number];
    const uint64_t free = Free(gpu);
    uint64_t useful = 0;
    for (const FitProblem& problem : problems_) {
      for (size_t p = 0; p < problem.parts.size(); ++p) {
        if (useful == free) return useful;
        const GpuRequest* request = problem.parts[p].gpu;
        if (request == nullptr || request->count < 1 || !MayUse(*request, gpu, layouts_)) continue;
        const int part = static_cast<int>(p);
        if (request->profile.empty()) {
          if (Fits(problem, {part, number})) useful = free;
          continue;
        }
        const MigLayout& layout = layouts_[gpu.layout];
        for (MigPlacement place : layout.FreePlacements(gpu.used, layout.Find(request->profile))) {
          const uint64_t bits = Ones(place.size) << place.start;
          if ((bits & ~useful) == 0) continue;
          if (Fits(problem, {part, number, place.start})) useful |= bits;
        }
      }
    }
    return useful;
  }

  bool DriveIsUseful(int number) const {
    for (const FitProblem& problem : problems_) {
      for (size_t p = 0; p < problem.parts.size(); ++p) {
        if (problem.parts[p].drive == nullptr) continue;
        if (Fits(problem, {static_cast<int>(p), number})) return true;
      }
    }
    return false;
  }

 private:
  bool Fits(const FitProblem& problem, FitPin pin) const {
    return SearchFit(node_, layouts_, problem, {.pin = pin, .any = true}).found;
  }

  const NodeDevices& node_;
  const std::vector<MigLayout>& layouts_;
  std::vector<FitProblem> problems_;
};

}  // namespace

NodeFragments FragmentsOf(const NodeDevices& node, const std::vector<MigLayout>& layouts,
                          const std::vector<MemberRequest>& shapes) {
  NodeFragments all;
  all.switches.resize(node.switches.size());
  all.roots.resize(node.roots.size());
  if (!node.problem.empty()) return all;
  const Usefulness usefulness(node, layouts, shapes);
  for (size_t i = 0; i < node.gpus.size(); ++i) {
    const uint64_t free = usefulness.Free(node.gpus[i]);
    if (free == 0) continue;
    const int slices = std::popcount(free);
    const int useful = std::popcount(usefulness.Useful(static_cast<int>(i)));
    Count(node.gpus[i].place, {slices, slices - useful, 0, 0}, all);
  }
  for (size_t i = 0; i < node.drives.size(); ++i) {
    const Drive& drive = node.drives[i];
    if (!drive.problem.empty() || drive.allocatable_bytes <= 0) continue;
    const bool useful = usefulness.DriveIsUseful(static_cast<int>(i));
    const int64_t bytes = drive.allocatable_bytes;
    Count(drive.place, {0, 0, bytes, useful ? 0 : bytes}, all);
  }
  return all;
}

}  // namespace ashlar::composer
