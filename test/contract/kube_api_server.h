// KubeApiServer: a real etcd and kube-apiserver on loopback ports of their own, with Ashlar's kinds
// installed, for tests. Their binaries come from test/lab/cluster/build.sh. Everything ends with
// the object, and with the process if that is killed. Not thread-safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "lib/base/clock.h"
#include "lib/base/testing/temporary_directory.h"
#include "lib/kube/connection.h"
#include "lib/tls/certificate_maker.h"
#include "test/contract/kube_client_contract.h"

namespace ashlar::kube {

// A program that runs until the object ends.
class RunningProgram {
 public:
  RunningProgram() = default;
  ~RunningProgram() { Kill(); }
  RunningProgram(const RunningProgram&) = delete;
  RunningProgram& operator=(const RunningProgram&) = delete;
  void Start(const std::vector<std::string>& argv, const std::string& log);
  bool HasEnded() const;
  void Kill();  // -9, and waits for the end

 private:
  int pid_ = -1;
};

class KubeApiServer final : public ApiUnderTest {
 public:
  // Ready when it returns. Unavailable: a binary is missing, or the server did not come up.
  static absl::StatusOr<std::shared_ptr<KubeApiServer>> Start();

  Client& client() override { return *client_; }
  std::string forgotten_version() override { return "1"; }

  // As a member of system:masters by client certificate, from a kubeconfig file.
  std::string kubeconfig() const { return directory_.path() + "/admin.conf"; }
  // Somebody without rights, by token.
  absl::StatusOr<Connection> PowerlessConnection() const;
  // The API server is gone, as when its node loses power. Resume starts it again on its old port.
  void Interrupt() { server_.Kill(); }
  absl::Status Resume();

 private:
  KubeApiServer() = default;
  absl::Status Prepare();
  absl::Status AwaitReady();
  absl::Status InstallKinds();
  void StartServer();

  TemporaryDirectory directory_;
  int etcd_port_ = 0, etcd_peer_port_ = 0, port_ = 0;
  RunningProgram etcd_, server_;
  RealClock clock_;
  std::unique_ptr<Client> client_;
};

}  // namespace ashlar::kube
