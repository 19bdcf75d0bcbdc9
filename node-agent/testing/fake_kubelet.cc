#include "node-agent/testing/fake_kubelet.h"

#include "absl/strings/str_cat.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server_builder.h"

namespace ashlar::node_agent {

FakeKubelet::FakeKubelet(const std::string& socket, Pods pods) : pods_(std::move(pods)) {
  grpc::ServerBuilder builder;
  builder.AddListeningPort(absl::StrCat("unix:", socket), grpc::InsecureServerCredentials());
  builder.RegisterService(this);
  server_ = builder.BuildAndStart();
}

FakeKubelet::~FakeKubelet() {
  SetHanging(false);
  server_->Shutdown();
}

void FakeKubelet::SetHanging(bool hanging) {
  MutexLock lock(mu_);
  hanging_ = hanging;
  changed_.NotifyAll();
}

void FakeKubelet::DisableGet() {
  MutexLock lock(mu_);
  has_get_ = false;
}

void FakeKubelet::AwaitAnswering() {
  MutexLock lock(mu_);
  while (hanging_) changed_.Wait(mu_);
}

grpc::Status FakeKubelet::Get(grpc::ServerContext*, const ::v1::GetPodResourcesRequest* request,
                              ::v1::GetPodResourcesResponse* response) {
  AwaitAnswering();
  {
    MutexLock lock(mu_);
    if (!has_get_) return {grpc::StatusCode::UNKNOWN, "PodResources API Get method disabled"};
  }
  const ::v1::ListPodResourcesResponse all = pods_();
  for (const ::v1::PodResources& pod : all.pod_resources()) {
    if (pod.name() != request->pod_name() || pod.namespace_() != request->pod_namespace()) continue;
    *response->mutable_pod_resources() = pod;
    return grpc::Status::OK;
  }
  return {grpc::StatusCode::UNKNOWN, absl::StrCat("pod ", request->pod_name(), " in namespace ",
                                                  request->pod_namespace(), " not found")};
}

grpc::Status FakeKubelet::List(grpc::ServerContext*, const ::v1::ListPodResourcesRequest*,
                               ::v1::ListPodResourcesResponse* response) {
  AwaitAnswering();
  *response = pods_();
  return grpc::Status::OK;
}

}  // namespace ashlar::node_agent
