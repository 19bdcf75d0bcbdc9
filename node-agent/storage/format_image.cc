#include "node-agent/storage/format_image.h"

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"
#include "lib/system/files.h"
#include "node-agent/storage/volume_facts.h"

namespace ashlar::node_agent {
namespace {

// For which mke2fs writes 5 MB; 0.6 MB for 1 GiB, 16 MB for 1 TiB (e2fsprogs 1.47).
constexpr int64_t kMostInMemory = int64_t{256} << 30;

// Blocks of 4 KiB, so that the volume can be mounted over drives with such sectors. The image reads
// as zero, so mke2fs need not write, and the kernel need not zero later, inode tables and the
// journal. No blocks are kept for root: the volume has one user. No discard: it would punch out
// the bytes that were just reserved.
absl::Status MakeExt4(sys::CommandRunner& commands, const CallContext& context,
                      const std::string& path, const std::string& uuid) {
  std::vector<std::string> argv = {"mkfs.ext4", "-q",   "-F",
                                   "-b",        "4096", "-m",
                                   "0",         "-E",   "nodiscard,assume_storage_prezeroed=1"};
  if (!uuid.empty()) argv.insert(argv.end(), {"-U", uuid});
  argv.push_back(path);
  return sys::RunChecked(commands, context, argv);
}

// mke2fs syncs four times on its way; in memory that costs nothing, and the image is synced once.
absl::Status MakeExt4InMemory(sys::CommandRunner& commands, const CallContext& context,
                              const ImageToFormat& image) {
  ASHLAR_ASSIGN_OR_RETURN(const sys::UniqueFd memory,
                          sys::MakeMemoryFile("ext4", image.size_bytes));
  ASHLAR_RETURN_IF_ERROR(MakeExt4(commands, context, sys::SharedPath(memory), image.uuid));
  return sys::CopyData(memory.get(), image.fd, image.path);
}

}  // namespace

absl::Status FormatImage(sys::CommandRunner& commands, const CallContext& context,
                         const ImageToFormat& image) {
  // mkfs.xfs zeroes its log, which has 64 MiB or more: better not in memory.
  if (image.fs_type == "xfs") {
    std::vector<std::string> argv = {"mkfs.xfs", "-q", "-f", "-K", "-s", "size=4096"};
    if (!image.uuid.empty()) argv.insert(argv.end(), {"-m", absl::StrCat("uuid=", image.uuid)});
    argv.push_back(image.path);
    return sys::RunChecked(commands, context, argv);
  }
  if (image.size_bytes > kMostInMemory) return MakeExt4(commands, context, image.path, image.uuid);
  return MakeExt4InMemory(commands, context, image);
}

}  // namespace ashlar::node_agent
