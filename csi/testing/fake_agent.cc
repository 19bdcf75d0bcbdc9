#include "csi/testing/fake_agent.h"

#include <cstdlib>
#include <type_traits>

#include "lib/base/log.h"

namespace ashlar::csi_driver {

using grpc::CallbackServerContext;
using Reactor = grpc::ServerUnaryReactor;

FakeAgent::FakeAgent(std::string socket, Clock& clock)
    : socket_(std::move(socket)), runner_({}, clock, registry_) {
  Start();
}

void FakeAgent::Stop() { server_.reset(); }

void FakeAgent::Start() {
  auto server = rpc::Server::Start({.address = "unix://" + socket_}, {this});
  if (!server.ok()) {
    LogError("fake agent", {{"error", server.status().ToString()}});
    std::abort();
  }
  server_ = *std::move(server);
}

void FakeAgent::SetAnswer(const absl::Status& status) {
  MutexLock lock(mu_);
  answer_ = status;
}

int FakeAgent::calls() const {
  MutexLock lock(mu_);
  return calls_;
}

std::string FakeAgent::request_id() const {
  MutexLock lock(mu_);
  return request_id_;
}

agent::v1::StageVolumeRequest FakeAgent::stage() const {
  MutexLock lock(mu_);
  return stage_;
}

agent::v1::PublishVolumeRequest FakeAgent::publish() const {
  MutexLock lock(mu_);
  return publish_;
}

template <class Request, class Response>
Reactor* FakeAgent::Answer(CallbackServerContext* context, const Request* request,
                           Response* response, const Response& answer, Request* remember) {
  return runner_.Unary(context, *request, *response,
                       [this, answer, remember](const CallContext& call,
                                                const Request& asked) -> absl::StatusOr<Response> {
                         MutexLock lock(mu_);
                         if constexpr (!std::is_same_v<Request, agent::v1::GetNodeRequest>)
                           ++calls_;
                         request_id_ = call.request_id;
                         if (remember != nullptr) *remember = asked;
                         if (!answer_.ok()) return answer_;
                         return answer;
                       });
}

Reactor* FakeAgent::GetNode(CallbackServerContext* context,
                            const agent::v1::GetNodeRequest* request,
                            agent::v1::GetNodeResponse* response) {
  agent::v1::GetNodeResponse answer;
  answer.set_node("n1");
  answer.set_max_volumes(100);
  return Answer(context, request, response, answer);
}

Reactor* FakeAgent::StageVolume(CallbackServerContext* context,
                                const agent::v1::StageVolumeRequest* request,
                                agent::v1::StageVolumeResponse* response) {
  return Answer(context, request, response, {}, &stage_);
}

Reactor* FakeAgent::UnstageVolume(CallbackServerContext* context,
                                  const agent::v1::UnstageVolumeRequest* request,
                                  agent::v1::UnstageVolumeResponse* response) {
  return Answer(context, request, response, {});
}

Reactor* FakeAgent::PublishVolume(CallbackServerContext* context,
                                  const agent::v1::PublishVolumeRequest* request,
                                  agent::v1::PublishVolumeResponse* response) {
  return Answer(context, request, response, {}, &publish_);
}

Reactor* FakeAgent::UnpublishVolume(CallbackServerContext* context,
                                    const agent::v1::UnpublishVolumeRequest* request,
                                    agent::v1::UnpublishVolumeResponse* response) {
  return Answer(context, request, response, {});
}

Reactor* FakeAgent::ExpandVolume(CallbackServerContext* context,
                                 const agent::v1::ExpandVolumeRequest* request,
                                 agent::v1::ExpandVolumeResponse* response) {
  agent::v1::ExpandVolumeResponse answer;
  answer.set_size_bytes(request->size_bytes());
  return Answer(context, request, response, answer);
}

Reactor* FakeAgent::GetVolumeStats(CallbackServerContext* context,
                                   const agent::v1::GetVolumeStatsRequest* request,
                                   agent::v1::GetVolumeStatsResponse* response) {
  agent::v1::GetVolumeStatsResponse answer;
  answer.set_total_bytes(1000);
  answer.set_available_bytes(600);
  answer.set_used_bytes(400);
  answer.set_total_inodes(10);
  answer.set_mode(agent::v1::VOLUME_MODE_FILESYSTEM);
  answer.set_abnormal(request->volume_path() == "/abnormal");
  if (answer.abnormal()) answer.set_message("as the test has it");
  return Answer(context, request, response, answer);
}

Reactor* FakeAgent::GetHealth(CallbackServerContext* context,
                              const agent::v1::GetHealthRequest* request,
                              agent::v1::GetHealthResponse* response) {
  agent::v1::GetHealthResponse answer;
  answer.mutable_volume()->set_volume_id(request->volume_id());
  answer.mutable_volume()->set_healthy(request->volume_id() != "abnormal");
  answer.mutable_volume()->set_message("as the test has it");
  agent::v1::PoolState& pool = *answer.add_pools();
  pool.set_name("fast");
  pool.set_ready(true);
  agent::v1::PoolState& away = *answer.add_pools();
  away.set_name("slow");
  away.set_reason("DriveGone");
  away.set_message("its drive is gone");
  return Answer(context, request, response, answer);
}

}  // namespace ashlar::csi_driver
