// FakeAgent: a NodeMount service for tests, which remembers what it was asked and answers what the
// test has said. Thread-safe.
#pragma once

#include <memory>
#include <string>

#include "ashlar/agent/v1/node_mount.grpc.pb.h"
#include "lib/base/mutex.h"
#include "lib/metrics/metrics.h"
#include "lib/rpc/call_runner.h"
#include "lib/rpc/server.h"

namespace ashlar::csi_driver {

class FakeAgent final : public agent::v1::NodeMount::CallbackService {
 public:
  // Serves at `socket`.
  FakeAgent(std::string socket, Clock& clock);

  void Stop();
  void Start();
  // What every call answers from now on; OK is the start.
  void SetAnswer(const absl::Status& status);

  // Of all methods but GetNode, which the driver asks again and again.
  int calls() const;
  std::string request_id() const;
  agent::v1::StageVolumeRequest stage() const;
  agent::v1::PublishVolumeRequest publish() const;

  grpc::ServerUnaryReactor* GetNode(grpc::CallbackServerContext* context,
                                    const agent::v1::GetNodeRequest* request,
                                    agent::v1::GetNodeResponse* response) override;
  grpc::ServerUnaryReactor* StageVolume(grpc::CallbackServerContext* context,
                                        const agent::v1::StageVolumeRequest* request,
                                        agent::v1::StageVolumeResponse* response) override;
  grpc::ServerUnaryReactor* UnstageVolume(grpc::CallbackServerContext* context,
                                          const agent::v1::UnstageVolumeRequest* request,
                                          agent::v1::UnstageVolumeResponse* response) override;
  grpc::ServerUnaryReactor* PublishVolume(grpc::CallbackServerContext* context,
                                          const agent::v1::PublishVolumeRequest* request,
                                          agent::v1::PublishVolumeResponse* response) override;
  grpc::ServerUnaryReactor* UnpublishVolume(grpc::CallbackServerContext* context,
                                            const agent::v1::UnpublishVolumeRequest* request,
                                            agent::v1::UnpublishVolumeResponse* response) override;
  grpc::ServerUnaryReactor* ExpandVolume(grpc::CallbackServerContext* context,
                                         const agent::v1::ExpandVolumeRequest* request,
                                         agent::v1::ExpandVolumeResponse* response) override;
  grpc::ServerUnaryReactor* GetVolumeStats(grpc::CallbackServerContext* context,
                                           const agent::v1::GetVolumeStatsRequest* request,
                                           agent::v1::GetVolumeStatsResponse* response) override;
  grpc::ServerUnaryReactor* GetHealth(grpc::CallbackServerContext* context,
                                      const agent::v1::GetHealthRequest* request,
                                      agent::v1::GetHealthResponse* response) override;

 private:
  template <class Request, class Response>
  grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext* context, const Request* request,
                                   Response* response, const Response& answer,
                                   Request* remember = nullptr);

  const std::string socket_;
  metrics::Registry registry_;
  rpc::CallRunner runner_;
  mutable Mutex mu_;
  absl::Status answer_ ABSL_GUARDED_BY(mu_);
  int calls_ ABSL_GUARDED_BY(mu_) = 0;
  std::string request_id_ ABSL_GUARDED_BY(mu_);
  agent::v1::StageVolumeRequest stage_ ABSL_GUARDED_BY(mu_);
  agent::v1::PublishVolumeRequest publish_ ABSL_GUARDED_BY(mu_);
  std::unique_ptr<rpc::Server> server_;
};

}  // namespace ashlar::csi_driver
