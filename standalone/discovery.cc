#include "standalone/discovery.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace ashlar::standalone {
namespace {

// The release of Kubernetes whose API this server follows: kubectl compares its own with it.
constexpr char kMajor[] = "1";
constexpr char kMinor[] = "36";
constexpr char kGitVersion[] = "v1.36.3+ashlar";

const Json kVerbs = {"create", "delete", "deletecollection", "get",
                     "list",   "patch",  "update",           "watch"};

Json ResourceList(const Registry& registry, const std::string& group, const std::string& version) {
  Json resources = Json::array();
  for (const ResourcePtr& resource : registry.All()) {
    if (resource->info.group != group || resource->info.version != version) continue;
    Json entry = {{"name", resource->info.plural},
                  {"singularName", resource->singular},
                  {"namespaced", resource->info.namespaced},
                  {"kind", resource->info.kind},
                  {"verbs", kVerbs}};
    if (!resource->short_names.empty()) entry["shortNames"] = resource->short_names;
    if (!resource->categories.empty()) entry["categories"] = resource->categories;
    resources.push_back(std::move(entry));
    if (!resource->has_status) continue;
    resources.push_back({{"name", resource->info.plural + "/status"},
                         {"singularName", ""},
                         {"namespaced", resource->info.namespaced},
                         {"kind", resource->info.kind},
                         {"verbs", {"get", "patch", "update"}}});
  }
  return {{"kind", "APIResourceList"},
          {"apiVersion", "v1"},
          {"groupVersion", group.empty() ? version : absl::StrCat(group, "/", version)},
          {"resources", std::move(resources)}};
}

std::map<std::string, std::vector<std::string>> Groups(const Registry& registry) {
  std::map<std::string, std::vector<std::string>> groups;
  for (const ResourcePtr& resource : registry.All()) {
    std::vector<std::string>& versions = groups[resource->info.group];
    if (versions.empty() || versions.back() != resource->info.version) {
      if (std::find(versions.begin(), versions.end(), resource->info.version) == versions.end()) {
        versions.push_back(resource->info.version);
      }
    }
  }
  return groups;
}

Json Group(const std::string& group, const std::vector<std::string>& versions) {
  Json list = Json::array();
  for (const std::string& version : versions) {
    list.push_back({{"groupVersion", absl::StrCat(group, "/", version)}, {"version", version}});
  }
  Json preferred = list[0];
  return {{"name", group}, {"versions", std::move(list)}, {"preferredVersion", preferred}};
}

Json GroupList(const Registry& registry) {
  Json list = Json::array();
  for (const auto& [group, versions] : Groups(registry)) {
    if (!group.empty()) list.push_back(Group(group, versions));
  }
  return {{"kind", "APIGroupList"}, {"apiVersion", "v1"}, {"groups", std::move(list)}};
}

Json Version() {
  return {{"major", kMajor},        {"minor", kMinor},    {"gitVersion", kGitVersion},
          {"gitCommit", "unknown"}, {"gitTreeState", ""}, {"buildDate", "1970-01-01T00:00:00Z"},
          {"goVersion", "none"},    {"compiler", "g++"},  {"platform", "linux/amd64"}};
}

}  // namespace

std::optional<Json> DiscoveryDocument(const Registry& registry, const std::string& path) {
  const std::vector<std::string> parts = absl::StrSplit(path, '/', absl::SkipEmpty());
  if (parts.size() == 1 && parts[0] == "version") return Version();
  if (parts.size() == 1 && parts[0] == "api") {
    return Json{{"kind", "APIVersions"},
                {"versions", {"v1"}},
                {"serverAddressByClientCIDRs", Json::array()}};
  }
  if (parts.size() == 2 && parts[0] == "api" && parts[1] == "v1") {
    return ResourceList(registry, "", "v1");
  }
  if (parts.empty() || parts[0] != "apis") return std::nullopt;
  if (parts.size() == 1) return GroupList(registry);
  const auto groups = Groups(registry);
  auto group = groups.find(parts[1]);
  if (group == groups.end() || parts[1].empty()) return std::nullopt;
  if (parts.size() == 2) {
    Json document = Group(group->first, group->second);
    document["kind"] = "APIGroup";
    document["apiVersion"] = "v1";
    return document;
  }
  if (parts.size() != 3 ||
      std::find(group->second.begin(), group->second.end(), parts[2]) == group->second.end()) {
    return std::nullopt;
  }
  return ResourceList(registry, parts[1], parts[2]);
}

}  // namespace ashlar::standalone
