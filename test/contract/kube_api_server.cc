#include "test/contract/kube_api_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "lib/base/status_macros.h"
#include "lib/kube/core_kinds.h"
#include "lib/kube/http_client.h"
#include "lib/yaml/yaml.h"

namespace ashlar::kube {
namespace {

// A port that was free a moment ago.
int FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in at = {};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(at);
  bind(fd, reinterpret_cast<sockaddr*>(&at), size);
  getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size);
  close(fd);
  return ntohs(at.sin_port);
}

std::string Binary(const std::string& name) {
  const char* cache = std::getenv("ASHLAR_CACHE");
  const char* home = std::getenv("HOME");
  const std::string root =
      cache != nullptr ? cache : absl::StrCat(home == nullptr ? "" : home, "/.cache/ashlar");
  return absl::StrCat(root, "/cluster/bin/", name);
}

void Write(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

std::string ReadAll(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

}  // namespace

void RunningProgram::Start(const std::vector<std::string>& argv, const std::string& log) {
  std::vector<char*> arguments;
  for (const std::string& argument : argv) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  pid_ = fork();
  if (pid_ != 0) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const int fd = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  dup2(fd, STDOUT_FILENO);
  dup2(fd, STDERR_FILENO);
  execv(arguments[0], arguments.data());
  _exit(127);
}

bool RunningProgram::HasEnded() const {
  siginfo_t info = {};
  return pid_ <= 0 ||
         (waitid(P_PID, pid_, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0);
}

void RunningProgram::Kill() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

absl::StatusOr<std::shared_ptr<KubeApiServer>> KubeApiServer::Start() {
  for (const char* name : {"etcd", "kube-apiserver"}) {
    if (!std::filesystem::exists(Binary(name)))
      return absl::UnavailableError(
          absl::StrCat(Binary(name), " is missing; test/lab/cluster/build.sh builds it"));
  }
  std::shared_ptr<KubeApiServer> made(new KubeApiServer());
  ASHLAR_RETURN_IF_ERROR(made->Prepare());
  const std::string& dir = made->directory_.path();
  const std::string clients = absl::StrCat("http://127.0.0.1:", made->etcd_port_);
  const std::string peers = absl::StrCat("http://127.0.0.1:", made->etcd_peer_port_);
  made->etcd_.Start(
      {Binary("etcd"), "--data-dir", dir + "/etcd", "--listen-client-urls", clients,
       "--advertise-client-urls", clients, "--listen-peer-urls", peers, "--unsafe-no-fsync"},
      dir + "/etcd.log");
  made->StartServer();
  ASHLAR_ASSIGN_OR_RETURN(const Connection connection, LoadKubeconfig(made->kubeconfig()));
  ASHLAR_ASSIGN_OR_RETURN(
      made->client_,
      MakeHttpClient(connection, made->clock_, {.user_agent = "contract", .list_chunk = 3}));
  ASHLAR_RETURN_IF_ERROR(made->AwaitReady());
  ASHLAR_RETURN_IF_ERROR(made->InstallKinds());
  return made;
}

absl::Status KubeApiServer::Prepare() {
  etcd_port_ = FreePort();
  etcd_peer_port_ = FreePort();
  port_ = FreePort();
  const std::string& dir = directory_.path();
  const absl::Time from = absl::Now() - absl::Hours(1), to = absl::Now() + absl::Hours(24);
  ASHLAR_ASSIGN_OR_RETURN(const tls::KeyPair ca, tls::MakeCa({"contract", from, to}));
  ASHLAR_ASSIGN_OR_RETURN(
      const tls::KeyPair server,
      tls::MakeCertificate(ca, {"kube-apiserver", {"kubernetes"}, {"127.0.0.1"}, "", from, to}));
  ASHLAR_ASSIGN_OR_RETURN(const tls::KeyPair admin,
                          tls::MakeCertificate(ca, {"admin", {}, {}, "system:masters", from, to}));
  Write(dir + "/ca.crt", ca.certificate_pem);
  Write(dir + "/server.crt", server.certificate_pem);
  Write(dir + "/server.key", server.key_pem);
  Write(dir + "/tokens.csv", "powerless-token,powerless,powerless\n");
  Write(kubeconfig(),
        absl::StrCat("apiVersion: v1\nkind: Config\ncurrent-context: c\n",
                     "clusters: [{name: c, cluster: {server: 'https://127.0.0.1:", port_,
                     "', certificate-authority: ca.crt}}]\n",
                     "users: [{name: u, user: {client-certificate-data: ",
                     absl::Base64Escape(admin.certificate_pem),
                     ", client-key-data: ", absl::Base64Escape(admin.key_pem), "}}]\n",
                     "contexts: [{name: c, context: {cluster: c, user: u}}]\n"));
  return absl::OkStatus();
}

void KubeApiServer::StartServer() {
  const std::string& dir = directory_.path();
  server_.Start(
      {Binary("kube-apiserver"), absl::StrCat("--etcd-servers=http://127.0.0.1:", etcd_port_),
       "--bind-address=127.0.0.1", absl::StrCat("--secure-port=", port_),
       absl::StrCat("--cert-dir=", dir, "/generated"),
       absl::StrCat("--tls-cert-file=", dir, "/server.crt"),
       absl::StrCat("--tls-private-key-file=", dir, "/server.key"),
       absl::StrCat("--client-ca-file=", dir, "/ca.crt"),
       absl::StrCat("--token-auth-file=", dir, "/tokens.csv"), "--authorization-mode=RBAC",
       "--service-cluster-ip-range=10.96.0.0/16",
       "--service-account-issuer=https://kubernetes.default.svc",
       absl::StrCat("--service-account-signing-key-file=", dir, "/server.key"),
       absl::StrCat("--service-account-key-file=", dir, "/server.crt")},
      dir + "/kube-apiserver.log");
}

absl::Status KubeApiServer::Resume() {
  StartServer();
  return AwaitReady();
}

absl::Status KubeApiServer::AwaitReady() {
  const absl::Time patience = absl::Now() + absl::Minutes(2);
  for (;;) {
    const CallContext context{.deadline = absl::Now() + absl::Seconds(5)};
    const auto got = client_->Get(context, kNamespace, {"", "kube-system"});
    if (got.ok()) return absl::OkStatus();
    if (absl::Now() > patience || server_.HasEnded()) {
      const std::string log = ReadAll(directory_.path() + "/kube-apiserver.log");
      return absl::DeadlineExceededError(
          absl::StrCat("kube-apiserver is not ready: ", got.status().ToString(), "\n",
                       log.substr(log.size() - std::min<size_t>(log.size(), 3000))));
    }
    absl::SleepFor(absl::Milliseconds(100));
  }
}

absl::Status KubeApiServer::InstallKinds() {
  for (const auto& file : std::filesystem::directory_iterator(ASHLAR_SOURCE_DIR "/deploy/crds")) {
    if (file.path().extension() != ".yaml") continue;
    ASHLAR_ASSIGN_OR_RETURN(const Json crd, ParseYaml(ReadAll(file.path())));
    ASHLAR_RETURN_IF_ERROR(client_->Create({}, kCustomResourceDefinition, crd).status());
    const KindInfo kind{JsonString(crd, {"spec", "group"}), "v1alpha1",
                        JsonString(crd, {"spec", "names", "kind"}),
                        JsonString(crd, {"spec", "names", "plural"}), false};
    const absl::Time patience = absl::Now() + absl::Minutes(1);
    // Served a moment after it has been accepted.
    for (;;) {
      const absl::Status listed = client_->List({}, kind, {}).status();
      if (listed.ok()) break;
      if (absl::Now() > patience) return listed;
      absl::SleepFor(absl::Milliseconds(50));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Connection> KubeApiServer::PowerlessConnection() const {
  ASHLAR_ASSIGN_OR_RETURN(Connection made, LoadKubeconfig(kubeconfig()));
  made.http.client_cert_pem.clear();
  made.http.client_key_pem.clear();
  made.token = "powerless-token";
  return made;
}

}  // namespace ashlar::kube
