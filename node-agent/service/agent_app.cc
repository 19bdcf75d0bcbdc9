#include "node-agent/service/agent_app.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/utsname.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/util/json_util.h"
#include "lib/base/log.h"
#include "lib/base/mutex.h"
#include "lib/base/status_macros.h"
#include "lib/metrics/ops_server.h"
#include "lib/rpc/server.h"
#include "lib/system/files.h"
#include "node-agent/claims/claims.h"
#include "node-agent/gpu/gpu_watch.h"
#include "node-agent/gpu/partition/gpu_partitions.h"
#include "node-agent/inventory/drive_watch.h"
#include "node-agent/near/kubelet_pod_devices.h"
#include "node-agent/near/near_drives.h"
#include "node-agent/service/convert.h"
#include "node-agent/service/dra_plugin.h"
#include "node-agent/service/node_agent_service.h"
#include "node-agent/service/node_claims_service.h"
#include "node-agent/service/node_mount_service.h"
#include "node-agent/storage/media.h"
#include "node-agent/trim/trimmer.h"
#include "node-agent/volume/volume_limit.h"

namespace ashlar::node_agent {
namespace {

constexpr char kVersion[] = "0.1.0";
constexpr absl::Duration kGrace = absl::Seconds(5);
// A pod that comes after one that went finds a device that is ready.
constexpr size_t kSpareLoopDevices = 16;

absl::StatusOr<std::string> ReadBootId() {
  ASHLAR_ASSIGN_OR_RETURN(const std::string text, sys::ReadFile("/proc/sys/kernel/random/boot_id"));
  return std::string(absl::StripAsciiWhitespace(text));
}

std::string KernelRelease() {
  utsname names;
  return uname(&names) == 0 ? names.release : "";
}

int64_t MaxVolumes(const AgentOptions& options) {
  const absl::StatusOr<std::string> text = sys::ReadFile("/proc/sys/fs/mount-max");
  int64_t mounts = 0;
  if (!text.ok() || !absl::SimpleAtoi(*text, &mounts)) mounts = 0;
  return VolumeLimit(options.max_volumes, mounts);
}

// Where inline volumes are mounted before a pod sees them.
std::string InlineRoot(const AgentOptions& options) {
  return absl::StrCat(options.state_dir, "/inline");
}

// Where volumes of claims are mounted; containers get them from there.
std::string ClaimRoot(const AgentOptions& options) {
  return absl::StrCat(options.state_dir, "/claims");
}

std::vector<std::string> MountRoots(const AgentOptions& options) {
  std::vector<std::string> roots = options.publish_roots;
  roots.push_back(InlineRoot(options));
  roots.push_back(ClaimRoot(options));
  return roots;
}

GpuWatchOptions GpuOptions(const AgentOptions& options) {
  GpuWatchOptions gpus;
  gpus.session.helper = options.gpu_helper;
  gpus.session.libraries = options.nvml_libraries;
  return gpus;
}

// Two agents over one state directory would take each other's volumes apart.
absl::StatusOr<sys::UniqueFd> LockStateDirectory(const std::string& state_dir) {
  ASHLAR_RETURN_IF_ERROR(sys::EnsureDirectory(absl::StrCat(state_dir, "/journal"), 0700));
  ASHLAR_ASSIGN_OR_RETURN(
      sys::UniqueFd lock,
      sys::OpenFile(absl::StrCat(state_dir, "/journal/lock"), O_RDWR | O_CREAT, 0600));
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0)
    return absl::FailedPreconditionError(
        absl::StrCat("state-dir ", state_dir, " is used by another running agent"));
  return lock;
}

class App final : public AgentApp {
 public:
  App(AgentOptions options, std::string boot_id, sys::UniqueFd lock)
      : options_(std::move(options)),
        lock_(std::move(lock)),
        scanner_(mounts_, loops_, options_.scanner),
        pool_environment_{commands_, mounts_, scanner_, options_.state_dir,
                          options_.pool_directories},
        pools_(options_.state_dir, PoolMedia(pool_environment_)),
        journal_(absl::StrCat(options_.state_dir, "/journal/volumes")),
        attributes_(absl::StrCat(options_.state_dir, "/journal/attributes")),
        volumes_({pools_, journal_, commands_, mounts_, loops_, clock_, attributes_},
                 PathPolicy(MountRoots(options_)), boot_id),
        pod_devices_(options_.pod_resources_socket, clock_),
        pod_questions_(clock_, [this] { feed_.PokeAtOnce(); }),
        near_(pod_devices_, pod_questions_, [this] { return NearFactsOf(*feed_.Latest()); }),
        inline_volumes_(volumes_, pools_, near_, InlineRoot(options_), clock_,
                        [this] { feed_.Poke(); }),
        nvme_(nvme_admin_, clock_, options_.scanner.sys_root),
        cgroups_(FindIoCgroups(options_.cgroup_root)),
        limits_(
            *cgroups_,
            [this] {
              std::vector<VolumeUse> uses = volumes_.Uses();
              claims_.AddPods(uses);
              return uses;
            },
            [this] { feed_.Poke(); }, clock_, registry_),
        trimmer_(
            trim_, [this] { return volumes_.Uses(); }, clock_, registry_),
        gpus_(GpuOptions(options_), clock_,
              [this] {
                partitions_.LookSoon();
                feed_.Poke();
              }),
        gpu_changes_(GpuOptions(options_).session,
                     absl::StrCat(options_.state_dir, "/journal/gpu-partitions"), clock_),
        partition_journal_(absl::StrCat(options_.state_dir, "/journal/gpu-partitions")),
        partitions_({.boot_id = boot_id}, gpu_changes_, partition_journal_, clock_,
                    [this] {
                      gpus_.ReadSoon();  // limits of power: no event tells of them
                      feed_.Poke();
                    }),
        machine_(
            options_.scanner, [this] { return gpus_.Latest(); },
            [this] { return partitions_.List(); }),
        claim_journal_(absl::StrCat(options_.state_dir, "/journal/claims")),
        claim_volumes_(volumes_, ClaimRoot(options_)),
        claim_gpus_([this] { return gpus_.Latest(); }, partitions_, options_.nvidia_root),
        cdi_(options_.cdi_dir),
        claims_(claim_journal_, claim_volumes_, claim_gpus_, cdi_, clock_, boot_id,
                [this] {
                  limits_.Poke();
                  feed_.Poke();
                }),
        feed_(
            scanner_, nvme_, pools_, volumes_, limits_, machine_, [this] { return claims_.List(); },
            [this] { return pod_questions_.Open(); }, DirectPlaces{options_.scanner.sys_root},
            clock_),
        watch_(
            mounts_, clock_, [this] { return pools_.NamedPaths(); },
            [this](bool health) { feed_.LookSoon(health); }),
        metrics_(registry_, clock_),
        runner_({}, clock_, registry_),
        kubelet_runner_({}, clock_, registry_),
        agent_service_({options_.node_name, kVersion, boot_id, KernelRelease()}, pools_, volumes_,
                       feed_, limits_, metrics_, clock_, runner_),
        mount_service_(options_.node_name, MaxVolumes(options_), volumes_, inline_volumes_, feed_,
                       attributes_, limits_, metrics_, runner_, claims_),
        claims_service_(claims_, pod_questions_, runner_) {}
  ~App() override { Stop(); }

  absl::Status Begin(const CallContext& context) {
    ASHLAR_RETURN_IF_ERROR(
        sys::EnsureDirectory(absl::StrCat(options_.state_dir, "/journal/volumes"), 0700));
    if (!options_.ops_address.empty()) {
      ASHLAR_ASSIGN_OR_RETURN(
          ops_, metrics::ServeOps(options_.ops_address, registry_, [this] { return Ready(); }));
    }
    SetDoing("making the pools ready");
    ASHLAR_RETURN_IF_ERROR(pools_.Load(context));
    SetDoing("bringing records, pools, loop devices and mounts together");
    ASHLAR_RETURN_IF_ERROR(attributes_.Load());
    ASHLAR_RETURN_IF_ERROR(volumes_.Recover(context));
    ASHLAR_RETURN_IF_ERROR(partitions_.Recover(context));
    ASHLAR_RETURN_IF_ERROR(claims_.Recover(context));
    SetDoing("bringing limits in force");
    limits_.Start();
    ASHLAR_RETURN_IF_ERROR(limits_.Refresh(context));
    trimmer_.Start();
    SetDoing("looking at the drives");
    StartFeed();
    if (!options_.gpu_helper.empty()) {
      gpus_.Start();
      partitions_.Start();
    }
    inline_volumes_.Start();
    SetDoing("opening its services");
    ASHLAR_RETURN_IF_ERROR(Serve());
    SetDoing("");
    show_ = std::jthread([this](const std::stop_token& stop) { ShowMetrics(stop); });
    LogInfo("agent serves", {{"node", options_.node_name},
                             {"listen", options_.listen},
                             {"port", port()},
                             {"mount_socket", options_.mount_socket}});
    return absl::OkStatus();
  }

  void Stop() override {
    if (show_.joinable()) {
      show_.request_stop();
      show_.join();
    }
    dra_plugins_.clear();
    if (agent_server_ != nullptr) agent_server_->Shutdown(kGrace);
    if (mount_server_ != nullptr) mount_server_->Shutdown(kGrace);
    agent_server_.reset();
    mount_server_.reset();
    ops_.reset();
    watch_.Stop();
    gpus_.Stop();
    partitions_.Stop();
    trimmer_.Stop();
    inline_volumes_.Stop();
    limits_.Stop();
    feed_.Stop();
    sys::RemoveSpareLoopDevices(0);
  }

  int port() const override { return agent_server_ == nullptr ? 0 : agent_server_->port(); }
  int ops_port() const override { return ops_ == nullptr ? 0 : ops_->port(); }

 private:
  void StartFeed() {
    const absl::Status hears = watch_.Start();
    if (!hears.ok())
      LogWarning("the agent cannot hear of changes of drives and looks often instead",
                 {{"every", absl::FormatDuration(kFastLooks)}, {"error", hears.ToString()}});
    feed_.Start(hears.ok() ? kSlowLooks : kFastLooks);
  }

  absl::Status Serve() {
    const std::string& socket = options_.mount_socket;
    ASHLAR_RETURN_IF_ERROR(sys::EnsureDirectory(socket.substr(0, socket.rfind('/'))));
    rpc::ServerOptions mount;
    mount.address = absl::StrCat("unix://", socket);
    ASHLAR_ASSIGN_OR_RETURN(mount_server_, rpc::Server::Start(mount, {&mount_service_}));
    rpc::ServerOptions agent;
    agent.address = options_.listen;
    if (!absl::StartsWith(options_.listen, "unix:"))
      agent.tls = rpc::TlsFiles{options_.tls_dir, "ashlar-controller"};
    ASHLAR_ASSIGN_OR_RETURN(agent_server_,
                            rpc::Server::Start(agent, {&agent_service_, &claims_service_}));
    return ServeKubelet();
  }

  absl::Status ServeKubelet() {
    if (options_.kubelet_dir.empty()) return absl::OkStatus();
    for (const char* driver : {kNvmeDriver, kGpuDriver}) {
      ASHLAR_ASSIGN_OR_RETURN(std::unique_ptr<DraPlugin> plugin,
                              DraPlugin::Start({driver, options_.kubelet_dir}, claims_, feed_,
                                               metrics_, clock_, kubelet_runner_));
      dra_plugins_.push_back(std::move(plugin));
    }
    return absl::OkStatus();
  }

  void SetDoing(const std::string& doing) {
    MutexLock lock(mu_);
    doing_ = doing;
  }

  absl::Status Ready() {
    MutexLock lock(mu_);
    if (doing_.empty()) return absl::OkStatus();
    return absl::UnavailableError(absl::StrCat("the agent is starting: it is ", doing_));
  }

  void ShowMetrics(const std::stop_token& stop) {
    CallContext context;
    context.stop = stop;
    uint64_t seen = 0;
    for (;;) {
      const auto snapshot = feed_.Await(context, seen, absl::InfiniteFuture());
      if (!snapshot.ok()) return;
      seen = (*snapshot)->revision;
      metrics_.Show(**snapshot);
      sys::RemoveSpareLoopDevices(kSpareLoopDevices);
    }
  }

  const AgentOptions options_;
  const sys::UniqueFd lock_;
  RealClock clock_;
  metrics::Registry registry_;
  sys::PosixCommandRunner commands_;
  sys::KernelMountTable mounts_;
  sys::KernelLoopDevices loops_;
  DriveScanner scanner_;
  PoolEnvironment pool_environment_;
  PoolSet pools_;
  FileJournal journal_;
  AttributeTable attributes_;
  VolumeManager volumes_;
  KubeletPodDevices pod_devices_;
  PodQuestions pod_questions_;
  NearDrives near_;
  InlineVolumes inline_volumes_;
  sys::KernelNvmeAdmin nvme_admin_;
  NvmeReader nvme_;
  const std::unique_ptr<IoCgroups> cgroups_;
  LimitKeeper limits_;
  sys::KernelFilesystemTrim trim_;
  Trimmer trimmer_;
  GpuWatch gpus_;
  SessionGpuChanges gpu_changes_;
  FilePartitionJournal partition_journal_;
  GpuPartitions partitions_;
  Machine machine_;
  ClaimJournal claim_journal_;
  ClaimVolumes claim_volumes_;
  const ClaimGpus claim_gpus_;
  CdiDirectory cdi_;
  Claims claims_;
  InventoryFeed feed_;
  DriveWatch watch_;
  OperationMetrics metrics_;
  rpc::CallRunner runner_;
  rpc::CallRunner kubelet_runner_;  // so that neither side waits for the other's calls
  NodeAgentService agent_service_;
  NodeMountService mount_service_;
  NodeClaimsService claims_service_;
  std::vector<std::unique_ptr<DraPlugin>> dra_plugins_;
  std::unique_ptr<rpc::Server> agent_server_, mount_server_;
  std::unique_ptr<metrics::OpsServer> ops_;
  std::jthread show_;
  Mutex mu_;
  std::string doing_ ABSL_GUARDED_BY(mu_) = "starting";  // until it is ready
};

absl::Status CheckOptions(const AgentOptions& options) {
  ASHLAR_RETURN_IF_ERROR(ValidateName("node-name", options.node_name));
  const auto absolute = [](absl::string_view name, const std::string& path) {
    if (absl::StartsWith(path, "/")) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat(name, " is \"", path, "\": an absolute path is accepted"));
  };
  ASHLAR_RETURN_IF_ERROR(absolute("state-dir", options.state_dir));
  ASHLAR_RETURN_IF_ERROR(absolute("mount-socket", options.mount_socket));
  ASHLAR_RETURN_IF_ERROR(absolute("cgroup-root", options.cgroup_root));
  ASHLAR_RETURN_IF_ERROR(absolute("cdi-dir", options.cdi_dir));
  if (!options.kubelet_dir.empty())
    ASHLAR_RETURN_IF_ERROR(absolute("kubelet-dir", options.kubelet_dir));
  if (!options.nvidia_root.empty())
    ASHLAR_RETURN_IF_ERROR(absolute("nvidia-root", options.nvidia_root));
  ASHLAR_RETURN_IF_ERROR(absolute("sysfs-root", options.scanner.sys_root));
  ASHLAR_RETURN_IF_ERROR(absolute("pod-resources-socket", options.pod_resources_socket));
  if (options.max_volumes < 0)
    return absl::InvalidArgumentError(
        absl::StrCat("max-volumes is ", options.max_volumes, ": a number from 0 on is accepted"));
  for (const std::string& root : options.publish_roots)
    ASHLAR_RETURN_IF_ERROR(absolute("publish-root", root));
  for (const std::string& directory : options.pool_directories)
    ASHLAR_RETURN_IF_ERROR(absolute("pool-directory", directory));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<AgentApp>> AgentApp::Start(const CallContext& context,
                                                          const AgentOptions& options) {
  ASHLAR_RETURN_IF_ERROR(CheckOptions(options));
  ASHLAR_ASSIGN_OR_RETURN(std::string boot_id, ReadBootId());
  ASHLAR_ASSIGN_OR_RETURN(sys::UniqueFd lock, LockStateDirectory(options.state_dir));
  auto app = std::make_unique<App>(options, std::move(boot_id), std::move(lock));
  ASHLAR_RETURN_IF_ERROR(app->Begin(context));
  return std::unique_ptr<AgentApp>(std::move(app));
}

absl::StatusOr<std::string> DrivesAsJson(const AgentOptions& options) {
  sys::KernelMountTable mounts;
  sys::KernelLoopDevices loops;
  ASHLAR_ASSIGN_OR_RETURN(std::vector<Drive> drives,
                          DriveScanner(mounts, loops, options.scanner).Scan({}));
  sys::KernelNvmeAdmin admin;
  RealClock clock;
  NvmeReader(admin, clock, options.scanner.sys_root).Fill(drives);
  ASHLAR_ASSIGN_OR_RETURN(const std::string boot_id, ReadBootId());
  agent::v1::Inventory inventory;
  inventory.set_agent_version(kVersion);
  inventory.set_boot_id(boot_id);
  inventory.set_kernel(KernelRelease());
  for (const Drive& drive : drives) *inventory.add_drives() = ToProto(DriveReport{drive, ""});
  if (!options.gpu_helper.empty()) {
    const auto gpus = std::make_shared<const GpuReport>(
        GpuWatch(GpuOptions(options), clock, nullptr).LookOnce({}));
    Machine machine(options.scanner, [&] { return gpus; });
    machine.SetDrives(drives);
    Fill(machine.Look(), inventory);
  }
  google::protobuf::util::JsonPrintOptions print;
  print.add_whitespace = true;
  print.always_print_primitive_fields = true;
  std::string json;
  const auto printed = google::protobuf::util::MessageToJsonString(inventory, &json, print);
  if (!printed.ok()) return absl::InternalError(std::string(printed.message()));
  return json;
}

}  // namespace ashlar::node_agent
