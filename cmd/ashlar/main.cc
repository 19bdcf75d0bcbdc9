// ashlar: the standalone instance and its commands. Wiring only.
#include <csignal>
#include <iostream>

#include "CLI/CLI.hpp"
#include "cmd/ashlar/data_directory.h"
#include "cmd/ashlar/mount_commands.h"
#include "cmd/ashlar/plugin_commands.h"
#include "cmd/ashlar/purge.h"
#include "cmd/ashlar/standalone_app.h"
#include "lib/base/heap.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "node-agent/gpu/gpu_helper.h"

namespace ashlar::standalone {
namespace {

struct Flags {
  std::string data_dir = "/var/lib/ashlar-standalone";
  std::string log_level = "info";
  StandaloneOptions standalone;
  bool purge = false;
  std::string volume;
  std::string path;
  bool read_only = false;
  PluginOptions plugin;
  std::vector<std::string> nodes;
  kubectl::ComposeRequest compose;
  std::vector<std::string> names;
};

constexpr char kExamples[] = R"(Examples:
  ashlar standalone --data-dir /var/lib/ashlar-standalone
  kubectl --kubeconfig /var/lib/ashlar-standalone/kubeconfig apply -f deploy/examples/quickstart
  ashlar mount quickstart /mnt/quickstart
  ashlar umount /mnt/quickstart
  kubectl ashlar topology          with kubectl-ashlar, a link to ashlar, on the PATH
  kubectl ashlar compose train --replicas 4 --gpus 1 --volume 100Gi --pool scratch --near Switch
  ashlar purge)";

void AddStandalone(CLI::App& cli, Flags& flags) {
  CLI::App& sub = *cli.add_subcommand(
      "standalone", "Runs API, controller, agent and CSI driver in one process, until SIGTERM");
  StandaloneOptions& o = flags.standalone;
  sub.add_option("--data-dir", flags.data_dir, "Where everything is kept")->capture_default_str();
  sub.add_option("--listen", o.listen, "ADDRESS:PORT of the API; port 0: a free one, then kept")
      ->capture_default_str();
  sub.add_option("--csi-endpoint", o.csi_endpoint,
                 "unix:// socket of the CSI driver; default: csi.sock in --data-dir");
  sub.add_option("--node-name", o.node_name, "Name of this node; default: the host's name");
  sub.add_option("--publish-root", o.publish_roots,
                 "Directory below which volumes may be mounted, besides /mnt, /media, /srv, /opt, "
                 "/home, /tmp, /data and the data directory; may be repeated");
  sub.add_option("--ops-address", o.ops_address, "host:port of /metrics, /healthz and /readyz")
      ->capture_default_str();
  sub.add_option("--agent-ops-address", o.agent_ops_address, "The same of the agent")
      ->capture_default_str();
  sub.add_option("--log-level", flags.log_level, "debug, info, warning or error")
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}))
      ->capture_default_str();
  sub.add_flag("--purge", flags.purge, "Unmount and remove everything of --data-dir, then end");
}

void AddCommands(CLI::App& cli, Flags& flags) {
  auto common = [&](CLI::App& sub) {
    sub.add_option("--data-dir", flags.data_dir, "Data directory of the instance")
        ->capture_default_str();
  };
  auto client = [&](CLI::App& sub) {
    common(sub);
    sub.add_option("--csi-endpoint", flags.standalone.csi_endpoint,
                   "As given to `ashlar standalone`");
  };
  CLI::App& mount = *cli.add_subcommand("mount", "Mounts a volume of a running instance");
  mount.add_option("VOLUME", flags.volume, "Name of the Volume object")->required();
  mount.add_option("PATH", flags.path, "Where to; made if absent")->required();
  mount.add_flag("--read-only", flags.read_only, "Mount it read-only");
  client(mount);
  CLI::App& umount = *cli.add_subcommand("umount", "Ends a mount made by `ashlar mount`");
  umount.add_option("PATH", flags.path, "Where the volume is mounted")->required();
  client(umount);
  common(*cli.add_subcommand("purge", "Unmounts and removes everything of a data directory"));
}

void AddCluster(CLI::App& sub, Flags& flags) {
  sub.add_option("--kubeconfig", flags.plugin.kubeconfig,
                 "Default: $KUBECONFIG, else ~/.kube/config");
  sub.add_option("--context", flags.plugin.context, "Context of the kubeconfig");
}

void AddCompositions(CLI::App& cli, Flags& flags) {
  kubectl::ComposeRequest& request = flags.compose;
  request.key.space = "default";
  const auto common = [&](CLI::App& sub) {
    sub.add_option("-n,--namespace", request.key.space, "Namespace")->capture_default_str();
    AddCluster(sub, flags);
  };
  CLI::App& compose = *cli.add_subcommand(
      "compose", "Asks for GPUs and volumes near them for a gang, all or nothing");
  compose.add_option("NAME", request.key.name, "Name of the Composition")->required();
  compose.add_option("--class", request.class_name, "CompositionClass");
  compose.add_option("--replicas", request.replicas, "Members, all alike")->capture_default_str();
  compose.add_option("--gpus", request.gpus, "GPUs of each member");
  compose.add_option("--profile", request.profile, "Parts of GPUs instead, such as 3g.40gb");
  compose.add_option("--volume", request.volume, "Size of a volume of each member, such as 100Gi");
  compose.add_option("--pool", request.pool, "Pool of the volume; default: what the class says");
  compose.add_option("--near", request.near, "What GPUs and volume share")
      ->check(CLI::IsMember({"Switch", "Root", "NUMANode"}));
  compose.add_flag("--preferred", request.preferred, "As near as can be had, if not --near");
  compose.add_option("--ttl", request.ttl_seconds, "Seconds that it is kept for no pod");
  common(compose);
  CLI::App& explain = *cli.add_subcommand(
      "explain", "Says what a Composition has, or what is in its way and what would fit");
  explain.add_option("NAME", request.key.name, "Name of the Composition")->required();
  common(explain);
  CLI::App& free = *cli.add_subcommand("free", "Gives Compositions back");
  free.add_option("NAME", flags.names, "Names of Compositions")->required();
  common(free);
}

void AddPlugin(CLI::App& cli, Flags& flags) {
  CLI::App& topology = *cli.add_subcommand(
      "topology", "Draws how the GPUs and drives of a cluster's nodes lie to one another");
  topology.add_option("NODE", flags.nodes, "Names of nodes; without it all of them");
  AddCluster(topology, flags);
  AddCompositions(cli, flags);
}

absl::Status RunStandalone(DataDirectory& directory, const Flags& flags, Clock& clock) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  ASHLAR_RETURN_IF_ERROR(directory.Lock());
  ASHLAR_ASSIGN_OR_RETURN(auto app, StandaloneApp::Start(directory, flags.standalone, clock));
  std::cout << "Ashlar serves at " << app->url() << "\n"
            << "  kubectl --kubeconfig " << directory.kubeconfig() << " get pools,volumes,nodes\n"
            << "  CSI driver at " << app->csi_endpoint() << "\n";
  if (app->ops_port() != 0) std::cout << "  metrics on port " << app->ops_port() << "\n";
  std::cout << "  mount a volume: ashlar mount VOLUME PATH --data-dir " << directory.path() << "\n"
            << "SIGTERM ends it; volumes stay mounted." << std::endl;
  const timespec tick = {1, 0};
  int received = -1;
  while (received < 0 && app->Health().ok()) received = sigtimedwait(&signals, nullptr, &tick);
  LogInfo("standalone ends; volumes stay mounted", {{"signal", received}});
  return app->Health();
}

absl::Status Run(const CLI::App& cli, const Flags& flags) {
  RealClock clock;
  if (cli.got_subcommand("topology")) return ShowTopology(flags.plugin, flags.nodes, clock);
  if (cli.got_subcommand("compose")) return Compose(flags.plugin, flags.compose, clock);
  if (cli.got_subcommand("explain")) return Explain(flags.plugin, flags.compose.key, clock);
  if (cli.got_subcommand("free"))
    return Free(flags.plugin, flags.compose.key.space, flags.names, clock);
  ASHLAR_ASSIGN_OR_RETURN(DataDirectory directory, DataDirectory::At(flags.data_dir));
  const std::string& csi = flags.standalone.csi_endpoint;
  if (cli.got_subcommand("mount")) {
    return Mount(directory, csi, flags.volume, flags.path, flags.read_only, clock);
  }
  if (cli.got_subcommand("umount")) return Unmount(directory, csi, flags.path, clock);
  if (cli.got_subcommand("purge") || flags.purge) return Purge(directory, clock);
  return RunStandalone(directory, flags, clock);
}

}  // namespace
}  // namespace ashlar::standalone

int main(int argc, char** argv) {
  ashlar::LimitHeap();
  if (ashlar::node_agent::IsGpuHelper(argc, argv)) return ashlar::node_agent::RunGpuHelper();
  ashlar::standalone::Flags flags;
  flags.standalone.gpu_helper = {"/proc/self/exe", ashlar::node_agent::kGpuHelperWord};
  CLI::App cli(
      "Ashlar on one machine: a Kubernetes-compatible API, and volumes carved from its drives.",
      "ashlar");
  cli.set_version_flag("--version", ASHLAR_VERSION);
  cli.require_subcommand(1);
  cli.footer(ashlar::standalone::kExamples);
  ashlar::standalone::AddStandalone(cli, flags);
  ashlar::standalone::AddCommands(cli, flags);
  ashlar::standalone::AddPlugin(cli, flags);
  CLI11_PARSE(cli, argc, argv);
  if (!cli.got_subcommand("standalone")) flags.log_level = "warning";
  ashlar::SetLogLevel(flags.log_level);
  absl::Status status = ashlar::standalone::Run(cli, flags);
  if (status.ok()) return 0;
  std::cerr << "ashlar: " << status.message() << "\n";
  return 1;
}
