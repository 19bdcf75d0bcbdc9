#include "standalone/api_server.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"
#include "lib/http/server.h"
#include "lib/yaml/yaml.h"
#include "standalone/api_requests.h"
#include "standalone/embedded_files.h"
#include "standalone/garbage_collector.h"
#include "standalone/objects.h"
#include "standalone/registry.h"
#include "standalone/store.h"
#include "standalone/watches.h"

namespace ashlar::standalone {
namespace {

constexpr char kManager[] = "ashlar-standalone";

class RunningApiServer final : public ApiServer {
 public:
  RunningApiServer(ApiServerOptions options, Clock& clock, std::unique_ptr<Store> store)
      : options_(std::move(options)),
        store_(std::move(store)),
        objects_(*store_, registry_, clock),
        watches_(std::in_place_t(), *store_, clock) {}

  ~RunningApiServer() override {
    collector_.reset();
    watches_.reset();  // streams end before the server waits for them
    server_.reset();
  }

  absl::Status Prepare() {
    ASHLAR_RETURN_IF_ERROR(ServeBuiltInKinds());
    ASHLAR_RETURN_IF_ERROR(objects_.LoadDefinitions());
    for (const std::string& name : options_.namespaces) {
      ASHLAR_RETURN_IF_ERROR(
          Apply({{"apiVersion", "v1"}, {"kind", "Namespace"}, {"metadata", {{"name", name}}}}));
    }
    for (const Json& definition : options_.definitions) {
      ASHLAR_RETURN_IF_ERROR(Apply(definition));
    }
    collector_.emplace(objects_);
    return absl::OkStatus();
  }

  absl::Status Listen() {
    requests_.emplace(objects_, *watches_, options_.token);
    http::ServerOptions http;
    http.address = options_.address;
    http.port = options_.port;
    http.cert_pem = options_.cert_pem;
    http.key_pem = options_.key_pem;
    http.workers = options_.workers;
    ASHLAR_ASSIGN_OR_RETURN(
        server_, http::Serve(std::move(http), [this](const http::Request& request,
                                                     std::shared_ptr<http::ResponseWriter> writer) {
          requests_->Handle(request, writer);
        }));
    return absl::OkStatus();
  }

  int port() const override { return server_->port(); }
  std::string url() const override {
    return absl::StrCat(options_.cert_pem.empty() ? "http" : "https", "://", options_.address, ":",
                        port());
  }

 private:
  absl::Status ServeBuiltInKinds() {
    for (const EmbeddedFile& file : kKindFiles) {
      ASHLAR_ASSIGN_OR_RETURN(std::vector<Json> definitions, ParseYamlDocuments(file.text));
      for (const Json& definition : definitions) {
        auto resources = ResourcesOf(definition, false);
        if (!resources.ok()) return Annotate(resources.status(), file.name);
        registry_.Put(*resources);
      }
    }
    return absl::OkStatus();
  }

  absl::Status Apply(const Json& object) {
    const std::string kind = JsonString(object, {"kind"});
    const std::string name = JsonString(object, {"metadata", "name"});
    ResourcePtr resource =
        registry_.FindKind(kind == "Namespace" ? "" : "apiextensions.k8s.io", kind);
    if (resource == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat("definition ", name, " has kind ", kind));
    }
    WriteOptions options;
    options.manager = kManager;
    options.force = true;
    auto written = objects_.Patch(*resource, {"", name}, PatchType::kApply, object, options);
    return Annotate(written.status(), name);
  }

  const ApiServerOptions options_;
  const std::unique_ptr<Store> store_;
  Registry registry_;
  Objects objects_;
  std::optional<Watches> watches_;
  std::optional<GarbageCollector> collector_;
  std::optional<ApiRequests> requests_;
  std::unique_ptr<http::Server> server_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ApiServer>> ApiServer::Start(ApiServerOptions options,
                                                            Clock& clock) {
  ASHLAR_ASSIGN_OR_RETURN(auto store, Store::Open(options.database, clock, options.history));
  auto server = std::make_unique<RunningApiServer>(std::move(options), clock, std::move(store));
  ASHLAR_RETURN_IF_ERROR(server->Prepare());
  ASHLAR_RETURN_IF_ERROR(server->Listen());
  return server;
}

}  // namespace ashlar::standalone
