// What the query, headers and body of a request say about how it is to be done. No state.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/json.h"
#include "lib/http/client.h"
#include "standalone/api_path.h"
#include "standalone/objects.h"
#include "standalone/selector.h"

namespace ashlar::standalone {

// "" if the header is absent. `name` in lower case.
std::string Header(const http::Request& request, const std::string& name);

// The body as JSON; YAML if the content type says so. UnsupportedMediaType for anything else.
absl::StatusOr<Json> Body(const http::Request& request);

// fieldManager (or the first word of the user agent), dryRun, fieldValidation, force.
absl::StatusOr<WriteOptions> WriteOptionsOf(const http::Request& request, const ApiPath& path);

// From the body (metav1.DeleteOptions) and the query.
absl::StatusOr<RemoveOptions> RemoveOptionsOf(const http::Request& request, const ApiPath& path);

absl::StatusOr<PatchType> PatchTypeOf(const http::Request& request, const Resource& resource);

struct Selection {
  LabelSelector labels;
  FieldSelector fields;
};
absl::StatusOr<Selection> SelectionOf(const ApiPath& path, const Resource& resource);

// A page of a list: how many objects, and after which one.
struct PageRequest {
  size_t limit = 0;  // 0: all
  api::ObjectKey after;
  int64_t version = 0;  // of the first page; 0: this is the first
};
absl::StatusOr<PageRequest> PageRequestOf(const ApiPath& path);
std::string ContinueToken(const api::ObjectKey& after, int64_t version);

}  // namespace ashlar::standalone
