// bench_volume_cycle: what the agent adds to the system calls and tools that a volume needs.
//
// Create, stage, publish, unpublish, unstage and delete a 1 GiB ext4 volume through the agent's
// gRPC services on unix sockets, and the same kernel and tool steps bare, in turn on the same
// filesystem. Prints medians and their ratio (goal at most 1.3) and the p50 of a call that does
// nothing (goal at most 2 ms).
//
//   bench_volume_cycle [rounds] [directory for the pool]
// Without a directory the pool lies on an XFS filesystem of its own, over a loop device.
#include <fcntl.h>
#include <linux/loop.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iostream>

#include "ashlar/agent/v1/node_agent.grpc.pb.h"
#include "ashlar/agent/v1/node_mount.grpc.pb.h"
#include "lib/base/log.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/client_call.h"
#include "lib/system/command_runner.h"
#include "node-agent/service/agent_app.h"
#include "node-agent/testing/loop_lab.h"

namespace ashlar {
namespace {

namespace pb = agent::v1;
using Stopwatch = std::chrono::steady_clock;
constexpr int64_t kSize = int64_t{1} << 30;

void Must(const absl::Status& status) {
  if (status.ok()) return;
  std::cerr << status << "\n";
  std::exit(1);
}
void Must(bool ok, const char* what) {
  if (ok) return;
  perror(what);
  std::exit(1);
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

double Milliseconds(const std::function<void()>& work) {
  const auto start = Stopwatch::now();
  work();
  return std::chrono::duration<double, std::milli>(Stopwatch::now() - start).count();
}

// The times of each step, in the order in which the steps were first seen.
class Steps {
 public:
  void Time(const char* step, const std::function<void()>& work) {
    const double took = Milliseconds(work);
    for (auto& [name, times] : steps_)
      if (name == step) return times.push_back(took);
    steps_.push_back({step, {took}});
  }
  void Forget() { steps_.clear(); }
  double MedianOf(const std::string& step) const {
    for (const auto& [name, times] : steps_)
      if (name == step) return Median(times);
    return 0;
  }
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& [name, times] : steps_) names.push_back(name);
    return names;
  }

 private:
  std::vector<std::pair<std::string, std::vector<double>>> steps_;
};

struct Client {
  std::unique_ptr<pb::NodeAgent::Stub> agent;
  std::unique_ptr<pb::NodeMount::Stub> mount;
  Steps steps;

  template <class Stub, class Request, class Response>
  void Do(Stub& stub, grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
          const Request& request) {
    Must(rpc::Call({}, stub, method, request).status());
  }

  void Cycle(const std::string& staging, const std::string& target) {
    pb::EnsureVolumeRequest ensure;
    ensure.set_volume_id("bench");
    ensure.set_pool("bench");
    ensure.set_size_bytes(kSize);
    ensure.set_mode(pb::VOLUME_MODE_FILESYSTEM);
    ensure.set_fs_type("ext4");
    steps.Time("create", [&] { Do(*agent, &pb::NodeAgent::Stub::EnsureVolume, ensure); });
    pb::StageVolumeRequest stage;
    stage.set_volume_id("bench");
    stage.set_staging_path(staging);
    stage.set_mode(pb::VOLUME_MODE_FILESYSTEM);
    steps.Time("stage", [&] { Do(*mount, &pb::NodeMount::Stub::StageVolume, stage); });
    pb::PublishVolumeRequest publish;
    publish.set_volume_id("bench");
    publish.set_staging_path(staging);
    publish.set_target_path(target);
    publish.set_mode(pb::VOLUME_MODE_FILESYSTEM);
    steps.Time("publish", [&] { Do(*mount, &pb::NodeMount::Stub::PublishVolume, publish); });
    pb::UnpublishVolumeRequest unpublish;
    unpublish.set_volume_id("bench");
    unpublish.set_target_path(target);
    steps.Time("unpublish", [&] { Do(*mount, &pb::NodeMount::Stub::UnpublishVolume, unpublish); });
    pb::UnstageVolumeRequest unstage;
    unstage.set_volume_id("bench");
    unstage.set_staging_path(staging);
    steps.Time("unstage", [&] { Do(*mount, &pb::NodeMount::Stub::UnstageVolume, unstage); });
    pb::RemoveVolumeRequest remove;
    remove.set_volume_id("bench");
    steps.Time("delete", [&] { Do(*agent, &pb::NodeAgent::Stub::RemoveVolume, remove); });
  }
};

void SyncDirectory(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY);
  Must(fsync(fd) == 0, "fsync directory");
  close(fd);
}

// An image as the agent makes it: whole or absent after a power cut.
void BareCreate(const std::string& directory, const std::string& image) {
  const std::string partial = image + ".partial";
  const int fd = open(partial.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
  Must(fd >= 0 && fallocate(fd, 0, 0, kSize) == 0, "fallocate");
  sys::PosixCommandRunner commands;
  Must(sys::RunChecked(commands, {},
                       {"mkfs.ext4", "-q", "-F", "-b", "4096", "-m", "0", "-E",
                        "nodiscard,assume_storage_prezeroed=1", partial}));
  Must(fsync(fd) == 0, "fsync");
  close(fd);
  Must(rename(partial.c_str(), image.c_str()) == 0, "rename");
  SyncDirectory(directory);
}

// Returns the open device; it detaches itself after its last user.
int BareAttach(const std::string& image, std::string& device) {
  const int file = open(image.c_str(), O_RDWR);
  const int control = open("/dev/loop-control", O_RDWR);
  for (;;) {
    device = "/dev/loop" + std::to_string(ioctl(control, LOOP_CTL_GET_FREE));
    const int fd = open(device.c_str(), O_RDWR);
    loop_config config{};
    config.fd = static_cast<uint32_t>(file);
    config.info.lo_flags = LO_FLAGS_DIRECT_IO | LO_FLAGS_AUTOCLEAR;
    if (fd >= 0 && ioctl(fd, LOOP_CONFIGURE, &config) == 0) {
      close(file);
      close(control);
      return fd;
    }
    Must(errno == EBUSY, "LOOP_CONFIGURE");
    close(fd);
  }
}

void BareCycle(Steps& steps, const std::string& directory, const std::string& staging,
               const std::string& target) {
  const std::string image = directory + "/bare.img";
  steps.Time("create", [&] { BareCreate(directory, image); });
  steps.Time("stage", [&] {
    std::string device;
    const int fd = BareAttach(image, device);
    mkdir(staging.c_str(), 0755);
    Must(mount(device.c_str(), staging.c_str(), "ext4", 0, "") == 0, "mount");
    close(fd);
  });
  steps.Time("publish", [&] {
    mkdir(target.c_str(), 0755);
    Must(mount(staging.c_str(), target.c_str(), nullptr, MS_BIND, nullptr) == 0, "bind");
  });
  steps.Time("unpublish", [&] {
    Must(umount2(target.c_str(), 0) == 0, "umount target");
    rmdir(target.c_str());
  });
  steps.Time("unstage", [&] { Must(umount2(staging.c_str(), 0) == 0, "umount staging"); });
  steps.Time("delete", [&] {
    // XFS gives the blocks of an unlinked file back later, those of a truncated one at once.
    const int file = open(image.c_str(), O_RDWR);
    unlink(image.c_str());
    Must(ftruncate(file, 0) == 0, "ftruncate");
    SyncDirectory(directory);
    close(file);
  });
}

// An agent in a process of its own, as it has on a node: one process that is both ends of a
// connection would wait for itself.
class AgentProcess {
 public:
  explicit AgentProcess(const node_agent::AgentOptions& options) {
    int ready[2];
    Must(pipe(ready) == 0, "pipe");
    pid_ = fork();
    Must(pid_ >= 0, "fork");
    if (pid_ == 0) Serve(options, ready[1]);
    close(ready[1]);
    char byte;
    Must(read(ready[0], &byte, 1) == 1, "start of the agent");
    close(ready[0]);
  }
  ~AgentProcess() {
    kill(pid_, SIGTERM);
    waitpid(pid_, nullptr, 0);
  }

 private:
  [[noreturn]] static void Serve(const node_agent::AgentOptions& options, int ready) {
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    sigset_t end;
    sigemptyset(&end);
    sigaddset(&end, SIGTERM);
    sigprocmask(SIG_BLOCK, &end, nullptr);
    auto app = node_agent::AgentApp::Start({}, options);
    Must(app.status());
    Must(write(ready, "", 1) == 1, "write");
    int signal;
    sigwait(&end, &signal);
    (*app)->Stop();
    _exit(0);
  }
  pid_t pid_ = -1;
};

int Main(int argc, char** argv) {
  const int rounds = argc > 1 ? atoi(argv[1]) : 20;
  if (const std::string missing = node_agent::LoopLab::Missing(); !missing.empty()) {
    std::cerr << "bench_volume_cycle lacks " << missing << "\n";
    return 2;
  }
  SetLogLevel(LogLevel::kError);
  node_agent::LoopLab lab;
  const std::string pool =
      argc > 2 ? std::string(argv[2]) : lab.MakeFilesystem("xfs", int64_t{4} << 30);
  node_agent::AgentOptions options;
  options.node_name = "bench";
  options.state_dir = lab.Path("state");
  options.listen = "unix://" + lab.Path("agent.sock");
  options.mount_socket = lab.Path("mount.sock");
  options.ops_address = "";
  options.publish_roots = {lab.Path("kubelet")};
  const AgentProcess agent(options);
  Client client{pb::NodeAgent::NewStub(rpc::MakeUnixChannel(options.listen)),
                pb::NodeMount::NewStub(rpc::MakeUnixChannel("unix://" + options.mount_socket))};
  pb::EnsurePoolRequest ensure;
  ensure.set_backend("File");
  ensure.set_name("bench");
  ensure.set_uid("bench");
  ensure.mutable_directory()->set_path(pool);
  client.Do(*client.agent, &pb::NodeAgent::Stub::EnsurePool, ensure);

  std::filesystem::create_directories(pool + "/bare");
  std::filesystem::create_directories(lab.Path("kubelet"));
  std::vector<double> ours, bare, calls;
  Steps bare_steps;
  for (int round = -1; round < rounds; ++round) {
    const double a =
        Milliseconds([&] { client.Cycle(lab.Path("kubelet/s"), lab.Path("kubelet/t")); });
    const double b = Milliseconds(
        [&] { BareCycle(bare_steps, pool + "/bare", lab.Path("bs"), lab.Path("bt")); });
    for (int i = 0; i < 20; ++i)
      calls.push_back(Milliseconds(
          [&] { client.Do(*client.mount, &pb::NodeMount::Stub::GetNode, pb::GetNodeRequest()); }));
    if (round < 0) {  // warm-up
      client.steps.Forget();
      bare_steps.Forget();
      continue;
    }
    ours.push_back(a);
    bare.push_back(b);
  }
  std::filesystem::remove_all(pool + "/bare");
  printf("volume cycle: agent %.1f ms, bare %.1f ms, ratio %.2f (goal <= 1.30)\n", Median(ours),
         Median(bare), Median(ours) / Median(bare));
  for (const std::string& step : bare_steps.names())
    printf("  %-10s  agent %5.2f ms, bare %5.2f ms\n", step.c_str(), client.steps.MedianOf(step),
           bare_steps.MedianOf(step));
  printf("empty call:   p50 %.2f ms (goal <= 2.00)\n", Median(calls));
  return 0;
}

}  // namespace
}  // namespace ashlar

int main(int argc, char** argv) { return ashlar::Main(argc, argv); }
