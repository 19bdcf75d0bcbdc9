#include "node-agent/gpu/gpu_session.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"

namespace ashlar::node_agent {

namespace pb = agent::v1;

absl::Status GpuSession::Start() {
  undead_.erase(std::remove_if(undead_.begin(), undead_.end(),
                               [](const auto& helper) { return helper->Ended(); }),
                undead_.end());
  if (undead_.size() >= options_.most_undead)
    return absl::ResourceExhaustedError(
        absl::StrCat(undead_.size(), " processes that called the driver hang in it and don't die"));
  ASHLAR_ASSIGN_OR_RETURN(helper_, sys::HelperProcess::Start(options_.helper));
  return absl::OkStatus();
}

void GpuSession::Fail(absl::string_view state, absl::string_view message) {
  trouble_.Clear();
  trouble_.set_state(std::string(state));
  trouble_.set_message(std::string(message));
  retry_at_ = clock_.Now() + pause_;
  pause_ = std::min(pause_ * 2, options_.longest_pause);
  if (helper_ == nullptr) return;
  helper_->Kill();
  undead_.push_back(std::move(helper_));
}

absl::StatusOr<pb::GpuHelperAnswer> GpuSession::Ask(const CallContext& context,
                                                    const pb::GpuHelperRequest& request,
                                                    absl::Duration patience) {
  if (helper_ == nullptr) return absl::FailedPreconditionError("there is no helper");
  const absl::StatusOr<std::string> bytes =
      helper_->Call(context, request.SerializeAsString(), patience);
  pb::GpuHelperAnswer answer;
  if (bytes.ok() && answer.ParseFromString(*bytes)) return answer;
  const std::string doing = helper_->Doing();
  if (absl::IsCancelled(bytes.status())) {
    helper_.reset();
    return bytes.status();
  }
  if (absl::IsDeadlineExceeded(bytes.status())) {
    Fail("Hung", absl::StrCat(doing.empty() ? "the helper" : doing, " did not return within ",
                              absl::FormatDuration(patience)));
  } else {
    Fail("Failed",
         absl::StrCat("the process that calls the driver failed",
                      doing.empty() ? "" : absl::StrCat(" in ", doing), ": ",
                      bytes.ok() ? "its answer is none" : std::string(bytes.status().message())));
  }
  LogWarning("the GPUs' driver does not answer",
             {{"state", trouble_.state()},
              {"message", trouble_.message()},
              {"retry_in", absl::FormatDuration(retry_at_ - clock_.Now())}});
  return absl::UnavailableError(trouble_.message());
}

GpuSession::Opened GpuSession::Open(const CallContext& context) {
  if (helper_ == nullptr) {
    if (const absl::Status started = Start(); !started.ok()) {
      Fail("Failed", started.message());
      return {trouble_};
    }
  }
  pb::GpuHelperRequest request;
  request.mutable_open()->mutable_libraries()->Assign(options_.libraries.begin(),
                                                      options_.libraries.end());
  request.mutable_open()->set_deaf(options_.deaf);
  const absl::StatusOr<pb::GpuHelperAnswer> answer = Ask(context, request, options_.open_deadline);
  if (!answer.ok()) return {trouble_};
  if (answer->driver().state() == "Ready") return {answer->driver(), answer->count()};
  // Nothing hangs, and nobody keeps a driver in use that does not work.
  trouble_ = answer->driver();
  retry_at_ = clock_.Now() + options_.absent_pause;
  Close();
  return {trouble_};
}

absl::StatusOr<v1alpha1::Gpu> GpuSession::Read(const CallContext& context, int index) {
  pb::GpuHelperRequest request;
  request.mutable_read()->set_index(index);
  ASHLAR_ASSIGN_OR_RETURN(const pb::GpuHelperAnswer answer,
                          Ask(context, request, options_.read_deadline));
  return answer.gpu();
}

absl::StatusOr<pb::GpuHelperAnswer> GpuSession::Await(const CallContext& context,
                                                      absl::Duration duration) {
  pb::GpuHelperRequest request;
  request.mutable_await()->set_milliseconds(
      static_cast<int32_t>(absl::ToInt64Milliseconds(duration)));
  return Ask(context, request, duration + options_.read_deadline);
}

absl::StatusOr<pb::GpuChangeAnswer> GpuSession::Change(const CallContext& context,
                                                       const pb::ChangeGpu& change) {
  pb::GpuHelperRequest request;
  *request.mutable_change() = change;
  ASHLAR_ASSIGN_OR_RETURN(const pb::GpuHelperAnswer answer,
                          Ask(context, request, options_.change_deadline));
  return answer.change();
}

void GpuSession::Close() { helper_.reset(); }

}  // namespace ashlar::node_agent
