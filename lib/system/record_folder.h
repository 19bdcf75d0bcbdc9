// RecordFolder: small records, each a line of JSON in a file of its own, <directory>/<stem>.json.
// They say what a process was doing when it died. Thread-safe for different stems.
//
// Records need no fsync where a power cut voids what they tell of (mounts, loop devices, parts of
// GPUs, steps under way). A record is the first line of its file and is overwritten in place, a
// page in one step, so a killed process leaves the old or the new one; one that does not fit into a
// page replaces the file. On a root filesystem with a slow sync this saves more than a second for
// every volume that comes and goes.
#pragma once

#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "lib/base/json.h"

namespace ashlar::sys {

class RecordFolder {
 public:
  explicit RecordFolder(std::string directory) : directory_(std::move(directory)) {}

  // When it returns, the record outlives the death of the process at any instruction. The stem is
  // the name of a file.
  absl::Status Save(absl::string_view stem, const Json& record);
  // OK if there is none.
  absl::Status Remove(absl::string_view stem);
  // Calls `read` for each record, in no order. Makes the directory if it is absent, and removes
  // what a process that died left empty. What cannot be read, or what `read` refuses, is logged
  // and left out.
  using Read = absl::FunctionRef<absl::Status(const std::string& stem, const Json& record)>;
  absl::Status Load(Read read);

 private:
  std::string PathOf(absl::string_view stem) const;
  const std::string directory_;
};

}  // namespace ashlar::sys
