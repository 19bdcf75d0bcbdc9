#include "node-agent/storage/pool_medium.h"

#include "absl/strings/str_cat.h"

namespace ashlar::node_agent {

// The reason is the first line of the message.
absl::Status NotReady(absl::string_view reason, absl::string_view message) {
  return absl::FailedPreconditionError(absl::StrCat(reason, "\n", message));
}

std::string ReasonOf(const absl::Status& status) {
  const absl::string_view text = status.message();
  const size_t end = text.find('\n');
  return end == absl::string_view::npos ? "PoolFailed" : std::string(text.substr(0, end));
}

std::string MessageOf(const absl::Status& status) {
  const absl::string_view text = status.message();
  const size_t end = text.find('\n');
  return std::string(end == absl::string_view::npos ? text : text.substr(end + 1));
}

}  // namespace ashlar::node_agent
