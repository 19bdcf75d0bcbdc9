#include "node-agent/storage/lvm/thin_maps.h"

#include <unistd.h>

#include <cerrno>
#include <deque>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/system/errno_status.h"
#include "lib/system/files.h"
#include "lib/system/unnamed_file.h"
#include "node-agent/storage/lvm/thin_dump.h"

namespace ashlar::node_agent {
namespace {

constexpr size_t kExtentsAtOnce = 1024;
constexpr size_t kReadBytes = size_t{64} << 10;

// A dump that lies in a file.
class DumpedMap final : public BlockMap {
 public:
  explicit DumpedMap(sys::UniqueFd file) : file_(std::move(file)) {}

  // NotFound: the pool does not have the volume.
  absl::Status Begin() {
    while (!read_ && !dump_.HasDevice()) ASHLAR_RETURN_IF_ERROR(ReadMore());
    return absl::OkStatus();
  }

  absl::StatusOr<MapPart> From(int64_t offset) override {
    const auto ends_before = [&](const sys::MappedExtent& extent) {
      return extent.logical + extent.bytes <= static_cast<uint64_t>(offset);
    };
    for (;;) {
      while (!ahead_.empty() && ends_before(ahead_.front())) ahead_.pop_front();
      if (read_ || ahead_.size() >= kExtentsAtOnce) break;
      ASHLAR_RETURN_IF_ERROR(ReadMore());
    }
    return MapPart{{ahead_.begin(), ahead_.end()}, read_};
  }

 private:
  absl::Status ReadMore() {
    std::string text(kReadBytes, '\0');
    const ssize_t got = pread(file_.get(), text.data(), text.size(), at_);
    if (got < 0) return sys::ErrnoStatus(errno, "read thin_dump's output");
    at_ += got;
    read_ = got == 0;
    ASHLAR_RETURN_IF_ERROR(
        dump_.Feed(absl::string_view(text).substr(0, static_cast<size_t>(got)), read_));
    for (const sys::MappedExtent& extent : dump_.Take()) ahead_.push_back(extent);
    return absl::OkStatus();
  }

  const sys::UniqueFd file_;
  off_t at_ = 0;
  bool read_ = false;  // to the end
  ThinDump dump_;
  std::deque<sys::MappedExtent> ahead_;
};

}  // namespace

std::string MetadataDevice(absl::string_view table) {
  // "0 2097152 thin-pool 253:0 253:1 128 0 ..."
  const std::vector<absl::string_view> words =
      absl::StrSplit(table, absl::ByAnyChar(" \n"), absl::SkipEmpty());
  if (words.size() < 4 || words[2] != "thin-pool") return "";
  const std::vector<absl::string_view> number = absl::StrSplit(words[3], ':');
  int minor = 0;
  if (number.size() != 2 || !absl::SimpleAtoi(number[1], &minor) || minor < 0) return "";
  return absl::StrCat("/dev/dm-", minor);
}

bool HoldsMetadata(absl::string_view status) {
  // "0 2097152 thin-pool 3 22/1024 4/16384 - rw ..."
  const std::vector<absl::string_view> words =
      absl::StrSplit(status, absl::ByAnyChar(" \n"), absl::SkipEmpty());
  return words.size() > 6 && words[2] == "thin-pool" && words[6] != "-";
}

absl::StatusOr<std::string> ThinMaps::Ask(const std::string& what) {
  const std::vector<std::string> argv = {"dmsetup", what, pool_};
  ASHLAR_ASSIGN_OR_RETURN(const sys::CommandResult result, commands_.Run({}, argv));
  ASHLAR_RETURN_IF_ERROR(sys::ExpectSuccess(argv, result));
  return result.out;
}

absl::Status ThinMaps::Send(const std::string& message) {
  return sys::RunChecked(commands_, {}, {"dmsetup", "message", pool_, "0", message});
}

absl::Status ThinMaps::ReleaseLocked() {
  ASHLAR_ASSIGN_OR_RETURN(const std::string status, Ask("status"));
  return HoldsMetadata(status) ? Send("release_metadata_snap") : absl::OkStatus();
}

absl::Status ThinMaps::ReleaseLeftover() {
  MutexLock lock(mu_);
  return ReleaseLocked();
}

absl::StatusOr<std::unique_ptr<BlockMap>> ThinMaps::Dump(const CallContext& context,
                                                         const std::string& metadata, int64_t key) {
  ASHLAR_ASSIGN_OR_RETURN(sys::UniqueFd file, sys::OpenUnnamedFile(folder_, 0600));
  ASHLAR_RETURN_IF_ERROR(
      sys::RunChecked(commands_, context,
                      {"thin_dump", "--format", "xml", "--metadata-snap", "--dev-id",
                       absl::StrCat(key), "-o", sys::SharedPath(file), metadata}));
  auto map = std::make_unique<DumpedMap>(std::move(file));
  ASHLAR_RETURN_IF_ERROR(map->Begin());
  return map;
}

absl::StatusOr<std::vector<std::unique_ptr<BlockMap>>> ThinMaps::Read(
    const CallContext& context, const std::vector<int64_t>& keys) {
  MutexLock lock(mu_);
  ASHLAR_RETURN_IF_ERROR(ReleaseLocked());
  ASHLAR_ASSIGN_OR_RETURN(const std::string table, Ask("table"));
  const std::string metadata = MetadataDevice(table);
  if (metadata.empty())
    return absl::InternalError(absl::StrCat(pool_, " is no thin pool: ", table));
  ASHLAR_RETURN_IF_ERROR(Send("reserve_metadata_snap"));
  std::vector<std::unique_ptr<BlockMap>> maps;
  absl::Status status;
  for (const int64_t key : keys) {
    absl::StatusOr<std::unique_ptr<BlockMap>> map = Dump(context, metadata, key);
    status.Update(map.status());
    if (!status.ok()) break;
    maps.push_back(*std::move(map));
  }
  if (const absl::Status released = ReleaseLocked(); !released.ok())
    LogWarning("the snapshot of a thin pool's metadata stays until the next one is taken",
               {{"pool", pool_}, {"error", released.ToString()}});
  ASHLAR_RETURN_IF_ERROR(status);
  return maps;
}

}  // namespace ashlar::node_agent
