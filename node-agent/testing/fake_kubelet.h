// FakeKubelet: serves the PodResources API as a kubelet does, for tests. Thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "grpcpp/server.h"
#include "lib/base/mutex.h"
#include "podresources/v1/api.grpc.pb.h"

namespace ashlar::node_agent {

class FakeKubelet final : public ::v1::PodResourcesLister::Service {
 public:
  // All pods, as List answers them; asked for at each call.
  using Pods = std::function<::v1::ListPodResourcesResponse()>;
  FakeKubelet(const std::string& socket, Pods pods);
  ~FakeKubelet() override;

  // Calls wait until it is over.
  void SetHanging(bool hanging);
  // As kubelets without the feature gate.
  void DisableGet();

  grpc::Status Get(grpc::ServerContext* context, const ::v1::GetPodResourcesRequest* request,
                   ::v1::GetPodResourcesResponse* response) override;
  grpc::Status List(grpc::ServerContext* context, const ::v1::ListPodResourcesRequest* request,
                    ::v1::ListPodResourcesResponse* response) override;

 private:
  void AwaitAnswering();

  const Pods pods_;
  Mutex mu_;
  CondVar changed_;
  bool hanging_ ABSL_GUARDED_BY(mu_) = false;
  bool has_get_ ABSL_GUARDED_BY(mu_) = true;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace ashlar::node_agent
