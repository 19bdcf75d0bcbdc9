// FilesystemCheck: what is looked at when a volume's filesystem is about to be mounted, and what is
// told of it. Nothing here destroys data: e2fsck -p mends what is safe to mend and xfs_repair is
// only ever run with -n. What they leave is for a person, who is told how. Thread-safe.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "lib/system/command_runner.h"

namespace ashlar::node_agent {

class FilesystemCheck {
 public:
  // `path`: where a person finds the volume, its image or device. `device`: what is mounted.
  FilesystemCheck(sys::CommandRunner& commands, std::string path, std::string device)
      : commands_(commands), path_(std::move(path)), device_(std::move(device)) {}

  // Lets e2fsck correct what it can without asking; with `force` also if it says that it is clean.
  // What it has corrected, in its own words; empty: nothing. DataLoss: errors are left that it does
  // not mend by itself; the message has its last words and the advice. Internal: it could not run.
  absl::StatusOr<std::string> CorrectExt4(const CallContext& context, bool force);

  // What the failed mount of an XFS means: DataLoss, with the words of xfs_repair -n and the
  // advice, if the filesystem is damaged or its log cannot be replayed; otherwise `mounted` itself.
  absl::Status ExplainXfs(const CallContext& context, const absl::Status& mounted);

 private:
  sys::CommandRunner& commands_;
  const std::string path_;
  const std::string device_;
};

}  // namespace ashlar::node_agent
