// 1,000 Volume objects through the whole controller, with an agent in memory, against the API
// server's own rate for the same writes: create, apply of spec.nodeName, apply of the status, done
// bare by as many threads. A real kube-apiserver and etcd on loopback. Prints the ratio of the
// times; below 1 means that the controller's share hides behind the server's.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "controller/agents/testing/fake_agent.h"
#include "controller/controller_app.h"
#include "lib/api/kinds.h"
#include "lib/base/log.h"
#include "lib/kube/core_kinds.h"
#include "lib/kube/http_client.h"
#include "test/contract/kube_api_server.h"

namespace ashlar::controller {
namespace {

constexpr int kThreads = 32;
const CallContext kContext;

const api::KindInfo& Kind() { return api::Kind<v1alpha1::Volume>(); }

void Require(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  std::exit(1);
}

std::unique_ptr<kube::Client> Connect(kube::KubeApiServer& server, Clock& clock) {
  auto connection = kube::LoadKubeconfig(server.kubeconfig());
  Require(connection.status());
  auto client = kube::MakeHttpClient(*connection, clock, {.requests_per_second = 0});
  Require(client.status());
  return *std::move(client);
}

Json Volume(const std::string& name) {
  return {{"apiVersion", Kind().ApiVersion()},
          {"kind", "Volume"},
          {"metadata", {{"name", name}}},
          {"spec", {{"pool", "fast"}, {"size", "1Mi"}}}};
}

// Runs work(i) for all i below `count` on kThreads threads and answers how long it took.
absl::Duration Timed(int count, const std::function<void(int)>& work) {
  const absl::Time began = absl::Now();
  std::atomic<int> next = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&] {
        for (int i = next++; i < count; i = next++) work(i);
      });
    }
  }
  return absl::Now() - began;
}

// The writes that the life of one volume up to its carving needs, done bare.
void WriteBare(kube::Client& client, const std::string& name) {
  const auto made = client.Create(kContext, Kind(), Volume(name));
  Require(made.status());
  ObjectWriter writer(client, Kind(), [](const Json&) {});
  Json owned = Json::object();
  owned["nodeName"] = "n1";
  const auto placed = writer.UpdateOwned(kContext, *made, owned);
  Require(placed.status());
  auto volume = api::FromJson<v1alpha1::Volume>(*placed);
  Require(volume.status());
  agent::v1::VolumeState state;
  state.set_size_bytes(1 << 20);
  state.set_device_path("/pools/fast/" + name);
  state.set_healthy(true);
  SetCarved(*volume, state, absl::Now());
  Require(writer.UpdateStatus(kContext, *placed, volume->status()).status());
}

// Counts carved volumes of a prefix as an informer sees them.
class CarvedCounter {
 public:
  CarvedCounter(runtime::Informer& informer, std::string prefix) : prefix_(std::move(prefix)) {
    informer.AddHandler([this, &informer](const api::ObjectKey& key) {
      const runtime::ObjectPtr object = informer.Get(key);
      if (object == nullptr || key.name.rfind(prefix_, 0) != 0) return;
      if (FindJson(*object, {"status", "size"}) == nullptr) return;
      MutexLock lock(mu_);
      carved_.insert(key.name);
      changed_.NotifyAll();
    });
  }
  void Await(size_t count) {
    MutexLock lock(mu_);
    while (carved_.size() < count) changed_.Wait(mu_);
  }

 private:
  const std::string prefix_;
  Mutex mu_;
  CondVar changed_;
  std::set<std::string> carved_ ABSL_GUARDED_BY(mu_);
};

absl::Duration ThroughController(kube::Client& client, CarvedCounter& counter,
                                 const std::string& prefix, int count) {
  const absl::Time began = absl::Now();
  Timed(count, [&](int i) {
    Require(client.Create(kContext, Kind(), Volume(absl::StrCat(prefix, i))).status());
  });
  counter.Await(count);
  return absl::Now() - began;
}

void Print(const char* what, int count, absl::Duration bare, absl::Duration through) {
  std::printf(
      "%s: %d volumes: bare writes %.2f s (%.0f volumes/s), controller %.2f s "
      "(%.0f volumes/s), ratio %.2f\n",
      what, count, absl::ToDoubleSeconds(bare), count / absl::ToDoubleSeconds(bare),
      absl::ToDoubleSeconds(through), count / absl::ToDoubleSeconds(through),
      absl::FDivDuration(through, bare));
}

void Bench(int count) {
  RealClock clock;
  auto server = kube::KubeApiServer::Start();
  Require(server.status());
  auto client = Connect(**server, clock);
  auto controller_client = Connect(**server, clock);
  auto agent = std::make_shared<FakeAgent>("n1", int64_t{1} << 40, clock);
  FakeAgentConnector connector;
  connector.Add("n1:9500", agent);
  Require(client
              ->Create(kContext, api::Kind<v1alpha1::Pool>(),
                       {{"apiVersion", Kind().ApiVersion()},
                        {"kind", "Pool"},
                        {"metadata", {{"name", "fast"}}},
                        {"spec", {{"directory", {{"path", "/data"}}}}}})
              .status());
  Timed(200, [&](int i) { WriteBare(*client, absl::StrCat("warm-", i)); });
  const absl::Duration bare =
      Timed(count, [&](int i) { WriteBare(*client, absl::StrCat("bare-", i)); });

  metrics::Registry registry;
  ControllerAppOptions options;
  options.space = "default";
  options.identity = "bench";
  options.leader_elect = false;
  options.agents = {{"n1", "n1:9500", "bench"}};
  ControllerApp app(options, *controller_client, connector, clock, registry);
  runtime::Informer informer(*client, Kind(), clock);
  CarvedCounter burst(informer, "burst-");
  CarvedCounter many(informer, "many-");
  auto run = [](auto& what) {
    return [&what](std::stop_token stop) {
      if constexpr (requires { what.Ready(); }) {
        CallContext context;
        context.stop = stop;
        Require(what.Run(context));
      } else {
        what.Run(stop);
      }
    };
  };
  std::jthread watch(run(informer));
  std::jthread controller(run(app));
  ThroughController(*client, burst, "burst-", 200);  // the pool is ready after it
  CarvedCounter second(informer, "second-");
  const absl::Duration of_burst = ThroughController(*client, second, "second-", 200);
  std::printf("burst of 200 volumes: all carved after %.2f s\n", absl::ToDoubleSeconds(of_burst));
  Print("controller", count, bare, ThroughController(*client, many, "many-", count));
}

}  // namespace
}  // namespace ashlar::controller

int main(int argc, char** argv) {
  ashlar::SetLogLevel(ashlar::LogLevel::kError);
  const int count = argc > 1 ? std::atoi(argv[1]) : 1000;
  ashlar::controller::Bench(count);
  return 0;
}
