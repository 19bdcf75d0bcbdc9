#include "controller/agents/agent_report.h"

#include <algorithm>
#include <utility>

namespace ashlar::controller {
namespace {

template <class Message>
bool Same(const Message* a, const Message& b) {
  return a != nullptr && a->SerializeAsString() == b.SerializeAsString();
}

// Whether a drive has more room than before, though the pool may have no more.
bool HasRoomierDrive(const agent::v1::PoolState& before, const agent::v1::PoolState& after) {
  for (const agent::v1::PoolDriveState& now : after.drives()) {
    const auto was = std::find_if(before.drives().begin(), before.drives().end(),
                                  [&](const auto& drive) { return drive.id() == now.id(); });
    if (was == before.drives().end() || now.allocatable_bytes() > was->allocatable_bytes() ||
        now.largest_volume_bytes() > was->largest_volume_bytes())
      return true;
  }
  return false;
}

bool Roomier(const agent::v1::PoolState* before, const agent::v1::PoolState& after) {
  if (!after.ready()) return false;
  return before == nullptr || !before->ready() ||
         after.allocatable_bytes() > before->allocatable_bytes() ||
         after.largest_volume_bytes() > before->largest_volume_bytes() ||
         HasRoomierDrive(*before, after);
}

bool Turned(const agent::v1::PoolState* before, const agent::v1::PoolState& after) {
  return before == nullptr || before->ready() != after.ready() ||
         before->reason() != after.reason() || before->message() != after.message();
}

bool SameButForUse(agent::v1::VolumeState a, agent::v1::VolumeState b) {
  for (agent::v1::VolumeState* volume : {&a, &b}) {
    volume->clear_staged();
    volume->clear_publications();
    volume->clear_gpu_direct();
  }
  return Same(&a, b);
}

bool SameFacts(const agent::v1::Inventory& a, const agent::v1::Inventory& b) {
  if (a.agent_version() != b.agent_version() || a.boot_id() != b.boot_id() ||
      a.kernel() != b.kernel() || a.drives_size() != b.drives_size()) {
    return false;
  }
  for (int i = 0; i < a.drives_size(); ++i) {
    if (!Same(&a.drives(i), b.drives(i))) return false;
  }
  return true;
}

template <class List>
bool SameAll(const List& a, const List& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const auto& one, const auto& other) { return Same(&one, other); });
}

bool SameGpus(const agent::v1::Inventory& a, const agent::v1::Inventory& b) {
  return Same(&a.gpu_driver(), b.gpu_driver()) && SameAll(a.gpus(), b.gpus()) &&
         SameAll(a.gpu_partitions(), b.gpu_partitions()) && SameAll(a.domains(), b.domains()) &&
         SameAll(a.paths(), b.paths()) && SameAll(a.nics(), b.nics()) && Same(&a.gds(), b.gds());
}

bool SameClaims(const agent::v1::Inventory* a, const agent::v1::Inventory& b) {
  if ((a == nullptr ? 0 : a->claims_size()) != b.claims_size()) return false;
  for (int i = 0; i < b.claims_size(); ++i)
    if (!Same(&a->claims(i), b.claims(i))) return false;
  return true;
}

bool Asks(const agent::v1::Inventory* before, const agent::v1::Inventory& after) {
  const auto asked = [&](const agent::v1::PodQuestion& question) {
    return before != nullptr &&
           std::any_of(before->pod_questions().begin(), before->pod_questions().end(),
                       [&](const auto& other) { return other.id() == question.id(); });
  };
  return !std::all_of(after.pod_questions().begin(), after.pod_questions().end(), asked);
}

// What is told of inline volumes that were carved near GPUs.
std::string InlineVolumes(const agent::v1::Inventory& inventory) {
  std::string text;
  for (const agent::v1::VolumeState& volume : inventory.volumes())
    if (volume.inline_volume() && volume.has_locality()) volume.AppendToString(&text);
  return text;
}

}  // namespace

AgentReport::AgentReport(agent::v1::Inventory inventory) : inventory_(std::move(inventory)) {
  for (const agent::v1::PoolState& pool : inventory_.pools()) pools_[pool.name()] = &pool;
  volumes_.reserve(inventory_.volumes_size());
  for (const agent::v1::VolumeState& volume : inventory_.volumes()) {
    if (volume.inline_volume()) continue;
    (volume.snapshot() ? snapshots_ : volumes_)[volume.volume_id()] = &volume;
  }
}

const agent::v1::PoolState* AgentReport::FindPool(absl::string_view name) const {
  auto it = pools_.find(name);
  return it == pools_.end() ? nullptr : it->second;
}

const agent::v1::VolumeState* AgentReport::FindVolume(absl::string_view id) const {
  auto it = volumes_.find(id);
  return it == volumes_.end() ? nullptr : it->second;
}

const agent::v1::VolumeState* AgentReport::FindSnapshot(absl::string_view id) const {
  auto it = snapshots_.find(id);
  return it == snapshots_.end() ? nullptr : it->second;
}

PoolReport ReportOf(const agent::v1::PoolState& pool) {
  PoolReport report{.ready = pool.ready(),
                    .reason = pool.reason(),
                    .message = pool.message(),
                    .capacity_bytes = pool.capacity_bytes(),
                    .allocated_bytes = pool.allocated_bytes(),
                    .allocatable_bytes = pool.allocatable_bytes(),
                    .largest_bytes = pool.largest_volume_bytes()};
  for (const agent::v1::PoolDriveState& drive : pool.drives())
    report.drives[drive.id()] = {drive.allocatable_bytes(), drive.largest_volume_bytes()};
  return report;
}

NodeReport AgentReport::Summary() const {
  NodeReport report;
  for (const auto& [name, pool] : pools_) {
    report.pools[name] = ReportOf(*pool);
  }
  for (const auto& [id, volume] : volumes_) report.volume_bytes[id] = volume->size_bytes();
  return report;
}

ReportChange Compare(const std::string& node, const AgentReport* before, const AgentReport& after) {
  ReportChange change{.node = node, .first = before == nullptr};
  change.facts = before != nullptr && !SameFacts(before->inventory(), after.inventory());
  change.gpus = before != nullptr && !SameGpus(before->inventory(), after.inventory());
  change.claims =
      !SameClaims(before == nullptr ? nullptr : &before->inventory(), after.inventory());
  change.asks = Asks(before == nullptr ? nullptr : &before->inventory(), after.inventory());
  change.inline_volumes =
      InlineVolumes(after.inventory()) != (before ? InlineVolumes(before->inventory()) : "");
  for (const agent::v1::PoolState& pool : after.inventory().pools()) {
    const agent::v1::PoolState* old = before == nullptr ? nullptr : before->FindPool(pool.name());
    if (Same(old, pool)) continue;
    change.pools.push_back(pool.name());
    if (Roomier(old, pool)) change.roomier.push_back(pool.name());
    if (Turned(old, pool)) change.turned.push_back(pool.name());
  }
  for (const agent::v1::VolumeState& volume : after.inventory().volumes()) {
    if (volume.inline_volume()) continue;
    const agent::v1::VolumeState* old = nullptr;
    if (before != nullptr)
      old = volume.snapshot() ? before->FindSnapshot(volume.volume_id())
                              : before->FindVolume(volume.volume_id());
    if (Same(old, volume)) continue;
    if (volume.snapshot()) {
      change.snapshots.push_back(volume.volume_id());
      continue;
    }
    (old != nullptr && SameButForUse(*old, volume) ? change.used : change.volumes)
        .push_back(volume.volume_id());
  }
  if (before == nullptr) return change;
  for (const agent::v1::PoolState& pool : before->inventory().pools()) {
    if (after.FindPool(pool.name()) != nullptr) continue;
    change.pools.push_back(pool.name());
    change.turned.push_back(pool.name());
  }
  for (const agent::v1::VolumeState& volume : before->inventory().volumes()) {
    if (volume.inline_volume()) continue;
    if (volume.snapshot()) {
      if (after.FindSnapshot(volume.volume_id()) == nullptr)
        change.snapshots.push_back(volume.volume_id());
    } else if (after.FindVolume(volume.volume_id()) == nullptr) {
      change.volumes.push_back(volume.volume_id());
    }
  }
  return change;
}

}  // namespace ashlar::controller
