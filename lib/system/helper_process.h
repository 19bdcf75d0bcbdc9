// HelperProcess: another process of ours that does what may never return, such as calls into a
// driver. It is asked and answers over a socket, one request at a time; whoever waits too long
// kills it and is free, whether it dies or not. HelperChannel is the helper's end.
//
// Messages are byte strings with their length before them. A page of memory that both share holds
// what the helper is doing, so that of a helper that does not answer is known where it hangs.
// Both are used by one thread.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/base/call_context.h"
#include "lib/system/unique_fd.h"

namespace ashlar::sys {

// One page; unmapped at the end.
class SharedPage {
 public:
  static absl::StatusOr<SharedPage> Map(int fd);
  SharedPage(SharedPage&& other) noexcept : text_(std::exchange(other.text_, nullptr)) {}
  SharedPage& operator=(SharedPage&&) = delete;
  ~SharedPage();
  void Write(absl::string_view text);
  std::string Read() const;

 private:
  explicit SharedPage(char* text) : text_(text) {}
  char* text_;
};

class HelperProcess {
 public:
  // argv[0] is a path. The helper has this process's environment and standard error.
  static absl::StatusOr<std::unique_ptr<HelperProcess>> Start(std::vector<std::string> argv);
  // Kills it and waits for a moment only: a process in a call of the kernel may never die.
  ~HelperProcess();
  HelperProcess(const HelperProcess&) = delete;
  HelperProcess& operator=(const HelperProcess&) = delete;

  // DeadlineExceeded: no answer came within `patience` or before the context's deadline. Cancelled:
  // the context was stopped. Unavailable: the helper ended. After an error it is of no use any
  // more.
  absl::StatusOr<std::string> Call(const CallContext& context, absl::string_view request,
                                   absl::Duration patience);
  // What it says it is doing; empty: nothing that may hang.
  std::string Doing() const { return page_.Read(); }
  void Kill();
  // Whether it is gone; takes away what is left of it.
  bool Ended();
  pid_t pid() const { return pid_; }

 private:
  HelperProcess(pid_t pid, UniqueFd pidfd, UniqueFd socket, SharedPage page)
      : pid_(pid), pidfd_(std::move(pidfd)), socket_(std::move(socket)), page_(std::move(page)) {}

  const pid_t pid_;
  const UniqueFd pidfd_;
  const UniqueFd socket_;
  SharedPage page_;
  bool ended_ = false;
};

// What ps and top show of the calling process, and the kernel in its messages. At most 15 bytes.
void NameThisProcess(const char* name);

class HelperChannel {
 public:
  // FailedPrecondition: this process was not started by HelperProcess.
  static absl::StatusOr<HelperChannel> Inherited();
  // The next request. OutOfRange: whoever asks is gone.
  absl::StatusOr<std::string> Receive();
  absl::Status Send(absl::string_view answer);
  void Say(absl::string_view doing) { page_.Write(doing); }

 private:
  HelperChannel(UniqueFd socket, SharedPage page)
      : socket_(std::move(socket)), page_(std::move(page)) {}
  UniqueFd socket_;
  SharedPage page_;
};

}  // namespace ashlar::sys
