#include "node-agent/storage/file/file_drive.h"

#include "absl/strings/str_cat.h"
#include "lib/base/status_macros.h"

namespace ashlar::node_agent {
namespace {

PoolFilesystem Xfs(const PoolSpec& spec) {
  return {"xfs",
          {"mkfs.xfs", "-q", "-L", "ashlar", "-m",
           absl::StrCat("reflink=1,uuid=", FilesystemUuid(spec.uid))},
          ""};
}

}  // namespace

FileDrive::FileDrive(const PoolEnvironment& env, const PoolSpec& spec)
    : drive_(env, spec, Xfs(spec)), root_(env.commands) {}

absl::StatusOr<OpenedPool> FileDrive::Open(const CallContext& context, PoolRecord& record,
                                           SavePoolRecord save) {
  ASHLAR_ASSIGN_OR_RETURN(const std::string target, drive_.Open(context, record, save));
  ASHLAR_ASSIGN_OR_RETURN(const std::shared_ptr<FileBackend> backend,
                          root_.Open(record.spec, target));
  return OpenedPool{backend, {drive_.device()}};
}

absl::Status FileDrive::Close(const CallContext&, const PoolRecord& record) {
  return drive_.Close(record);
}

}  // namespace ashlar::node_agent
