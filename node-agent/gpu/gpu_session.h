// GpuSession: asks the helper process what GPUs there are and what happens to them. Every question
// has a deadline; a helper that misses one is killed and left behind, whether it dies or not, and
// a new one is started when it is asked again, after a pause that doubles. Used by one thread.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "ashlar/agent/v1/gpu_helper.pb.h"
#include "lib/base/clock.h"
#include "lib/system/helper_process.h"

namespace ashlar::node_agent {

struct GpuSessionOptions {
  // The program that is the helper (RunGpuHelper), with its arguments.
  std::vector<std::string> helper;
  // Names or paths of NVML, the first that there is counts.
  std::vector<std::string> libraries = {"libnvidia-ml.so.1"};
  // Without the persistence mode the driver makes every GPU ready first.
  absl::Duration open_deadline = absl::Seconds(60);
  absl::Duration read_deadline = absl::Seconds(10);
  absl::Duration change_deadline = absl::Seconds(30);
  // Its helper does not listen to events: there is nobody who awaits them.
  bool deaf = false;
  absl::Duration first_pause = absl::Seconds(1);
  absl::Duration longest_pause = absl::Minutes(5);
  // How often it is looked whether there is a driver now.
  absl::Duration absent_pause = absl::Minutes(1);
  // Helpers that were killed and do not die hold on to memory: with so many no new one is started.
  size_t most_undead = 3;
};

class GpuSession {
 public:
  GpuSession(GpuSessionOptions options, Clock& clock)
      : options_(std::move(options)), clock_(clock), pause_(options_.first_pause) {}

  struct Opened {
    v1alpha1::GpuDriver driver;
    int count = 0;
  };
  // Starts a helper if there is none, loads the library and begins to listen, also anew. Any state
  // of the driver is an answer: what could not be asked is Hung or Failed.
  Opened Open(const CallContext& context);
  // Errors: the driver as a whole is as `Trouble` says. A GPU that does not answer is no error.
  absl::StatusOr<v1alpha1::Gpu> Read(const CallContext& context, int index);
  absl::StatusOr<agent::v1::GpuHelperAnswer> Await(const CallContext& context,
                                                   absl::Duration duration);
  // One step of dividing a GPU. An error says nothing of whether it was done, or will be: see
  // `Trouble`.
  absl::StatusOr<agent::v1::GpuChangeAnswer> Change(const CallContext& context,
                                                    const agent::v1::ChangeGpu& change);
  bool IsOpen() const { return helper_ != nullptr; }
  // All was answered: the next trouble is a new one.
  void NoteGood() { pause_ = options_.first_pause; }
  // Of the last error.
  const v1alpha1::GpuDriver& Trouble() const { return trouble_; }
  // When to open again after trouble.
  absl::Time RetryAt() const { return retry_at_; }
  // Ends the helper: it holds the driver in use, or there is nothing to ask.
  void Close();

  pid_t helper_pid() const { return helper_ == nullptr ? 0 : helper_->pid(); }

 private:
  absl::StatusOr<agent::v1::GpuHelperAnswer> Ask(const CallContext& context,
                                                 const agent::v1::GpuHelperRequest& request,
                                                 absl::Duration patience);
  absl::Status Start();
  void Fail(absl::string_view state, absl::string_view message);

  const GpuSessionOptions options_;
  Clock& clock_;
  std::unique_ptr<sys::HelperProcess> helper_;
  std::vector<std::unique_ptr<sys::HelperProcess>> undead_;
  v1alpha1::GpuDriver trouble_;
  absl::Duration pause_;
  absl::Time retry_at_ = absl::InfinitePast();
};

}  // namespace ashlar::node_agent
