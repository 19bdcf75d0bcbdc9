#include "cmd/ashlar/mount_commands.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "csi.grpc.pb.h"
#include "lib/base/json.h"
#include "lib/base/status_macros.h"
#include "lib/kube/connection.h"
#include "lib/kube/http_client.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/client_call.h"
#include "standalone/private_file.h"

namespace ashlar::standalone {
namespace {

namespace fs = std::filesystem;
using NodeStub = csi::v1::Node::Stub;

constexpr absl::Duration kCallTimeout = absl::Minutes(2);
// Directories of the system: a volume there would hide what the machine needs.
constexpr const char* kSystem[] = {"/",     "/bin",  "/boot", "/dev",  "/etc", "/lib", "/lib64",
                                   "/proc", "/root", "/run",  "/sbin", "/sys", "/usr", "/var"};

const api::KindInfo kVolume = {"ashlar.dev", "v1alpha1", "Volume", "volumes", false};

absl::StatusOr<std::string> CheckPath(const std::string& path) {
  std::error_code error;
  fs::path whole = fs::absolute(path, error).lexically_normal();
  if (!whole.has_filename()) whole = whole.parent_path();
  const std::string text = whole.string();
  if (std::find(std::begin(kSystem), std::end(kSystem), text) != std::end(kSystem)) {
    return absl::InvalidArgumentError(absl::StrCat(
        text, " belongs to the system; mount at a directory of its own, such as /mnt/", "volume"));
  }
  return text;
}

std::string RecordPath(const DataDirectory& directory, const std::string& path) {
  return absl::StrCat(directory.mounts(), "/", absl::BytesToHexString(path));
}

CallContext Context(Clock& clock) {
  CallContext context;
  context.deadline = clock.Now() + kCallTimeout;
  return context;
}

struct VolumeFacts {
  bool block = false;
  std::string fs_type;
};

absl::StatusOr<VolumeFacts> ReadVolume(const DataDirectory& directory, const std::string& volume,
                                       Clock& clock) {
  auto connection = kube::LoadKubeconfig(directory.kubeconfig());
  if (!connection.ok()) return Annotate(connection.status(), "is the instance running?");
  ASHLAR_ASSIGN_OR_RETURN(auto client, kube::MakeHttpClient(*connection, clock));
  ASHLAR_ASSIGN_OR_RETURN(Json object, client->Get(Context(clock), kVolume, {"", volume}));
  const Json* conditions = FindJson(object, {"status", "conditions"});
  std::string reason = "the controller has not looked at it yet";
  bool carved = false;
  for (const Json& condition : conditions == nullptr ? Json::array() : *conditions) {
    if (JsonString(condition, {"type"}) != "Carved") continue;
    carved = JsonString(condition, {"status"}) == "True";
    reason =
        absl::StrCat(JsonString(condition, {"reason"}), ": ", JsonString(condition, {"message"}));
  }
  if (!carved) {
    return absl::FailedPreconditionError(
        absl::StrCat("volume ", volume, " is not carved: ", reason));
  }
  return VolumeFacts{JsonString(object, {"spec", "mode"}) == "Block",
                     JsonString(object, {"spec", "fsType"})};
}

csi::v1::VolumeCapability Capability(const VolumeFacts& facts) {
  csi::v1::VolumeCapability capability;
  if (facts.block) {
    capability.mutable_block();
  } else {
    capability.mutable_mount()->set_fs_type(facts.fs_type);
  }
  capability.mutable_access_mode()->set_mode(
      csi::v1::VolumeCapability::AccessMode::SINGLE_NODE_WRITER);
  return capability;
}

std::unique_ptr<NodeStub> Connect(const DataDirectory& directory, const std::string& endpoint) {
  return csi::v1::Node::NewStub(
      rpc::MakeUnixChannel(endpoint.empty() ? "unix://" + directory.csi_socket() : endpoint));
}

absl::Status Explain(const absl::Status& status) {
  if (absl::IsUnavailable(status)) {
    return absl::UnavailableError(absl::StrCat(
        "no instance answers on this data directory; start one with `ashlar standalone` (",
        status.message(), ")"));
  }
  if (absl::StrContains(status.message(), "must lie below")) {
    return absl::InvalidArgumentError(absl::StrCat(
        status.message(), "; start `ashlar standalone` with --publish-root for other places"));
  }
  return status;
}

absl::Status StageAndPublish(const DataDirectory& directory, const std::string& csi_endpoint,
                             const std::string& volume, const VolumeFacts& facts,
                             const std::string& target, bool read_only, Clock& clock) {
  auto stub = Connect(directory, csi_endpoint);
  csi::v1::NodeStageVolumeRequest stage;
  stage.set_volume_id(volume);
  stage.set_staging_target_path(directory.stage(volume));
  *stage.mutable_volume_capability() = Capability(facts);
  ASHLAR_RETURN_IF_ERROR(
      rpc::Call(Context(clock), *stub, &NodeStub::NodeStageVolume, stage).status());
  csi::v1::NodePublishVolumeRequest publish;
  publish.set_volume_id(volume);
  publish.set_staging_target_path(directory.stage(volume));
  publish.set_target_path(target);
  publish.set_readonly(read_only);
  *publish.mutable_volume_capability() = Capability(facts);
  return rpc::Call(Context(clock), *stub, &NodeStub::NodePublishVolume, publish).status();
}

}  // namespace

absl::Status Mount(const DataDirectory& directory, const std::string& csi_endpoint,
                   const std::string& volume, const std::string& path, bool read_only,
                   Clock& clock) {
  ASHLAR_ASSIGN_OR_RETURN(const std::string target, CheckPath(path));
  ASHLAR_ASSIGN_OR_RETURN(const VolumeFacts facts, ReadVolume(directory, volume, clock));
  for (const std::string& made :
       {directory.mounts(), directory.path() + "/stage", directory.stage(volume)}) {
    ASHLAR_RETURN_IF_ERROR(MakePrivateDirectory(made));
  }
  // The record comes before the mount, so that purge finds it whatever happens in between.
  const std::string record = RecordPath(directory, target);
  const bool known = fs::exists(record);
  ASHLAR_RETURN_IF_ERROR(
      WritePrivateFile(record, DumpJson({{"volume", volume}, {"path", target}})));
  absl::Status status =
      StageAndPublish(directory, csi_endpoint, volume, facts, target, read_only, clock);
  if (!known && absl::IsInvalidArgument(status)) {  // refused: nothing was mounted
    std::error_code error;
    fs::remove(record, error);
  }
  return Explain(status);
}

absl::StatusOr<std::vector<MountRecord>> ListMounts(const DataDirectory& directory) {
  std::vector<MountRecord> mounts;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory.mounts(), error)) {
    if (entry.path().extension() == ".new") continue;  // a write that a crash cut off
    ASHLAR_ASSIGN_OR_RETURN(std::string text, ReadFile(entry.path()));
    auto record = ParseJson(text);
    if (!record.ok()) return Annotate(record.status(), entry.path().string());
    mounts.push_back({JsonString(*record, {"volume"}), JsonString(*record, {"path"})});
  }
  return mounts;
}

absl::Status Unmount(const DataDirectory& directory, const std::string& csi_endpoint,
                     const std::string& path, Clock& clock) {
  ASHLAR_ASSIGN_OR_RETURN(const std::string target, CheckPath(path));
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<MountRecord> mounts, ListMounts(directory));
  auto record = std::find_if(mounts.begin(), mounts.end(),
                             [&](const MountRecord& m) { return m.path == target; });
  if (record == mounts.end()) {
    return absl::NotFoundError(
        absl::StrCat("nothing is mounted at ", target, " by `ashlar mount` of this instance"));
  }
  const std::string volume = record->volume;
  auto stub = Connect(directory, csi_endpoint);
  csi::v1::NodeUnpublishVolumeRequest unpublish;
  unpublish.set_volume_id(volume);
  unpublish.set_target_path(target);
  absl::Status status =
      rpc::Call(Context(clock), *stub, &NodeStub::NodeUnpublishVolume, unpublish).status();
  if (!status.ok()) return Explain(status);
  const bool last = std::none_of(mounts.begin(), mounts.end(), [&](const MountRecord& m) {
    return m.volume == volume && m.path != target;
  });
  if (last) {
    csi::v1::NodeUnstageVolumeRequest unstage;
    unstage.set_volume_id(volume);
    unstage.set_staging_target_path(directory.stage(volume));
    status = rpc::Call(Context(clock), *stub, &NodeStub::NodeUnstageVolume, unstage).status();
    if (!status.ok()) return Explain(status);
    std::error_code error;
    fs::remove(directory.stage(volume), error);
  }
  std::error_code error;
  fs::remove(RecordPath(directory, target), error);
  return absl::OkStatus();
}

}  // namespace ashlar::standalone
