// CommandRunner: runs the system's tools (mkfs, fsck, resize) by argument vector, never by a shell.
// Thread-safe.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/call_context.h"

namespace ashlar::sys {

struct CommandResult {
  int exit_code = 0;
  std::string out;  // the first 16 MiB
  std::string err;  // the last 64 KiB
};

class CommandRunner {
 public:
  virtual ~CommandRunner() = default;

  // Runs argv[0] (looked up in PATH if it has no slash) and waits for its end. The command runs in
  // a process group of its own with an empty standard input and LC_ALL=C. When the context ends,
  // the whole group is killed and reaped: DeadlineExceeded or Cancelled. NotFound: there is no such
  // program. Internal: a signal ended it. Any exit code is OK: see ExpectSuccess.
  virtual absl::StatusOr<CommandResult> Run(const CallContext& context,
                                            const std::vector<std::string>& argv) = 0;
};

class PosixCommandRunner final : public CommandRunner {
 public:
  absl::StatusOr<CommandResult> Run(const CallContext& context,
                                    const std::vector<std::string>& argv) override;
};

// Internal unless the exit code is 0; the message has the tool, its code and its last words.
absl::Status ExpectSuccess(const std::vector<std::string>& argv, const CommandResult& result);

// Run and ExpectSuccess.
absl::Status RunChecked(CommandRunner& runner, const CallContext& context,
                        const std::vector<std::string>& argv);

}  // namespace ashlar::sys
