#include "lib/system/helper_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "lib/base/status_macros.h"
#include "lib/system/errno_status.h"
#include "lib/system/files.h"

extern char** environ;

namespace ashlar::sys {
namespace {

constexpr int kSocketFd = 3, kPageFd = 4;  // in the helper
constexpr int kAbove = 10;                 // here, so that neither covers the other's place
constexpr uint32_t kMostBytes = 16 << 20;
constexpr int kDyingMilliseconds = 200;

absl::StatusOr<UniqueFd> MoveUp(UniqueFd fd) {
  UniqueFd above(fcntl(fd.get(), F_DUPFD_CLOEXEC, kAbove));
  if (!above.valid()) return ErrnoStatus(errno, "fcntl F_DUPFD_CLOEXEC");
  return above;
}

absl::StatusOr<pid_t> Spawn(std::vector<std::string>& argv, int socket, int page) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, 2, 1);  // what a library prints is no output of ours
  posix_spawn_file_actions_adddup2(&actions, socket, kSocketFd);
  posix_spawn_file_actions_adddup2(&actions, page, kPageFd);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  std::vector<char*> pointers;
  for (std::string& word : argv) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  pid_t pid = -1;
  const int rc =
      posix_spawn(&pid, argv[0].c_str(), &actions, &attributes, pointers.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (rc != 0) return ErrnoStatus(rc, absl::StrCat("start ", argv[0]));
  return pid;
}

int PollTimeout(absl::Time deadline) {
  if (deadline == absl::InfiniteFuture()) return -1;
  const absl::Duration left = deadline - absl::Now();
  if (left <= absl::ZeroDuration()) return 0;
  return static_cast<int>(absl::ToInt64Milliseconds(std::min(left, absl::Hours(1)))) + 1;
}

// Until the socket can be read or written.
absl::Status AwaitSocket(const CallContext& context, int socket, short events, int wake) {
  for (;;) {
    if (context.stop.stop_requested()) return absl::CancelledError("the call was called off");
    if (absl::Now() >= context.deadline)
      return absl::DeadlineExceededError("the call's deadline has passed");
    pollfd fds[] = {{socket, events, 0}, {wake, POLLIN, 0}};
    if (poll(fds, 2, PollTimeout(context.deadline)) < 0 && errno != EINTR)
      return ErrnoStatus(errno, "poll");
    if (fds[0].revents != 0) return absl::OkStatus();
  }
}

absl::Status Gone() { return absl::UnavailableError("the helper process ended"); }

// Sends or receives all of the bytes; `move` is send or recv.
template <class Byte, class Move>
absl::Status MoveAll(const CallContext& context, int socket, short events, int wake, Byte* data,
                     size_t size, Move move) {
  while (size > 0) {
    ASHLAR_RETURN_IF_ERROR(AwaitSocket(context, socket, events, wake));
    const ssize_t moved = move(socket, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (moved < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (moved <= 0) return Gone();
    data += moved;
    size -= static_cast<size_t>(moved);
  }
  return absl::OkStatus();
}

absl::Status SendMessage(const CallContext& context, int socket, int wake,
                         absl::string_view message) {
  const auto size = static_cast<uint32_t>(message.size());
  std::string all(reinterpret_cast<const char*>(&size), sizeof size);
  all.append(message.data(), message.size());
  return MoveAll(context, socket, POLLOUT, wake, all.data(), all.size(), send);
}

absl::StatusOr<std::string> ReceiveMessage(const CallContext& context, int socket, int wake) {
  uint32_t size = 0;
  ASHLAR_RETURN_IF_ERROR(
      MoveAll(context, socket, POLLIN, wake, reinterpret_cast<char*>(&size), sizeof size, recv));
  if (size > kMostBytes) return absl::InternalError(absl::StrCat("a message of ", size, " bytes"));
  std::string message(size, '\0');
  ASHLAR_RETURN_IF_ERROR(
      MoveAll(context, socket, POLLIN, wake, message.data(), message.size(), recv));
  return message;
}

}  // namespace

absl::StatusOr<SharedPage> SharedPage::Map(int fd) {
  void* page = mmap(nullptr, kPageBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (page == MAP_FAILED) return ErrnoStatus(errno, "mmap");
  return SharedPage(static_cast<char*>(page));
}

SharedPage::~SharedPage() {
  if (text_ != nullptr) munmap(text_, kPageBytes);
}

void SharedPage::Write(absl::string_view text) {
  const size_t size = std::min(text.size(), kPageBytes - 1);
  text_[0] = '\0';
  memcpy(text_, text.data(), size);
  text_[size] = '\0';
}

std::string SharedPage::Read() const { return std::string(text_, strnlen(text_, kPageBytes)); }

absl::StatusOr<std::unique_ptr<HelperProcess>> HelperProcess::Start(std::vector<std::string> argv) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
    return ErrnoStatus(errno, "socketpair");
  UniqueFd ours(pair[0]);
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd theirs, MoveUp(UniqueFd(pair[1])));
  ASHLAR_ASSIGN_OR_RETURN(UniqueFd memory, MakeMemoryFile("helper", kPageBytes));
  ASHLAR_ASSIGN_OR_RETURN(memory, MoveUp(std::move(memory)));
  ASHLAR_ASSIGN_OR_RETURN(SharedPage page, SharedPage::Map(memory.get()));
  ASHLAR_ASSIGN_OR_RETURN(const pid_t pid, Spawn(argv, theirs.get(), memory.get()));
  UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  return std::unique_ptr<HelperProcess>(
      new HelperProcess(pid, std::move(pidfd), std::move(ours), std::move(page)));
}

HelperProcess::~HelperProcess() {
  Kill();
  pollfd fd = {pidfd_.get(), POLLIN, 0};
  if (!Ended() && pidfd_.valid()) poll(&fd, 1, kDyingMilliseconds);
  Ended();
}

absl::StatusOr<std::string> HelperProcess::Call(const CallContext& caller,
                                                absl::string_view request,
                                                absl::Duration patience) {
  const CallContext context = caller.Until(absl::Now() + patience);
  const UniqueFd wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  const std::stop_callback on_stop(context.stop, [&] { (void)eventfd_write(wake.get(), 1); });
  ASHLAR_RETURN_IF_ERROR(SendMessage(context, socket_.get(), wake.get(), request));
  return ReceiveMessage(context, socket_.get(), wake.get());
}

void HelperProcess::Kill() {
  if (!ended_) kill(pid_, SIGKILL);
}

bool HelperProcess::Ended() {
  if (!ended_) ended_ = waitpid(pid_, nullptr, WNOHANG) == pid_;
  return ended_;
}

void NameThisProcess(const char* name) { prctl(PR_SET_NAME, name); }

absl::StatusOr<HelperChannel> HelperChannel::Inherited() {
  for (const int fd : {kSocketFd, kPageFd})
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
      return absl::FailedPreconditionError("this process was not started as a helper");
  UniqueFd memory(kPageFd);
  UniqueFd socket(kSocketFd);
  ASHLAR_ASSIGN_OR_RETURN(SharedPage page, SharedPage::Map(memory.get()));
  return HelperChannel(std::move(socket), std::move(page));
}

absl::StatusOr<std::string> HelperChannel::Receive() {
  absl::StatusOr<std::string> request = ReceiveMessage({}, socket_.get(), -1);
  if (absl::IsUnavailable(request.status()))
    return absl::OutOfRangeError("whoever asked this helper is gone");
  return request;
}

absl::Status HelperChannel::Send(absl::string_view answer) {
  return SendMessage({}, socket_.get(), -1, answer);
}

}  // namespace ashlar::sys
