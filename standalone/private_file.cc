#include "standalone/private_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"

namespace ashlar::standalone {
namespace {

absl::Status Failed(absl::string_view doing, const std::string& path) {
  return absl::ErrnoToStatus(errno, absl::StrCat("cannot ", doing, " ", path));
}

absl::Status WriteAll(int fd, absl::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t written = write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return Failed("write", path);
    text.remove_prefix(static_cast<size_t>(written));
  }
  return fsync(fd) == 0 ? absl::OkStatus() : Failed("sync", path);
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return Failed("read", path);
  std::ostringstream text;
  text << in.rdbuf();
  if (in.bad()) return Failed("read", path);
  return text.str();
}

absl::Status WritePrivateFile(const std::string& path, absl::string_view text) {
  const std::string fresh = path + ".new";
  const int fd = open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return Failed("make", fresh);
  absl::Status status = fchmod(fd, 0600) == 0 ? WriteAll(fd, text, fresh) : Failed("chmod", fresh);
  close(fd);
  if (!status.ok()) return status;
  return rename(fresh.c_str(), path.c_str()) == 0 ? absl::OkStatus() : Failed("replace", path);
}

absl::Status MakePrivateDirectory(const std::string& path) {
  std::error_code error;
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  if (!parent.empty()) std::filesystem::create_directories(parent, error);
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return Failed("make directory", path);
  return absl::OkStatus();
}

}  // namespace ashlar::standalone
