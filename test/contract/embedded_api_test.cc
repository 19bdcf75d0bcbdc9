// The HTTP client passes the contract against the embedded API of `ashlar standalone`.
#include "lib/base/testing/temporary_directory.h"
#include "lib/kube/http_client.h"
#include "lib/yaml/yaml.h"
#include "standalone/api_server.h"
#include "standalone/embedded_files.h"
#include "standalone/identity.h"
#include "test/contract/kube_client_contract.h"

namespace ashlar::kube {
namespace {

class EmbeddedApi final : public ApiUnderTest {
 public:
  static absl::StatusOr<std::shared_ptr<ApiUnderTest>> Start() {
    auto api = std::shared_ptr<EmbeddedApi>(new EmbeddedApi());
    absl::Status status = api->Serve();
    // Again: a server does not know what happened before its start, so version 1 is forgotten.
    if (status.ok()) status = api->Serve();
    if (!status.ok()) return absl::InternalError(status.message());
    return std::shared_ptr<ApiUnderTest>(api);
  }
  Client& client() override { return *client_; }
  std::string forgotten_version() override { return "1"; }

 private:
  absl::Status Serve() {
    server_.reset();
    auto identity = standalone::LoadIdentity(directory_.path() + "/identity", "127.0.0.1", clock_);
    if (!identity.ok()) return identity.status();
    standalone::ApiServerOptions options;
    options.database = directory_.path() + "/api.db";
    options.cert_pem = identity->cert_pem;
    options.key_pem = identity->key_pem;
    options.token = identity->token;
    for (const standalone::EmbeddedFile& file : standalone::kDefinitionFiles) {
      auto definition = ParseYaml(file.text);
      if (!definition.ok()) return definition.status();
      options.definitions.push_back(*std::move(definition));
    }
    auto server = standalone::ApiServer::Start(options, clock_);
    if (!server.ok()) return server.status();
    server_ = *std::move(server);
    auto connection =
        ParseKubeconfig(standalone::KubeconfigText(*identity, server_->url()), directory_.path());
    if (!connection.ok()) return connection.status();
    auto client = MakeHttpClient(*connection, clock_);
    if (!client.ok()) return client.status();
    client_ = *std::move(client);
    return absl::OkStatus();
  }

  TemporaryDirectory directory_;
  RealClock clock_;
  std::unique_ptr<standalone::ApiServer> server_;
  std::unique_ptr<Client> client_;
};

// Started by the first test that asks, ended after the last: its threads must not outlive main.
class SharedApi final : public ::testing::Environment {
 public:
  absl::StatusOr<std::shared_ptr<ApiUnderTest>> Get() {
    if (!api_.ok()) api_ = EmbeddedApi::Start();
    return api_;
  }
  void TearDown() override { api_ = absl::UnavailableError("ended"); }

 private:
  absl::StatusOr<std::shared_ptr<ApiUnderTest>> api_ = absl::UnavailableError("not started");
};

SharedApi* const kShared =
    static_cast<SharedApi*>(::testing::AddGlobalTestEnvironment(new SharedApi));

absl::StatusOr<std::shared_ptr<ApiUnderTest>> Shared() { return kShared->Get(); }

INSTANTIATE_TEST_SUITE_P(Embedded, KubeClientContract,
                         ::testing::Values(KubeApi{"embedded_api", Shared}), KubeApiName);

}  // namespace
}  // namespace ashlar::kube
