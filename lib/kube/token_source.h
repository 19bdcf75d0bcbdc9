// TokenSource: the bearer token of the moment. A token file is read again once a minute, because
// the kubelet replaces a pod's token before it expires. Thread-safe.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"

namespace ashlar::kube {

class TokenSource {
 public:
  // `file` wins over `token`; both empty: there is no token.
  TokenSource(std::string token, std::string file, Clock& clock)
      : file_(std::move(file)), clock_(clock), token_(std::move(token)) {}

  // Empty: none is to be shown. A file that cannot be read leaves the last token in use;
  // Unavailable if there is none.
  absl::StatusOr<std::string> Token();

  // Reads the file at the next call: the server has refused the token. False: it would not help.
  bool Expire();

 private:
  const std::string file_;
  Clock& clock_;
  Mutex mu_;
  std::string token_ ABSL_GUARDED_BY(mu_);
  absl::Time read_again_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();
};

}  // namespace ashlar::kube
