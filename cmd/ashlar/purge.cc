#include "cmd/ashlar/purge.h"

#include <filesystem>
#include <iostream>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cmd/ashlar/mount_commands.h"
#include "cmd/ashlar/standalone_app.h"
#include "lib/base/json.h"
#include "lib/base/status_macros.h"
#include "lib/kube/connection.h"
#include "lib/kube/http_client.h"

namespace ashlar::standalone {
namespace {

constexpr absl::Duration kWithin = absl::Minutes(2);
constexpr absl::Duration kPoll = absl::Milliseconds(100);

const api::KindInfo kVolume = {"ashlar.dev", "v1alpha1", "Volume", "volumes", false};
const api::KindInfo kPool = {"ashlar.dev", "v1alpha1", "Pool", "pools", false};

// Why an object that is being deleted is still there, as its conditions tell it.
std::string Describe(const Json& object) {
  std::string text = JsonString(object, {"metadata", "name"});
  const Json* conditions = FindJson(object, {"status", "conditions"});
  if (conditions == nullptr || !conditions->is_array()) return text;
  for (const Json& condition : *conditions) {
    const std::string message = JsonString(condition, {"message"});
    if (!message.empty()) absl::StrAppend(&text, " (", message, ")");
  }
  return text;
}

// Deletes every object of the kind and waits until none is left.
absl::Status DeleteAll(const CallContext& context, kube::Client& client, const api::KindInfo& kind,
                       Clock& clock) {
  ASHLAR_ASSIGN_OR_RETURN(kube::ListResult all, client.List(context, kind, {}));
  for (const Json& object : all.items) {
    const std::string name = JsonString(object, {"metadata", "name"});
    absl::Status deleted = client.Delete(context, kind, {"", name}, {});
    if (!deleted.ok() && !absl::IsNotFound(deleted)) return deleted;
    std::cout << "removing " << kind.kind << " " << name << std::endl;
  }
  while (true) {
    ASHLAR_ASSIGN_OR_RETURN(kube::ListResult left, client.List(context, kind, {}));
    if (left.items.empty()) return absl::OkStatus();
    absl::Status waited = SleepFor(clock, context, kPoll);
    if (waited.ok()) continue;
    std::string names = absl::StrJoin(left.items, ", ", [](std::string* out, const Json& object) {
      absl::StrAppend(out, Describe(object));
    });
    return absl::DeadlineExceededError(absl::StrCat("still there: ", kind.plural, " ", names));
  }
}

absl::Status TakeApart(const DataDirectory& directory, Clock& clock) {
  ASHLAR_ASSIGN_OR_RETURN(auto mounts, ListMounts(directory));
  for (const MountRecord& mount : mounts) {
    std::cout << "unmounting " << mount.path << std::endl;
    ASHLAR_RETURN_IF_ERROR(Annotate(Unmount(directory, "", mount.path, clock), mount.path));
  }
  ASHLAR_ASSIGN_OR_RETURN(kube::Connection connection,
                          kube::LoadKubeconfig(directory.kubeconfig()));
  ASHLAR_ASSIGN_OR_RETURN(auto client, kube::MakeHttpClient(connection, clock));
  CallContext context;
  context.deadline = clock.Now() + kWithin;
  ASHLAR_RETURN_IF_ERROR(DeleteAll(context, *client, kVolume, clock));
  return DeleteAll(context, *client, kPool, clock);
}

}  // namespace

absl::Status Purge(DataDirectory& directory, Clock& clock) {
  ASHLAR_RETURN_IF_ERROR(directory.CheckExists());
  ASHLAR_RETURN_IF_ERROR(directory.Lock());
  {
    StandaloneOptions options;
    options.ops_address = "";
    options.agent_ops_address = "";
    ASHLAR_ASSIGN_OR_RETURN(auto mounts, ListMounts(directory));
    for (const MountRecord& mount : mounts) {
      options.publish_roots.push_back(std::filesystem::path(mount.path).parent_path());
    }
    ASHLAR_ASSIGN_OR_RETURN(auto app, StandaloneApp::Start(directory, options, clock));
    ASHLAR_RETURN_IF_ERROR(TakeApart(directory, clock));
  }
  ASHLAR_ASSIGN_OR_RETURN(auto left, directory.RemoveAll());
  if (!left.empty()) {
    std::cout << "left in " << directory.path()
              << ", since it is not Ashlar's: " << absl::StrJoin(left, ", ") << std::endl;
  }
  return absl::OkStatus();
}

}  // namespace ashlar::standalone
