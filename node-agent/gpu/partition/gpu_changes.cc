#include "node-agent/gpu/partition/gpu_changes.h"

#include "absl/strings/str_cat.h"

namespace ashlar::node_agent {
namespace {

namespace pb = agent::v1;

GpuSessionOptions Deaf(GpuSessionOptions options) {
  options.deaf = true;
  return options;
}

}  // namespace

SessionGpuChanges::SessionGpuChanges(GpuSessionOptions options, std::string lock_directory,
                                     Clock& clock)
    : lock_directory_(std::move(lock_directory)),
      clock_(clock),
      session_(Deaf(std::move(options)), clock) {}

pb::GpuChangeAnswer SessionGpuChanges::Trouble() const {
  const v1alpha1::GpuDriver& driver = session_.Trouble();
  pb::GpuChangeAnswer answer;
  answer.set_reason(driver.state() == "Hung"     ? kDriverHung
                    : driver.state() == "Failed" ? kDriverFailed
                                                 : kNoDriver);
  answer.set_message(driver.message());
  return answer;
}

pb::GpuChangeAnswer SessionGpuChanges::Make(const CallContext& context, pb::ChangeGpu change) {
  change.set_lock(absl::StrCat(lock_directory_, "/", change.gpu(), ".lock"));
  if (!session_.IsOpen()) {
    if (clock_.Now() < session_.RetryAt()) return Trouble();
    if (session_.Open(context).driver.state() != "Ready") return Trouble();
  }
  absl::StatusOr<pb::GpuChangeAnswer> answer = session_.Change(context, change);
  if (answer.ok()) {
    session_.NoteGood();
    return *std::move(answer);
  }
  if (!absl::IsCancelled(answer.status())) return Trouble();
  pb::GpuChangeAnswer stopped;
  stopped.set_reason(kDriverFailed);
  stopped.set_message("the agent ends");
  return stopped;
}

}  // namespace ashlar::node_agent
