#include "node-agent/claims/cdi_directory.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "lib/base/json.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/system/files.h"

namespace ashlar::node_agent {
namespace {

constexpr char kVersion[] = "0.5.0";
constexpr char kClass[] = "claim";

std::string KindOf(const std::string& driver) { return absl::StrCat(driver, "/", kClass); }

std::string PrefixOf(const std::string& driver) { return absl::StrCat(driver, "-", kClass, "_"); }

Json EditsOf(const CdiDevice& device) {
  Json edits = Json::object();
  if (!device.env.empty()) edits["env"] = device.env;
  for (const CdiNode& node : device.nodes) {
    Json json{{"path", node.path}, {"permissions", node.read_only ? "r" : "rw"}};
    if (!node.host_path.empty() && node.host_path != node.path) json["hostPath"] = node.host_path;
    edits["deviceNodes"].push_back(std::move(json));
  }
  // What is mounted below it later on the node is seen inside; nothing from inside gets out.
  for (const CdiMount& mount : device.mounts)
    edits["mounts"].push_back({{"hostPath", mount.host_path},
                               {"containerPath", mount.container_path},
                               {"options", {"rbind", "rslave", mount.read_only ? "ro" : "rw"}}});
  return edits;
}

}  // namespace

std::string CdiDirectory::IdOf(const std::string& driver, const std::string& name) {
  return absl::StrCat(KindOf(driver), "=", name);
}

std::string CdiDirectory::PathOf(const std::string& driver, const std::string& uid) const {
  return absl::StrCat(directory_, "/", PrefixOf(driver), uid, ".json");
}

absl::Status CdiDirectory::Write(const std::string& driver, const std::string& uid,
                                 const std::vector<CdiDevice>& devices) {
  Json json{{"cdiVersion", kVersion}, {"kind", KindOf(driver)}, {"devices", Json::array()}};
  for (const CdiDevice& device : devices)
    json["devices"].push_back({{"name", device.name}, {"containerEdits", EditsOf(device)}});
  ASHLAR_RETURN_IF_ERROR(sys::EnsureDirectory(directory_));
  return sys::ReplaceFileDurably(PathOf(driver, uid), DumpJson(json) + "\n");
}

absl::Status CdiDirectory::Remove(const std::string& driver, const std::string& uid) {
  return sys::RemoveFile(PathOf(driver, uid), sys::Durability::kProcessCrash);
}

absl::Status CdiDirectory::Sweep(const std::vector<std::string>& drivers,
                                 const std::set<std::pair<std::string, std::string>>& keep) {
  if (!sys::Exists(directory_)) return absl::OkStatus();
  std::set<std::string> kept;
  for (const auto& [driver, uid] : keep) kept.insert(PathOf(driver, uid));
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<std::string> names, sys::ListDirectory(directory_));
  for (const std::string& name : names) {
    const std::string path = absl::StrCat(directory_, "/", name);
    for (const std::string& driver : drivers) {
      if (!absl::StartsWith(name, PrefixOf(driver)) || kept.count(path) > 0) continue;
      LogInfo("removing the CDI file of a claim that is gone", {{"file", path}});
      ASHLAR_RETURN_IF_ERROR(sys::RemoveFile(path, sys::Durability::kProcessCrash));
    }
  }
  return absl::OkStatus();
}

}  // namespace ashlar::node_agent
