#include "lib/kube/token_source.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "lib/base/log.h"
#include "lib/kube/read_file.h"

namespace ashlar::kube {

absl::StatusOr<std::string> TokenSource::Token() {
  MutexLock lock(mu_);
  if (file_.empty() || clock_.Now() < read_again_) return token_;
  const auto text = ReadFile(file_);
  if (text.ok() && !absl::StripAsciiWhitespace(*text).empty()) {
    token_ = std::string(absl::StripAsciiWhitespace(*text));
  } else if (token_.empty()) {
    return absl::UnavailableError(text.ok() ? absl::StrCat("token file ", file_, " is empty")
                                            : std::string(text.status().message()));
  } else {
    LogWarning("token file not read, the last token stays in use", {{"file", file_}});
  }
  read_again_ = clock_.Now() + absl::Minutes(1);
  return token_;
}

bool TokenSource::Expire() {
  MutexLock lock(mu_);
  if (file_.empty()) return false;
  read_again_ = absl::InfinitePast();
  return true;
}

}  // namespace ashlar::kube
