#include "cmd/ashlar/data_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"
#include "standalone/private_file.h"

namespace ashlar::standalone {
namespace {

namespace fs = std::filesystem;

constexpr size_t kLongestPath = 90;  // a unix socket's path has at most 107 bytes

}  // namespace

absl::StatusOr<DataDirectory> DataDirectory::At(const std::string& path) {
  std::error_code error;
  fs::path whole = fs::absolute(path, error).lexically_normal();
  if (!whole.has_filename()) whole = whole.parent_path();
  if (path.empty() || whole == whole.root_path()) {
    return absl::InvalidArgumentError("--data-dir: expected a directory of its own");
  }
  if (whole.string().size() > kLongestPath) {
    return absl::InvalidArgumentError(
        absl::StrCat("--data-dir: ", whole.string(), " is longer than ", kLongestPath,
                     " bytes, too long for the unix sockets below it"));
  }
  return DataDirectory(whole.string());
}

absl::Status DataDirectory::CheckExists() const {
  if (fs::exists(database()) || fs::exists(identity())) return absl::OkStatus();
  return absl::NotFoundError(
      absl::StrCat(path_, " is not the data directory of a standalone Ashlar"));
}

absl::Status DataDirectory::Lock() {
  ASHLAR_RETURN_IF_ERROR(MakePrivateDirectory(path_));
  const std::string file = path_ + "/lock";
  sys::UniqueFd fd(open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd.valid()) return absl::ErrnoToStatus(errno, absl::StrCat("cannot open ", file));
  if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    auto owner = ReadFile(file);
    return absl::FailedPreconditionError(absl::StrCat(
        "an instance runs already on ", path_, " (process ",
        owner.ok() ? std::string(absl::StripAsciiWhitespace(*owner)) : "unknown", ")"));
  }
  const std::string pid = absl::StrCat(getpid(), "\n");
  if (ftruncate(fd.get(), 0) != 0 || pwrite(fd.get(), pid.data(), pid.size(), 0) < 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot write ", file));
  }
  lock_ = std::move(fd);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> DataDirectory::RemoveAll() {
  std::error_code error;
  for (const char* name : {"api.db", "api.db-wal", "api.db-shm", "identity", "kubeconfig", "agent",
                           "agent.sock", "csi.sock", "mounts", "stage", "lock"}) {
    fs::remove_all(fs::path(path_) / name, error);
    if (error) {
      return absl::InternalError(
          absl::StrCat("cannot remove ", path_, "/", name, ": ", error.message()));
    }
  }
  std::vector<std::string> left;
  for (const auto& entry : fs::directory_iterator(path_, error)) {
    left.push_back(entry.path().filename());
  }
  if (left.empty()) fs::remove(path_, error);
  return left;
}

}  // namespace ashlar::standalone
