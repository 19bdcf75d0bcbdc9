// The URLs of the Kubernetes API. No state.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "lib/api/kind_info.h"

namespace ashlar::kube {

// /api/v1 or /apis/GROUP/VERSION, where the server tells what it has of it.
std::string VersionPath(const api::KindInfo& kind);

// /api/v1/namespaces/NS/pods or /apis/GROUP/VERSION/PLURAL; an empty namespace means all.
std::string CollectionPath(const api::KindInfo& kind, absl::string_view space);

// CollectionPath plus the object's name.
std::string ObjectPath(const api::KindInfo& kind, const api::ObjectKey& key);

// path?a=b&c=d, percent-encoded, without the pairs whose value is empty.
std::string WithQuery(std::string path,
                      const std::vector<std::pair<std::string, std::string>>& query);

}  // namespace ashlar::kube
