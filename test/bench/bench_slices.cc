// bench_slices: the drives of 1,000 nodes published as ResourceSlices by the whole controller, over
// agents and an API server in memory. Counts writes: after the first publication, silence must be
// none, and a change of a drive one (no more writes than changes). Ends with 1 if there are more.
//
//   bench_slices [nodes]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "ashlar/k8s/resource.codec.h"
#include "controller/agents/testing/fake_agent.h"
#include "controller/controller_app.h"
#include "lib/api/kinds.h"
#include "lib/base/log.h"
#include "lib/kube/core_kinds.h"
#include "lib/kube/testing/fake_client.h"

namespace ashlar::controller {
namespace {

using Stopwatch = std::chrono::steady_clock;
constexpr int64_t kGi = int64_t{1} << 30;
constexpr int kDrives = 4;
constexpr auto kPatience = std::chrono::minutes(10);

void Require(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  std::exit(1);
}

std::map<std::string, int64_t> Drives(const std::string& node, int64_t first_bytes) {
  std::map<std::string, int64_t> drives;
  for (int i = 0; i < kDrives; ++i)
    drives[absl::StrCat(node, "-d", i)] = i == 0 ? first_bytes : 100 * kGi;
  return drives;
}

class Cluster {
 public:
  explicit Cluster(int nodes) {
    options_.space = "default";
    options_.identity = "bench";
    options_.leader_elect = false;
    options_.directory.heartbeat = absl::Seconds(1);
    for (int i = 0; i < nodes; ++i) AddNode(absl::StrCat("n", i));
    Require(server_
                .Create({}, api::Kind<v1alpha1::Pool>(),
                        {{"apiVersion", "ashlar.dev/v1alpha1"},
                         {"kind", "Pool"},
                         {"metadata", {{"name", "fast"}}},
                         {"spec", {{"backend", "Partition"}, {"directory", {{"path", "/x"}}}}}})
                .status());
    app_ = std::make_unique<ControllerApp>(options_, server_, connector_, clock_, registry_);
    thread_ = std::jthread([this](std::stop_token stop) {
      CallContext context;
      context.stop = stop;
      Require(app_->Run(context));
    });
  }

  // Blocks until `nodes` slices tell of a first drive of that many bytes.
  void AwaitPublished(int nodes, int64_t first_bytes) {
    const auto end = Stopwatch::now() + kPatience;
    int published = 0;
    while (Stopwatch::now() < end) {
      published = 0;
      const auto slices = server_.List({}, api::Kind<k8s::ResourceSlice>(), {});
      Require(slices.status());
      for (const Json& object : slices->items) {
        const auto slice = api::FromJson<k8s::ResourceSlice>(object);
        Require(slice.status());
        if (slice->spec().devices_size() < kDrives) continue;
        for (const k8s::Device& device : slice->spec().devices())
          if (device.capacity().at("storage").value() == first_bytes) {
            ++published;
            break;
          }
      }
      if (published >= nodes) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
    }
    std::fprintf(stderr, "only %d of %d nodes are published\n", published, nodes);
    std::exit(1);
  }

  // ResourceSlices that the controller has written, once that has not grown for 3 s.
  int64_t Writes() {
    int64_t before = -1;
    for (int64_t now = Count(); now != before; now = Count()) {
      before = now;
      std::this_thread::sleep_for(std::chrono::seconds(3));
    }
    return before;
  }

  void GrowFirstDrive(int node, int64_t bytes) {
    const std::string name = absl::StrCat("n", node);
    agents_.at(node)->SetPoolDrives(Drives(name, bytes));
  }

 private:
  void AddNode(const std::string& name) {
    Require(server_
                .Create({}, kube::kNode,
                        {{"apiVersion", "v1"}, {"kind", "Node"}, {"metadata", {{"name", name}}}})
                .status());
    auto agent = std::make_shared<FakeAgent>(name, 0, clock_);
    agent->SetPoolDrives(Drives(name, 100 * kGi));
    for (const auto& [id, bytes] : Drives(name, 0)) {
      agent::v1::Drive drive;
      drive.set_id(id);
      drive.set_serial(id);
      agent->AddDrive(drive);
    }
    connector_.Add(absl::StrCat(name, ":9500"), agent);
    options_.agents.push_back({name, absl::StrCat(name, ":9500"), "bench"});
    agents_.push_back(std::move(agent));
  }
  int64_t Count() const {
    for (const absl::string_view line : absl::StrSplit(registry_.Text(), '\n')) {
      const std::vector<absl::string_view> words = absl::StrSplit(line, ' ');
      double value = 0;
      if (words.size() == 2 && words[0] == "ashlar_controller_slice_writes_total" &&
          absl::SimpleAtod(words[1], &value))
        return static_cast<int64_t>(value);
    }
    return 0;
  }

  RealClock clock_;
  kube::FakeClient server_{clock_};
  FakeAgentConnector connector_;
  metrics::Registry registry_;
  ControllerAppOptions options_;
  std::vector<std::shared_ptr<FakeAgent>> agents_;
  std::unique_ptr<ControllerApp> app_;
  std::jthread thread_;
};

int Main(int nodes) {
  const auto began = Stopwatch::now();
  Cluster cluster(nodes);
  cluster.AwaitPublished(nodes, 100 * kGi);
  const double seconds = std::chrono::duration<double>(Stopwatch::now() - began).count();
  const int64_t first = cluster.Writes();
  std::printf("%d nodes with %d drives: published after %.1f s by %lld writes\n", nodes, kDrives,
              seconds, static_cast<long long>(first));
  std::this_thread::sleep_for(std::chrono::seconds(5));
  const int64_t silent = cluster.Writes() - first;
  std::printf("5 heartbeats of each: %lld writes\n", static_cast<long long>(silent));
  const int changed = nodes / 5;
  for (int i = 0; i < changed; ++i) cluster.GrowFirstDrive(i, 200 * kGi);
  cluster.AwaitPublished(changed, 200 * kGi);
  const int64_t of_changes = cluster.Writes() - first - silent;
  std::printf("a drive of each of %d nodes changed: %lld writes\n", changed,
              static_cast<long long>(of_changes));
  const bool good = silent == 0 && of_changes <= changed;
  std::printf("%s\n", good ? "no more writes than changes" : "MORE WRITES THAN CHANGES");
  return good ? 0 : 1;
}

}  // namespace
}  // namespace ashlar::controller

int main(int argc, char** argv) {
  ashlar::SetLogLevel(ashlar::LogLevel::kError);
  return ashlar::controller::Main(argc > 1 ? std::atoi(argv[1]) : 1000);
}
