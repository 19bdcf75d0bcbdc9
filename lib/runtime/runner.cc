#include "lib/runtime/runner.h"

#include <thread>

#include "lib/base/status_macros.h"

namespace ashlar::runtime {

absl::Status Runner::Run(const CallContext& context, absl::Duration sync_timeout) {
  // Destroyed last: jthreads stop and join the informers after the controllers have ended.
  std::vector<std::jthread> informers;
  informers.reserve(informers_.size());
  for (Informer* informer : informers_) {
    informers.emplace_back([informer](std::stop_token stop) { informer->Run(stop); });
  }
  const absl::Status synced = AwaitSync(context.Until(clock_.Now() + sync_timeout));
  if (context.stop.stop_requested()) return absl::OkStatus();
  ASHLAR_RETURN_IF_ERROR(synced);
  ready_ = true;
  RunControllers(context.stop);
  ready_ = false;
  return absl::OkStatus();
}

absl::Status Runner::AwaitSync(const CallContext& context) {
  for (Informer* informer : informers_) ASHLAR_RETURN_IF_ERROR(informer->AwaitSync(context));
  return absl::OkStatus();
}

void Runner::RunControllers(std::stop_token stop) {
  std::vector<std::jthread> threads;
  threads.reserve(controllers_.size());
  for (Controller* controller : controllers_) {
    threads.emplace_back([controller, stop] { controller->Run(stop); });
  }
}

}  // namespace ashlar::runtime
