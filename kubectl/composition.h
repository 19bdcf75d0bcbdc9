// `kubectl ashlar compose`, `free` and `explain`: Compositions made, given back and put into words.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ashlar/v1alpha1/composition.pb.h"
#include "lib/base/call_context.h"
#include "lib/kube/client.h"

namespace ashlar::kubectl {

// A Composition of members that are all alike.
struct ComposeRequest {
  api::ObjectKey key;
  std::string class_name;
  int replicas = 1;
  int gpus = 0;
  std::string profile;  // of parts of GPUs; empty: whole ones
  std::string volume;   // size of a volume for each; empty: none
  std::string pool;     // of the volume; empty: what the class says
  std::string near;     // Switch, Root or NUMANode; empty: anywhere on the node
  bool preferred = false;
  int64_t ttl_seconds = 0;  // 0: what the class says
};

// What was made, in a line. InvalidArgument: the size is none; or as the API says.
absl::StatusOr<std::string> Compose(const CallContext& context, kube::Client& client,
                                    const ComposeRequest& request);

// Deletes them, in a line each. Ends at the first that cannot be, with the error.
absl::StatusOr<std::string> Free(const CallContext& context, kube::Client& client,
                                 const std::string& space, const std::vector<std::string>& names);

// How it is, what its members have, or what is in the way and what would fit.
absl::StatusOr<std::string> Explain(const CallContext& context, kube::Client& client,
                                    const api::ObjectKey& key);

// The words of Explain. Lines end with a newline.
std::string Describe(const v1alpha1::Composition& composition);

}  // namespace ashlar::kubectl
