#include "lib/kubelet/plugin_registration.h"

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "pluginregistration/v1/api.grpc.pb.h"

namespace ashlar::kubelet {
namespace {

absl::Status NotYet() {
  return absl::UnavailableError("the kubelet has not registered the driver yet");
}

}  // namespace

class PluginRegistration::Service final : public pluginregistration::Registration::CallbackService {
 public:
  Service(PluginRegistration& owner, rpc::CallRunner& runner) : owner_(owner), runner_(runner) {}

  grpc::ServerUnaryReactor* GetInfo(grpc::CallbackServerContext* context,
                                    const pluginregistration::InfoRequest* request,
                                    pluginregistration::PluginInfo* response) override {
    return runner_.Unary(context, *request, *response,
                         [this](const CallContext&, const pluginregistration::InfoRequest&) {
                           pluginregistration::PluginInfo info;
                           info.set_type(owner_.options_.type);
                           info.set_name(owner_.options_.driver);
                           info.set_endpoint(owner_.options_.kubelet_endpoint);
                           for (const std::string& version : owner_.options_.versions)
                             info.add_supported_versions(version);
                           return absl::StatusOr<pluginregistration::PluginInfo>(info);
                         });
  }

  grpc::ServerUnaryReactor* NotifyRegistrationStatus(
      grpc::CallbackServerContext* context, const pluginregistration::RegistrationStatus* request,
      pluginregistration::RegistrationStatusResponse* response) override {
    return runner_.Unary(
        context, *request, *response,
        [this](const CallContext&, const pluginregistration::RegistrationStatus& status) {
          owner_.NoteStatus(status.plugin_registered(), status.error());
          return absl::StatusOr<pluginregistration::RegistrationStatusResponse>(
              pluginregistration::RegistrationStatusResponse());
        });
  }

 private:
  PluginRegistration& owner_;
  rpc::CallRunner& runner_;
};

absl::StatusOr<std::unique_ptr<PluginRegistration>> PluginRegistration::Start(
    PluginRegistrationOptions options, Clock& clock, rpc::CallRunner& runner) {
  if (options.kubelet_endpoint.empty() || options.kubelet_endpoint.front() != '/') {
    return absl::InvalidArgumentError(
        absl::StrCat("kubelet endpoint '", options.kubelet_endpoint,
                     "' must be the absolute path of the driver's socket as the kubelet sees it"));
  }
  std::unique_ptr<PluginRegistration> made(
      new PluginRegistration(std::move(options), clock, runner));
  ASHLAR_RETURN_IF_ERROR(made->Serve());
  made->watcher_ =
      std::jthread([&self = *made](std::stop_token stop) { self.Watch(std::move(stop)); });
  return made;
}

PluginRegistration::PluginRegistration(PluginRegistrationOptions options, Clock& clock,
                                       rpc::CallRunner& runner)
    : options_(std::move(options)),
      socket_(absl::StrCat(options_.directory, "/", options_.driver, "-reg.sock")),
      clock_(clock),
      service_(std::make_unique<Service>(*this, runner)),
      registered_(NotYet()) {}

PluginRegistration::~PluginRegistration() {
  watcher_.request_stop();
  if (watcher_.joinable()) watcher_.join();
}

absl::Status PluginRegistration::Serve() {
  server_.reset();  // before the new one is bound: closing removes the socket file
  ASHLAR_ASSIGN_OR_RETURN(
      server_, rpc::Server::Start({.address = absl::StrCat("unix://", socket_)}, {service_.get()}));
  LogInfo("waiting for the kubelet to register the driver",
          {{"socket", socket_}, {"endpoint", options_.kubelet_endpoint}});
  return absl::OkStatus();
}

void PluginRegistration::Watch(std::stop_token stop) {
  const CallContext context{.stop = stop};
  while (SleepFor(clock_, context, options_.look_every).ok()) {
    std::error_code error;
    if (std::filesystem::exists(socket_, error)) continue;
    LogWarning("the registration socket has vanished; it is served again", {{"socket", socket_}});
    {
      MutexLock lock(mu_);
      registered_ = NotYet();
    }
    if (const absl::Status served = Serve(); !served.ok()) {
      LogWarning("the registration socket can't be served",
                 {{"socket", socket_}, {"error", std::string(served.message())}});
    }
  }
}

void PluginRegistration::NoteStatus(bool registered, const std::string& error) {
  if (registered) {
    LogInfo("the kubelet has registered the driver", {{"driver", options_.driver}});
  } else {
    LogError("the kubelet refused to register the driver",
             {{"driver", options_.driver}, {"error", error}});
  }
  MutexLock lock(mu_);
  registered_ = registered ? absl::OkStatus()
                           : absl::UnavailableError(absl::StrCat(
                                 "the kubelet refused to register the driver: ", error));
}

absl::Status PluginRegistration::Registered() const {
  MutexLock lock(mu_);
  return registered_;
}

}  // namespace ashlar::kubelet
