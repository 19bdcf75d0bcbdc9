// PluginRegistration: makes a driver known to the kubelet (pluginregistration v1), so that no
// sidecar is needed for it. It serves the Registration service on <directory>/<driver>-reg.sock;
// the kubelet finds the socket, asks what kind of plugin this is and where it listens, calls it
// there and says how it went. If the file vanishes (the directory was made anew) it is served
// again. Thread-safe.
//
//            Start                 kubelet: registered           file vanished
//   (none) ────────► waiting ─────────────────────────► registered ─────────► waiting
//                      ▲  kubelet: failed, and why          │
//                      └────────────────────────────────────┘
#pragma once

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/rpc/call_runner.h"
#include "lib/rpc/server.h"

namespace ashlar::kubelet {

struct PluginRegistrationOptions {
  std::string directory;              // the kubelet's plugins_registry, as this process sees it
  std::string driver;                 // its name
  std::string type;                   // CSIPlugin or DRAPlugin
  std::string kubelet_endpoint;       // path of the driver's socket, as the kubelet sees it
  std::vector<std::string> versions;  // of a CSIPlugin; the services of a DRAPlugin
  absl::Duration look_every = absl::Seconds(2);
};

class PluginRegistration {
 public:
  // Serves when it returns. `clock` and `runner` must outlive it. Errors as rpc::Server::Start.
  static absl::StatusOr<std::unique_ptr<PluginRegistration>> Start(
      PluginRegistrationOptions options, Clock& clock, rpc::CallRunner& runner);
  ~PluginRegistration();  // removes the socket: the kubelet then forgets the driver

  // OK if the kubelet has registered the driver; else Unavailable with what the kubelet said.
  absl::Status Registered() const;

 private:
  class Service;
  PluginRegistration(PluginRegistrationOptions options, Clock& clock, rpc::CallRunner& runner);

  absl::Status Serve();
  void Watch(std::stop_token stop);
  void NoteStatus(bool registered, const std::string& error);

  const PluginRegistrationOptions options_;
  const std::string socket_;
  Clock& clock_;
  const std::unique_ptr<Service> service_;
  mutable Mutex mu_;
  absl::Status registered_ ABSL_GUARDED_BY(mu_);
  std::unique_ptr<rpc::Server> server_;  // touched by Start, then only by the watching thread
  std::jthread watcher_;                 // last: it uses all of the above
};

}  // namespace ashlar::kubelet
