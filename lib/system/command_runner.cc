#include "lib/system/command_runner.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstring>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "lib/base/status_macros.h"
#include "lib/system/errno_status.h"
#include "lib/system/unique_fd.h"

extern char** environ;

namespace ashlar::sys {
namespace {

constexpr size_t kMostOut = 16 << 20;  // LVM describes thousands of volumes in one answer
constexpr size_t kMostErr = 64 << 10;

struct Pipe {
  UniqueFd read, write;
};

absl::StatusOr<Pipe> MakePipe() {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe2");
  return Pipe{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

// The environment of this process with LC_ALL=C, so that messages read the same everywhere.
std::vector<std::string> ChildEnvironment() {
  std::vector<std::string> env;
  for (char** entry = environ; *entry != nullptr; ++entry)
    if (strncmp(*entry, "LC_", 3) != 0 && strncmp(*entry, "LANG", 4) != 0) env.push_back(*entry);
  env.push_back("LC_ALL=C");
  return env;
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

absl::StatusOr<pid_t> Spawn(std::vector<std::string> argv, int out, int err) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, out, 1);
  posix_spawn_file_actions_adddup2(&actions, err, 2);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  std::vector<std::string> env = ChildEnvironment();
  pid_t pid = -1;
  const int rc = posix_spawnp(&pid, argv[0].c_str(), &actions, &attributes, Pointers(argv).data(),
                              Pointers(env).data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (rc != 0) return ErrnoStatus(rc, absl::StrCat("start ", argv[0]));
  return pid;
}

// Appends what is there and keeps the head or the tail of it. The bytes read; 0 at the end of the
// stream.
ssize_t Drain(int fd, bool keep_tail, std::string& text) {
  char buffer[8192];
  ssize_t got;
  do got = read(fd, buffer, sizeof buffer);
  while (got < 0 && errno == EINTR);
  if (got <= 0) return 0;
  text.append(buffer, static_cast<size_t>(got));
  if (keep_tail && text.size() > kMostErr) text.erase(0, text.size() - kMostErr);
  if (!keep_tail && text.size() > kMostOut) text.resize(kMostOut);
  return got;
}

int PollTimeout(absl::Time deadline) {
  if (deadline == absl::InfiniteFuture()) return -1;
  const absl::Duration left = deadline - absl::Now();
  if (left <= absl::ZeroDuration()) return 0;
  return static_cast<int>(absl::ToInt64Milliseconds(std::min(left, absl::Hours(1)))) + 1;
}

// Reads both streams until the process has ended. The end of the process, not that of the streams,
// counts: a daemon that a tool left behind may hold them open.
absl::Status Collect(const CallContext& context, const Pipe& out, const Pipe& err, int pidfd,
                     int wake, CommandResult& result) {
  bool out_open = true, err_open = true, running = true;
  while (running) {
    if (context.stop.stop_requested()) return absl::CancelledError("the call was called off");
    if (absl::Now() >= context.deadline)
      return absl::DeadlineExceededError("the call's deadline has passed");
    pollfd fds[] = {{out_open ? out.read.get() : -1, POLLIN, 0},
                    {err_open ? err.read.get() : -1, POLLIN, 0},
                    {pidfd, POLLIN, 0},
                    {wake, POLLIN, 0}};
    if (poll(fds, 4, PollTimeout(context.deadline)) < 0 && errno != EINTR)
      return ErrnoStatus(errno, "poll");
    if (fds[0].revents != 0) out_open = Drain(out.read.get(), false, result.out) > 0;
    if (fds[1].revents != 0) err_open = Drain(err.read.get(), true, result.err) > 0;
    running = fds[2].revents == 0;
  }
  // What the process left in the pipes; a daemon that still writes does not keep us here.
  for (const auto& [pipe, keep_tail, text] :
       {std::tuple(&out, false, &result.out), std::tuple(&err, true, &result.err)}) {
    int left = 0;
    if (ioctl(pipe->read.get(), FIONREAD, &left) != 0) return ErrnoStatus(errno, "FIONREAD");
    while (left > 0) {
      const ssize_t got = Drain(pipe->read.get(), keep_tail, *text);
      if (got <= 0) break;
      left -= static_cast<int>(got);
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<CommandResult> PosixCommandRunner::Run(const CallContext& context,
                                                      const std::vector<std::string>& argv) {
  if (argv.empty()) return absl::InvalidArgumentError("argv is empty");
  ASHLAR_ASSIGN_OR_RETURN(Pipe out, MakePipe());
  ASHLAR_ASSIGN_OR_RETURN(Pipe err, MakePipe());
  const UniqueFd wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  std::stop_callback on_stop(context.stop, [&] { (void)eventfd_write(wake.get(), 1); });
  ASHLAR_ASSIGN_OR_RETURN(const pid_t pid, Spawn(argv, out.write.get(), err.write.get()));
  out.write.Close();
  err.write.Close();
  const UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  CommandResult result;
  const absl::Status collected = pidfd.valid()
                                     ? Collect(context, out, err, pidfd.get(), wake.get(), result)
                                     : ErrnoStatus(errno, "pidfd_open");
  if (!collected.ok()) kill(-pid, SIGKILL);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (!collected.ok()) return Annotate(collected, absl::StrCat(argv[0], " was killed"));
  if (WIFSIGNALED(status))
    return absl::InternalError(
        absl::StrCat(absl::StrJoin(argv, " "), ": ended by signal ", WTERMSIG(status)));
  result.exit_code = WEXITSTATUS(status);
  return result;
}

absl::Status ExpectSuccess(const std::vector<std::string>& argv, const CommandResult& result) {
  if (result.exit_code == 0) return absl::OkStatus();
  const std::string& text = result.err.empty() ? result.out : result.err;
  std::vector<std::string> lines =
      absl::StrSplit(absl::StripSuffix(text, "\n"), '\n', absl::SkipWhitespace());
  if (lines.size() > 5) lines.erase(lines.begin(), lines.end() - 5);
  return absl::InternalError(absl::StrCat(absl::StrJoin(argv, " "), ": exit code ",
                                          result.exit_code, ": ", absl::StrJoin(lines, "; ")));
}

absl::Status RunChecked(CommandRunner& runner, const CallContext& context,
                        const std::vector<std::string>& argv) {
  ASHLAR_ASSIGN_OR_RETURN(const CommandResult result, runner.Run(context, argv));
  return ExpectSuccess(argv, result);
}

}  // namespace ashlar::sys
