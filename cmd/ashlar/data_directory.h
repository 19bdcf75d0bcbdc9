// DataDirectory: where one standalone instance keeps everything, and the lock that keeps a second
// one out. Thread-safe.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/system/unique_fd.h"

namespace ashlar::standalone {

class DataDirectory {
 public:
  // `path` is made absolute. InvalidArgument if it is too long for the sockets below it.
  static absl::StatusOr<DataDirectory> At(const std::string& path);

  const std::string& path() const { return path_; }
  std::string database() const { return path_ + "/api.db"; }
  std::string identity() const { return path_ + "/identity"; }
  std::string port_file() const { return path_ + "/identity/port"; }
  std::string kubeconfig() const { return path_ + "/kubeconfig"; }
  std::string agent_state() const { return path_ + "/agent"; }
  std::string agent_socket() const { return path_ + "/agent.sock"; }
  std::string csi_socket() const { return path_ + "/csi.sock"; }
  std::string mounts() const { return path_ + "/mounts"; }
  std::string stage(const std::string& volume) const { return path_ + "/stage/" + volume; }

  // Makes the directory, for its owner alone, and takes the lock. FailedPrecondition, with the
  // process id, if another instance runs.
  absl::Status Lock();

  // Removes what an instance keeps here, and the directory itself if nothing else is in it; answers
  // the names of what is left. The lock must be held.
  absl::StatusOr<std::vector<std::string>> RemoveAll();
  // NotFound if no instance ever ran here.
  absl::Status CheckExists() const;

 private:
  explicit DataDirectory(std::string path) : path_(std::move(path)) {}
  std::string path_;
  sys::UniqueFd lock_;
};

}  // namespace ashlar::standalone
