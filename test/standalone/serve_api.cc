// Serves the embedded API alone, without agent and volumes, for the tests with kubectl:
//   serve_api DATA_DIRECTORY [PORT]
// It writes DATA_DIRECTORY/kubeconfig and serves until SIGTERM.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "lib/base/clock.h"
#include "lib/yaml/yaml.h"
#include "standalone/api_server.h"
#include "standalone/embedded_files.h"
#include "standalone/identity.h"
#include "standalone/private_file.h"

namespace ashlar::standalone {
namespace {

absl::Status Serve(const std::string& directory, int port) {
  RealClock clock;
  if (absl::Status made = MakePrivateDirectory(directory); !made.ok()) return made;
  auto identity = LoadIdentity(directory + "/identity", "127.0.0.1", clock);
  if (!identity.ok()) return identity.status();
  ApiServerOptions options;
  options.database = directory + "/api.db";
  options.port = port;
  options.cert_pem = identity->cert_pem;
  options.key_pem = identity->key_pem;
  options.token = identity->token;
  for (const EmbeddedFile& file : kDefinitionFiles) {
    auto definition = ParseYaml(file.text);
    if (!definition.ok()) return definition.status();
    options.definitions.push_back(*std::move(definition));
  }
  auto server = ApiServer::Start(options, clock);
  if (!server.ok()) return server.status();
  absl::Status written =
      WritePrivateFile(directory + "/kubeconfig", KubeconfigText(*identity, (*server)->url()));
  if (!written.ok()) return written;
  std::printf("%s\n", (*server)->url().c_str());
  std::fflush(stdout);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  int signal = 0;
  sigwait(&signals, &signal);
  return absl::OkStatus();
}

}  // namespace
}  // namespace ashlar::standalone

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: serve_api DATA_DIRECTORY [PORT]\n");
    return 2;
  }
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  absl::Status status = ashlar::standalone::Serve(argv[1], argc > 2 ? std::atoi(argv[2]) : 0);
  if (status.ok()) return 0;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return 1;
}
