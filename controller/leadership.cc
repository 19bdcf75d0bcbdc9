#include "controller/leadership.h"

#include <thread>

#include "ashlar/v1alpha1/gpu_partition.codec.h"
#include "lib/api/kinds.h"
#include "lib/base/log.h"
#include "lib/kube/object.h"

namespace ashlar::controller {
namespace {

// Reports come in bursts; what only refreshes numbers waits for the rest of the burst.
constexpr absl::Duration kGatherNumbers = absl::Milliseconds(500);
constexpr absl::Duration kGatherUse = absl::Seconds(1);

std::string NodeMatters(const Json& node) {
  const Json* labels = FindJson(node, {"metadata", "labels"});
  return (labels == nullptr ? "" : DumpJson(*labels)) + (IsCordoned(&node) ? "!" : "");
}

// The uid, which slices are owned by, and what NVIDIA's device plugin offers.
std::string GpuMatters(const Json& node) {
  return JsonString(node, {"metadata", "uid"}) + OtherGpuOwner(node, false);
}

std::string SpecMatters(const Json& object) {
  const Json* spec = FindJson(object, {"spec"});
  return spec == nullptr ? "" : DumpJson(*spec);
}

std::function<void(const Json&)> PutInto(runtime::Informer& informer) {
  return [&informer](const Json& object) { informer.Put(object); };
}

}  // namespace

Leadership::Leadership(const ControllerAppOptions& options, Informers informers,
                       kube::Client& client, AgentConnector& connector, EventSink& events,
                       Clock& clock, metrics::Registry& registry)
    : options_(options),
      informers_(informers),
      clock_(clock),
      agents_(options.directory, connector, ledger_, clock,
              [this](const ReportChange& change) { OnReport(change); }),
      pod_agents_(agents_),
      offers_(informers.nodes, agents_),
      pool_writer_(client, api::Kind<v1alpha1::Pool>(), PutInto(informers.pools)),
      volume_writer_(client, api::Kind<v1alpha1::Volume>(), PutInto(informers.volumes)),
      snapshot_writer_(client, api::Kind<v1alpha1::Snapshot>(), PutInto(informers.snapshots)),
      snapshot_group_writer_(client, api::Kind<v1alpha1::SnapshotGroup>(),
                             PutInto(informers.snapshot_groups)),
      node_inventory_writer_(client, api::Kind<v1alpha1::NodeInventory>(),
                             PutInto(informers.node_inventories)),
      gpu_partition_writer_(client, api::Kind<v1alpha1::GPUPartition>(),
                            PutInto(informers.gpu_partitions)),
      pool_reconciler_(options.pool, {informers.pools, informers.volumes, informers.nodes,
                                      informers.node_inventories, pool_writer_, agents_, offers_,
                                      ledger_, events, clock, registry}),
      volume_reconciler_(options.volume,
                         {informers.volumes, informers.pools, informers.snapshots, volume_writer_,
                          agents_, offers_, ledger_, events, clock, registry,
                          [this](const std::string& pool) { OnPromise(pool); },
                          [this](const std::string& pool) { OnRelease(pool); },
                          [this](const std::string& volume) {
                            volumes_.queue().Add({"", volume});
                          },
                          [this](const std::string& volume) {
                            return dra_ == nullptr ? std::string() : dra_->HolderOf(volume);
                          }}),
      snapshot_reconciler_(
          options.snapshot,
          {client, informers.snapshots, informers.snapshot_groups, informers.volumes,
           snapshot_writer_, snapshot_group_writer_, agents_, offers_, events, clock}),
      snapshot_group_reconciler_(
          options.snapshot,
          {client, informers.snapshots, informers.snapshot_groups, informers.volumes,
           snapshot_writer_, snapshot_group_writer_, agents_, offers_, events, clock}),
      node_inventory_reconciler_(
          options.node_inventory,
          {client, informers.node_inventories, informers.volumes, node_inventory_writer_, agents_,
           offers_, events, clock, registry, [this](const std::string& node) { OnFreshness(node); },
           [this](const std::string& node) { return OtherGpuOwnerOf(node); }}),
      gpu_partition_reconciler_(
          options.gpu_partition,
          {client, informers.gpu_partitions, informers.compositions,
           informers.dra == nullptr ? nullptr : &informers.dra->claims, informers.node_inventories,
           informers.nodes, gpu_partition_writer_, agents_, events, clock}),
      compositions_(
          options.composition,
          {client, informers.compositions, informers.composition_classes, informers.volumes,
           informers.gpu_partitions, informers.dra == nullptr ? nullptr : &informers.dra->claims,
           informers.dra == nullptr ? nullptr : &informers.dra->nvidia_slices,
           informers.node_inventories, informers.nodes, volume_writer_, agents_, events, clock,
           registry}),
      fragments_(
          options.fragments,
          {client, informers.compositions, informers.composition_classes, informers.volumes,
           informers.gpu_partitions, informers.dra == nullptr ? nullptr : &informers.dra->claims,
           informers.dra == nullptr ? nullptr : &informers.dra->nvidia_slices,
           informers.node_inventories, informers.nodes, agents_, clock},
          clock, registry),
      pools_({.name = "pool", .workers = options.pool_workers}, pool_reconciler_, clock, registry),
      volumes_({.name = "volume", .workers = options.volume_workers}, volume_reconciler_, clock,
               registry),
      snapshots_({.name = "snapshot", .workers = options.snapshot_workers}, snapshot_reconciler_,
                 clock, registry),
      snapshot_groups_({.name = "snapshot-group", .workers = options.snapshot_workers},
                       snapshot_group_reconciler_, clock, registry),
      node_inventories_({.name = "node-inventory", .workers = options.node_workers},
                        node_inventory_reconciler_, clock, registry),
      // One worker: a choice must be seen by the next one.
      gpu_partitions_({.name = "gpu-partition", .workers = 1}, gpu_partition_reconciler_, clock,
                      registry),
      node_filter_(NodeMatters),
      node_inventory_filter_(SpecMatters),
      node_gpu_filter_(GpuMatters),
      near_({client, informers.dra, informers.volumes, informers.nodes, volume_writer_, agents_,
             offers_, clock, registry}) {
  if (informers.dra != nullptr)
    dra_ = std::make_unique<DraControllers>(DraParts{
        client, *informers.dra, informers.volumes, informers.nodes, informers.node_inventories,
        informers.compositions, volume_writer_, agents_, offers_, events, clock, registry});
}

std::string Leadership::OtherGpuOwnerOf(const std::string& node) const {
  const runtime::ObjectPtr object = informers_.nodes.Get({"", node});
  const bool nvidia =
      informers_.dra != nullptr && !SlicesOf(informers_.dra->nvidia_slices, node).empty();
  return OtherGpuOwner(object == nullptr ? Json() : *object, nvidia);
}

void Leadership::Run(const CallContext& context) {
  LogInfo("leading", {{"identity", options_.identity}});
  volume_reconciler_.PromiseUnfinished();
  for (const AgentAddress& agent : options_.agents) agents_.SetAgent(agent);
  if (options_.agents.empty() && informers_.pods != nullptr) {
    informers_.pods->AddHandler([this](const api::ObjectKey& key) { OnPod(key); });
  }
  agents_.AwaitHeard(context, clock_.Now() + options_.first_reports_within);
  WatchCaches();
  std::jthread pools([&] { pools_.Run(context.stop); });
  std::jthread node_inventories([&] { node_inventories_.Run(context.stop); });
  std::jthread snapshots([&] { snapshots_.Run(context.stop); });
  std::jthread snapshot_groups([&] { snapshot_groups_.Run(context.stop); });
  std::jthread dra([&] {
    if (dra_ != nullptr) dra_->Run(context.stop);
  });
  std::jthread gpu_partitions([&] { gpu_partitions_.Run(context.stop); });
  std::jthread near([&] { near_.Run(context.stop); });
  std::jthread compositions([&] { compositions_.Run(context.stop); });
  std::jthread fragments([&] { fragments_.Run(context); });
  volumes_.Run(context.stop);
}

void Leadership::WatchCaches() {
  pools_.Watch(informers_.pools);
  informers_.pools.AddHandler([this](const api::ObjectKey& key) { QueueWaiting(key.name); });
  WatchVolumes();
  WatchSnapshots();
  WatchNodes();
  WatchGpuOwners();
  if (dra_ != nullptr) dra_->WatchCaches();
  near_.WatchCaches();
  compositions_.WatchCaches();
  gpu_partitions_.Watch(informers_.gpu_partitions);
  // One that goes makes room for those that wait.
  informers_.gpu_partitions.AddHandler([this](const api::ObjectKey& key) {
    if (informers_.gpu_partitions.Get(key) == nullptr) QueueGpuPartitions("");
  });
  if (informers_.dra == nullptr) return;
  informers_.dra->claims.AddHandler([this](const api::ObjectKey& key) {
    if (informers_.gpu_partitions.Get(key) != nullptr) gpu_partitions_.queue().Add(key);
  });
}

void Leadership::WatchGpuOwners() {
  informers_.nodes.AddHandler([this](const api::ObjectKey& key) {
    if (!node_gpu_filter_.Changed(key, informers_.nodes.Get(key).get())) return;
    node_inventories_.queue().Add(key);
    if (dra_ != nullptr) dra_->OnNode(key.name);
  });
  if (informers_.dra == nullptr) return;
  informers_.dra->nvidia_slices.AddHandler([this](const api::ObjectKey& key) {
    const runtime::ObjectPtr slice = informers_.dra->nvidia_slices.Get(key);
    for (const runtime::ObjectPtr& node : informers_.node_inventories.List())
      if (slice == nullptr || kube::KeyOf(*node).name == JsonString(*slice, {"spec", "nodeName"}))
        node_inventories_.queue().Add(kube::KeyOf(*node));
  });
}

void Leadership::WatchVolumes() {
  volumes_.Watch(informers_.volumes);
  // A pool that is being deleted waits for the end of its volumes.
  informers_.volumes.AddHandler([this](const api::ObjectKey& key) {
    if (informers_.volumes.Get(key) != nullptr) return;
    for (const runtime::ObjectPtr& pool : informers_.pools.List()) {
      if (kube::IsBeingDeleted(*pool)) pools_.queue().Add(kube::KeyOf(*pool));
    }
  });
}

void Leadership::WatchSnapshots() {
  snapshots_.Watch(informers_.snapshots);
  snapshot_groups_.Watch(informers_.snapshot_groups);
  informers_.snapshots.AddHandler([this](const api::ObjectKey& key) {
    QueueCopies(key.name);
    // A group that is being deleted waits for the end of its members.
    if (informers_.snapshots.Get(key) != nullptr) return;
    for (const runtime::ObjectPtr& group : informers_.snapshot_groups.List())
      if (kube::IsBeingDeleted(*group)) snapshot_groups_.queue().Add(kube::KeyOf(*group));
  });
  informers_.volumes.AddHandler([this](const api::ObjectKey& key) { QueueCopies(key.name); });
}

void Leadership::QueueCopies(const std::string& source) {
  const auto not_ready = [](const Json& object) {
    return FindJson(object, {"status", "size"}) == nullptr;
  };
  for (const runtime::ObjectPtr& snapshot : informers_.snapshots.List())
    if (not_ready(*snapshot) && JsonString(*snapshot, {"spec", "volume"}) == source)
      snapshots_.queue().Add(kube::KeyOf(*snapshot));
  for (const api::ObjectKey& copy : volume_reconciler_.Waiting(""))
    if (const runtime::ObjectPtr volume = informers_.volumes.Get(copy);
        volume != nullptr && JsonString(*volume, {"spec", "source", "name"}) == source)
      volumes_.queue().Add(copy);
}

void Leadership::WatchNodes() {
  informers_.nodes.AddHandler([this](const api::ObjectKey& key) {
    if (!node_filter_.Changed(key, informers_.nodes.Get(key).get())) return;
    node_inventories_.queue().Add(key);
    QueueAllPools();
    QueueWaiting("");
  });
  node_inventories_.Watch(informers_.node_inventories);
  informers_.node_inventories.AddHandler([this](const api::ObjectKey& key) {
    if (node_inventory_filter_.Changed(key, informers_.node_inventories.Get(key).get())) {
      QueueAllPools();
      QueueGpuPartitions("");
    }
  });
}

void Leadership::OnPod(const api::ObjectKey& key) {
  for (const std::string& node : pod_agents_.Note(key, informers_.pods->Get(key).get())) {
    node_inventories_.queue().Add({"", node});
    if (dra_ != nullptr) dra_->OnNode(node);
    QueueAllPools();
  }
}

void Leadership::OnReport(const ReportChange& change) {
  near_.OnReport(change);
  if (dra_ != nullptr) dra_->OnReport(change);
  const api::ObjectKey node{"", change.node};
  if (change.first || change.facts || !change.turned.empty()) {
    node_inventories_.queue().Add(node);
  } else {
    node_inventories_.queue().AddAfter(node, kGatherNumbers);
  }
  QueueGpuPartitions(change.first || change.facts || change.gpus ? "" : change.node);
  compositions_.QueueWaiting();
  if (change.first || change.facts || change.gpus) compositions_.QueueMembersOf(change.node);
  for (const std::string& volume : change.volumes) volumes_.queue().Add({"", volume});
  for (const std::string& snapshot : change.snapshots) snapshots_.queue().Add({"", snapshot});
  // A pod that comes stages and publishes, one that goes undoes both: one write for the two.
  for (const std::string& volume : change.used) volumes_.queue().AddAfter({"", volume}, kGatherUse);
  for (const std::string& pool : change.pools) {
    pools_.queue().AddAfter({"", pool}, kGatherNumbers);
  }
  for (const std::string& pool : change.turned) {
    pools_.queue().Add({"", pool});
    QueueWaiting(pool);  // what they are told may be another thing now
  }
  for (const std::string& pool : change.roomier) QueueWaiting(pool);
  if (change.first) {
    QueueAllPools();
    QueueVolumesOf(change.node);
  }
}

void Leadership::OnFreshness(const std::string& node) {
  if (dra_ != nullptr) dra_->OnNode(node);
  near_.OnFreshness(node);
  QueueAllPools();
  QueueVolumesOf(node);
  QueueWaiting("");
}

void Leadership::OnPromise(const std::string& pool) {
  pools_.queue().AddAfter({"", pool}, kGatherNumbers);
}

void Leadership::OnRelease(const std::string& pool) {
  OnPromise(pool);
  QueueWaiting(pool);
}

void Leadership::QueueAllPools() {
  for (const runtime::ObjectPtr& pool : informers_.pools.List()) {
    pools_.queue().Add(kube::KeyOf(*pool));
  }
}

void Leadership::QueueGpuPartitions(const std::string& node) {
  for (const runtime::ObjectPtr& partition : informers_.gpu_partitions.List()) {
    const Json* parts = FindJson(*partition, {"status", "allocations"});
    const bool there = parts != nullptr && parts->is_array() && !parts->empty() &&
                       JsonString(parts->front(), {"node"}) == node;
    if (node.empty() || there)
      gpu_partitions_.queue().AddAfter(kube::KeyOf(*partition), kGatherNumbers);
  }
}

void Leadership::QueueVolumesOf(const std::string& node) {
  for (const runtime::ObjectPtr& volume : informers_.volumes.List()) {
    if (JsonString(*volume, {"spec", "nodeName"}) == node) {
      volumes_.queue().Add(kube::KeyOf(*volume));
    }
  }
  for (const runtime::ObjectPtr& snapshot : informers_.snapshots.List())
    if (JsonString(*snapshot, {"spec", "nodeName"}) == node)
      snapshots_.queue().Add(kube::KeyOf(*snapshot));
}

void Leadership::QueueWaiting(const std::string& pool) {
  for (const api::ObjectKey& key : volume_reconciler_.Waiting(pool)) volumes_.queue().Add(key);
}

}  // namespace ashlar::controller
