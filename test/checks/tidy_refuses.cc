// Is wrong on purpose, and part of no program: tidy.py fails if this file passes.
#include <string>
#include <utility>

#include "lib/base/mutex.h"

namespace ashlar {

class Counter {
 public:
  int WithoutItsLock() const { return count_; }

 private:
  mutable Mutex mu_;
  int count_ ABSL_GUARDED_BY(mu_) = 0;
};

std::string UsedAfterMove(std::string text) {
  std::string taken = std::move(text);
  return taken + text;
}

}  // namespace ashlar
