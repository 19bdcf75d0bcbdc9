// How objects are written into an answer: as they are, as rows of a Table (meta.k8s.io/v1, what
// kubectl get prints), or as their metadata alone. No state.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "lib/base/json.h"
#include "standalone/history.h"
#include "standalone/resource.h"

namespace ashlar::standalone {

enum class Form { kObject, kTable, kPartial };

// What the Accept header asks for. NotAcceptable if it takes no JSON.
absl::StatusOr<Form> FormOf(absl::string_view accept);

struct Encoding {
  Form form = Form::kObject;
  std::string include_object = "Metadata";  // of a row: None, Metadata, Object
  absl::Time now;                           // for ages
};

struct ListMeta {
  int64_t version = 0;
  std::string next;       // metadata.continue
  int64_t remaining = 0;  // metadata.remainingItemCount, if `next` is set
};

Json EncodeObject(const Resource& resource, const Json& object, const Encoding& encoding);
Json EncodeList(const Resource& resource, const std::vector<ObjectPtr>& objects,
                const ListMeta& meta, const Encoding& encoding);
// The object of a BOOKMARK event. `initial_end`: it ends the initial events.
Json EncodeBookmark(const Resource& resource, int64_t version, bool initial_end,
                    const Encoding& encoding);

// "5m", "3h20m", "2d": how kubectl shows an age.
std::string HumanDuration(absl::Duration duration);

}  // namespace ashlar::standalone
