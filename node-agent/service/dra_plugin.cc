#include "node-agent/service/dra_plugin.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "dra-health/v1alpha1/api.grpc.pb.h"
#include "dra/v1/api.grpc.pb.h"
#include "dra/v1beta1/api.grpc.pb.h"
#include "lib/base/status_macros.h"
#include "lib/system/files.h"

namespace ashlar::node_agent {
namespace {

namespace v1 = ::k8s::io::kubelet::pkg::apis::dra::v1;
namespace v1beta1 = ::k8s::io::kubelet::pkg::apis::dra::v1beta1;
namespace health = ::v1alpha1;

constexpr absl::Duration kGrace = absl::Seconds(5);
constexpr size_t kLongestMessage = 1024;  // of a device's health

struct ApiV1 {
  using NodePrepareResourcesRequest = v1::NodePrepareResourcesRequest;
  using NodePrepareResourcesResponse = v1::NodePrepareResourcesResponse;
  using NodePrepareResourceResponse = v1::NodePrepareResourceResponse;
  using NodeUnprepareResourcesRequest = v1::NodeUnprepareResourcesRequest;
  using NodeUnprepareResourcesResponse = v1::NodeUnprepareResourcesResponse;
  static void SetShare(v1::Device& device, const std::string& id) { device.set_share_id(id); }
};
// Knows no shares.
struct ApiV1Beta1 {
  using NodePrepareResourcesRequest = v1beta1::NodePrepareResourcesRequest;
  using NodePrepareResourcesResponse = v1beta1::NodePrepareResourcesResponse;
  using NodePrepareResourceResponse = v1beta1::NodePrepareResourceResponse;
  using NodeUnprepareResourcesRequest = v1beta1::NodeUnprepareResourcesRequest;
  using NodeUnprepareResourcesResponse = v1beta1::NodeUnprepareResourcesResponse;
  static void SetShare(v1beta1::Device&, const std::string&) {}
};

health::NodeWatchResourcesResponse ToProto(const std::vector<DeviceHealth>& devices,
                                           absl::Time now) {
  health::NodeWatchResourcesResponse response;
  for (const DeviceHealth& from : devices) {
    health::DeviceHealth& device = *response.add_devices();
    device.mutable_device()->set_pool_name(from.pool);
    device.mutable_device()->set_device_name(from.device);
    device.set_health(from.problem.empty() ? health::HEALTHY : health::UNHEALTHY);
    device.set_message(from.problem.substr(0, kLongestMessage));
    device.set_last_updated_time(absl::ToUnixSeconds(now));
  }
  return response;
}

}  // namespace

std::vector<DeviceHealth> HealthOf(const std::vector<ClaimStatus>& claims,
                                   const std::string& driver) {
  std::map<std::pair<std::string, std::string>, std::string> problems;
  for (const ClaimStatus& claim : claims) {
    for (const ClaimDeviceStatus& one : claim.devices) {
      if (one.device.driver != driver || one.cdi_devices.empty()) continue;
      std::string& problem = problems[{one.device.pool, one.device.device}];
      if (!one.problem.empty() && !absl::StrContains(problem, one.problem))
        absl::StrAppend(&problem, problem.empty() ? "" : "; ", one.problem);
    }
  }
  std::vector<DeviceHealth> devices;
  for (auto& [name, problem] : problems)
    devices.push_back({name.first, name.second, std::move(problem)});
  return devices;
}

class DraPlugin::V1 final : public v1::DRAPlugin::CallbackService {
 public:
  explicit V1(DraPlugin& owner) : owner_(owner) {}
  grpc::ServerUnaryReactor* NodePrepareResources(
      grpc::CallbackServerContext* context, const v1::NodePrepareResourcesRequest* request,
      v1::NodePrepareResourcesResponse* response) override {
    return owner_.runner_.Unary(
        context, *request, *response,
        [this](const CallContext& call, const v1::NodePrepareResourcesRequest& wanted) {
          return absl::StatusOr<v1::NodePrepareResourcesResponse>(
              owner_.Prepare<ApiV1>(call, wanted));
        });
  }
  grpc::ServerUnaryReactor* NodeUnprepareResources(
      grpc::CallbackServerContext* context, const v1::NodeUnprepareResourcesRequest* request,
      v1::NodeUnprepareResourcesResponse* response) override {
    return owner_.runner_.Unary(
        context, *request, *response,
        [this](const CallContext& call, const v1::NodeUnprepareResourcesRequest& wanted) {
          return absl::StatusOr<v1::NodeUnprepareResourcesResponse>(
              owner_.Unprepare<ApiV1>(call, wanted));
        });
  }

 private:
  DraPlugin& owner_;
};

class DraPlugin::V1Beta1 final : public v1beta1::DRAPlugin::CallbackService {
 public:
  explicit V1Beta1(DraPlugin& owner) : owner_(owner) {}
  grpc::ServerUnaryReactor* NodePrepareResources(
      grpc::CallbackServerContext* context, const v1beta1::NodePrepareResourcesRequest* request,
      v1beta1::NodePrepareResourcesResponse* response) override {
    return owner_.runner_.Unary(
        context, *request, *response,
        [this](const CallContext& call, const v1beta1::NodePrepareResourcesRequest& wanted) {
          return absl::StatusOr<v1beta1::NodePrepareResourcesResponse>(
              owner_.Prepare<ApiV1Beta1>(call, wanted));
        });
  }
  grpc::ServerUnaryReactor* NodeUnprepareResources(
      grpc::CallbackServerContext* context, const v1beta1::NodeUnprepareResourcesRequest* request,
      v1beta1::NodeUnprepareResourcesResponse* response) override {
    return owner_.runner_.Unary(
        context, *request, *response,
        [this](const CallContext& call, const v1beta1::NodeUnprepareResourcesRequest& wanted) {
          return absl::StatusOr<v1beta1::NodeUnprepareResourcesResponse>(
              owner_.Unprepare<ApiV1Beta1>(call, wanted));
        });
  }

 private:
  DraPlugin& owner_;
};

class DraPlugin::Health final : public health::DRAResourceHealth::CallbackService {
 public:
  explicit Health(DraPlugin& owner) : owner_(owner) {}
  grpc::ServerWriteReactor<health::NodeWatchResourcesResponse>* NodeWatchResources(
      grpc::CallbackServerContext* context,
      const health::NodeWatchResourcesRequest* request) override {
    return owner_.runner_.Stream<health::NodeWatchResourcesResponse>(
        context, *request,
        [this](const CallContext& call, const health::NodeWatchResourcesRequest&,
               rpc::ServerStream<health::NodeWatchResourcesResponse>& stream) {
          return Watch(call, stream);
        });
  }

 private:
  // Most changes of the inventory are no change of a claim's device.
  absl::Status Watch(const CallContext& call,
                     rpc::ServerStream<health::NodeWatchResourcesResponse>& stream) {
    uint64_t seen = 0;
    std::vector<DeviceHealth> told;
    absl::Time next = absl::InfinitePast();
    for (;;) {
      ASHLAR_ASSIGN_OR_RETURN(const std::shared_ptr<const InventorySnapshot> snapshot,
                              owner_.feed_.Await(call, seen, next));
      seen = snapshot->revision;
      std::vector<DeviceHealth> now = HealthOf(snapshot->claims, owner_.options_.driver);
      if (now == told && owner_.clock_.Now() < next) continue;
      ASHLAR_RETURN_IF_ERROR(stream.Write(ToProto(now, owner_.clock_.Now())));
      told = std::move(now);
      next = owner_.clock_.Now() + owner_.options_.heartbeat;
    }
  }

  DraPlugin& owner_;
};

template <class Api>
typename Api::NodePrepareResourcesResponse DraPlugin::Prepare(
    const CallContext& call, const typename Api::NodePrepareResourcesRequest& request) {
  const absl::Time until = clock_.Now() + options_.patience;  // for all claims together
  typename Api::NodePrepareResourcesResponse response;
  for (const auto& claim : request.claims()) {
    auto& answer = (*response.mutable_claims())[claim.uid()];
    const auto prepared = metrics_.Measure("prepare_claim", "", [&] {
      return claims_.Prepare(call, options_.driver, claim.uid(), until);
    });
    if (!prepared.ok()) {
      answer.set_error(std::string(prepared.status().message()));
      continue;
    }
    for (const ClaimDeviceStatus& from : *prepared) {
      auto& device = *answer.add_devices();
      device.add_request_names(from.device.request_name());
      device.set_pool_name(from.device.pool);
      device.set_device_name(from.device.device);
      for (const std::string& id : from.cdi_devices) device.add_cdi_device_ids(id);
      if (!from.device.share_id.empty()) Api::SetShare(device, from.device.share_id);
    }
  }
  feed_.Poke();
  return response;
}

template <class Api>
typename Api::NodeUnprepareResourcesResponse DraPlugin::Unprepare(
    const CallContext& call, const typename Api::NodeUnprepareResourcesRequest& request) {
  const absl::Time until = clock_.Now() + options_.patience;
  typename Api::NodeUnprepareResourcesResponse response;
  for (const auto& claim : request.claims()) {
    auto& answer = (*response.mutable_claims())[claim.uid()];
    const absl::Status gone = metrics_.Measure("unprepare_claim", "", [&] {
      return claims_.Unprepare(call, options_.driver, claim.uid(), until);
    });
    if (!gone.ok()) answer.set_error(std::string(gone.message()));
  }
  feed_.Poke();
  return response;
}

DraPlugin::DraPlugin(DraPluginOptions options, Claims& claims, InventoryFeed& feed,
                     OperationMetrics& metrics, Clock& clock, rpc::CallRunner& runner)
    : options_(std::move(options)),
      claims_(claims),
      feed_(feed),
      metrics_(metrics),
      clock_(clock),
      runner_(runner),
      v1_(std::make_unique<V1>(*this)),
      v1beta1_(std::make_unique<V1Beta1>(*this)),
      health_(std::make_unique<Health>(*this)) {}

DraPlugin::~DraPlugin() {
  registration_.reset();
  if (server_ != nullptr) server_->Shutdown(kGrace);
}

absl::StatusOr<std::unique_ptr<DraPlugin>> DraPlugin::Start(DraPluginOptions options,
                                                            Claims& claims, InventoryFeed& feed,
                                                            OperationMetrics& metrics, Clock& clock,
                                                            rpc::CallRunner& runner) {
  std::unique_ptr<DraPlugin> made(
      new DraPlugin(std::move(options), claims, feed, metrics, clock, runner));
  const DraPluginOptions& own = made->options_;
  const std::string folder = absl::StrCat(own.kubelet_dir, "/plugins/", own.driver);
  const std::string socket = absl::StrCat(folder, "/dra.sock");
  const std::string registry = absl::StrCat(own.kubelet_dir, "/plugins_registry");
  ASHLAR_RETURN_IF_ERROR(sys::EnsureDirectory(folder, 0750));
  ASHLAR_RETURN_IF_ERROR(sys::EnsureDirectory(registry, 0750));
  ASHLAR_ASSIGN_OR_RETURN(
      made->server_,
      rpc::Server::Start({.address = absl::StrCat("unix://", socket)},
                         {made->v1_.get(), made->v1beta1_.get(), made->health_.get()}));
  kubelet::PluginRegistrationOptions registration{
      .directory = registry,
      .driver = own.driver,
      .type = "DRAPlugin",
      .kubelet_endpoint = socket,
      .versions = {"v1.DRAPlugin", "v1beta1.DRAPlugin", "v1alpha1.DRAResourceHealth"}};
  ASHLAR_ASSIGN_OR_RETURN(made->registration_, kubelet::PluginRegistration::Start(
                                                   std::move(registration), clock, runner));
  return made;
}

}  // namespace ashlar::node_agent
