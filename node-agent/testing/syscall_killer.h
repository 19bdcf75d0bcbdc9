// Kills a process, with everything that it started, right before a chosen system call that changes
// something outside of it: files, mounts, loop devices, bytes of devices. Unlike a hook it reaches
// into every tool that the process runs. See ptrace(2) and seccomp(2). Not thread-safe.
#pragma once

#include <functional>
#include <string>

namespace ashlar::node_agent {

struct KilledRun {
  std::string call;        // before which all were killed, such as "rename"; empty: the body ended
  bool in_tool = false;    // the call was that of a program that the body had started
  int acknowledged = 0;    // how often the body called `acknowledge`
  bool succeeded = false;  // the body ended and answered true
};

// Runs `body` in a child process that dies before the call of number `fatal`, counted from 0 over
// all its processes. Needs root, and a caller with no other children.
KilledRun RunAndKill(int fatal,
                     const std::function<bool(const std::function<void()>& acknowledge)>& body);

}  // namespace ashlar::node_agent
