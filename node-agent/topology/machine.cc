#include "node-agent/topology/machine.h"

#include <algorithm>

#include "node-agent/topology/nics.h"

namespace ashlar::node_agent {
namespace {

template <class Message>
bool Differ(const std::vector<Message>& a, const std::vector<Message>& b) {
  return !std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return x.SerializeAsString() == y.SerializeAsString();
  });
}

}  // namespace

bool IsNews(const MachineReport& before, const MachineReport& after) {
  return IsNews(before.gpus, after.gpus) || Differ(before.domains, after.domains) ||
         Differ(before.paths, after.paths) || Differ(before.nics, after.nics) ||
         before.gds.SerializeAsString() != after.gds.SerializeAsString() ||
         before.partitions != after.partitions;
}

void Machine::SetDrives(std::vector<Drive> drives) {
  drives_ = std::move(drives);
  drives_changed_ = true;  // or what is between them: a look at the drives is rare
}

const MachineReport& Machine::Look() {
  if (partitions_) report_.partitions = partitions_();
  std::shared_ptr<const GpuReport> now = gpus_();
  if (now == seen_ && !drives_changed_) return report_;
  seen_ = std::move(now);
  drives_changed_ = false;
  report_ = {*seen_, {}, {}, {}, {}, std::move(report_.partitions)};
  std::vector<v1alpha1::Gpu>& gpus = report_.gpus.gpus;
  if (gpus.empty()) return report_;
  PlaceGpus(options_.sys_root, gpus);
  report_.nics = ReadNics(options_.sys_root);
  const TreeFacts facts =
      ReadTreeFacts(options_.sys_root, options_.proc_root, gpus, drives_, report_.nics);
  report_.domains = FindDomains(facts, gpus, drives_, report_.nics);
  report_.paths = FindPaths(facts, gpus, drives_);
  report_.gds = FindGdsFacts(facts);
  return report_;
}

}  // namespace ashlar::node_agent
