#include "node-agent/testing/syscall_killer.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <map>
#include <set>
#include <vector>

namespace ashlar::node_agent {
namespace {

// Not among them is fsync: what was written stays when a process dies.
const std::map<long, std::string>& ChangingCalls() {
  static const std::map<long, std::string> calls = {
      {SYS_write, "write"},          {SYS_pwrite64, "pwrite"}, {SYS_ftruncate, "ftruncate"},
      {SYS_fallocate, "fallocate"},  {SYS_rename, "rename"},   {SYS_renameat, "renameat"},
      {SYS_renameat2, "renameat2"},  {SYS_unlink, "unlink"},   {SYS_unlinkat, "unlinkat"},
      {SYS_mkdir, "mkdir"},          {SYS_mkdirat, "mkdirat"}, {SYS_rmdir, "rmdir"},
      {SYS_fsetxattr, "fsetxattr"},  {SYS_mount, "mount"},     {SYS_umount2, "umount"},
      {SYS_move_mount, "move_mount"}};
  return calls;
}

// Stops at the calls above, at openat that creates, and at ioctl that changes a loop device or
// throws away bytes of a device.
std::vector<sock_filter> Filter() {
  const auto load = [](size_t offset) {
    return sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offset));
  };
  const auto equal = [](uint32_t value, uint8_t yes, uint8_t no) {
    return sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, yes, no);
  };
  const sock_filter stop = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
  const sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  std::vector<sock_filter> program = {load(offsetof(seccomp_data, nr))};
  for (const auto& [number, name] : ChangingCalls()) {
    program.push_back(equal(static_cast<uint32_t>(number), 0, 1));
    program.push_back(stop);
  }
  program.insert(program.end(), {equal(SYS_openat, 0, 4), load(offsetof(seccomp_data, args[2])),
                                 BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_CREAT, 0, 1), stop, allow,
                                 equal(SYS_ioctl, 0, 5), load(offsetof(seccomp_data, args[1])),
                                 equal(LOOP_CONFIGURE, 2, 0), equal(LOOP_CLR_FD, 1, 0),
                                 equal(BLKDISCARD, 0, 1), stop, allow});
  return program;
}

// What both processes see.
struct Shared {
  int acknowledged = 0;
  bool succeeded = false;
};

[[noreturn]] void RunChild(
    Shared* shared, const std::function<bool(const std::function<void()>& acknowledge)>& body) {
  std::vector<sock_filter> filter = Filter();
  const sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
  if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(3);
  raise(SIGSTOP);
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) _exit(3);
  shared->succeeded = body([shared] { ++shared->acknowledged; });
  _exit(0);
}

std::string NameOfCall(pid_t pid) {
  __ptrace_syscall_info info{};
  if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) <= 0) return "unknown";
  const auto it = ChangingCalls().find(static_cast<long>(info.seccomp.nr));
  if (it != ChangingCalls().end()) return it->second;
  return info.seccomp.nr == SYS_ioctl ? "ioctl" : "openat";
}

// A stopped process: goes on. Answers whether it stood before a changing call.
bool StandsBeforeCall(pid_t pid, int status, std::set<pid_t>& known) {
  const int event = status >> 16;
  if (event == PTRACE_EVENT_SECCOMP) return true;
  // The first stop of a new process is the tracer's doing; other signals are the process's own.
  const bool first = known.insert(pid).second;
  const int signal = event != 0 || first ? 0 : WSTOPSIG(status);
  ptrace(PTRACE_CONT, pid, nullptr, signal);
  return false;
}

void KillAll(const std::set<pid_t>& known) {
  for (const pid_t pid : known) kill(pid, SIGKILL);
  int status = 0;
  for (pid_t pid; (pid = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR;)
    if (pid > 0 && WIFSTOPPED(status)) kill(pid, SIGKILL);
}

}  // namespace

KilledRun RunAndKill(int fatal,
                     const std::function<bool(const std::function<void()>& acknowledge)>& body) {
  void* page =
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) abort();
  auto* shared = new (page) Shared;
  const pid_t child = fork();
  if (child == 0) RunChild(shared, body);
  int status = 0;
  waitpid(child, &status, 0);
  ptrace(PTRACE_SETOPTIONS, child, nullptr,
         PTRACE_O_TRACESECCOMP | PTRACE_O_EXITKILL | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
             PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC);
  std::set<pid_t> known = {child};
  ptrace(PTRACE_CONT, child, nullptr, nullptr);
  KilledRun run;
  for (int calls = 0;;) {
    const pid_t pid = waitpid(-1, &status, __WALL);
    if (pid < 0 && errno == EINTR) continue;
    if (pid < 0 || (pid == child && !WIFSTOPPED(status))) break;
    if (!WIFSTOPPED(status) || !StandsBeforeCall(pid, status, known)) continue;
    if (calls++ < fatal) {
      ptrace(PTRACE_CONT, pid, nullptr, nullptr);
      continue;
    }
    run.call = NameOfCall(pid);
    run.in_tool = pid != child;
    break;
  }
  KillAll(known);
  run.acknowledged = shared->acknowledged;
  run.succeeded = shared->succeeded;
  munmap(page, sizeof(Shared));
  return run;
}

}  // namespace ashlar::node_agent
