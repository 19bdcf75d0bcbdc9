// Workers: a fixed number of threads that run what they are given, in order of arrival.
// Thread-safe.
#pragma once

#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "lib/base/mutex.h"

namespace ashlar::http {

class Workers {
 public:
  explicit Workers(int threads);
  // Finishes what runs; what has not begun is dropped.
  ~Workers();
  // False: the queue is full or the workers are stopping; `work` is dropped.
  bool Run(std::function<void()> work);
  // No new work begins after this returns.
  void Stop();

 private:
  void Loop();

  Mutex mu_;
  CondVar changed_;
  std::deque<std::function<void()>> queue_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace ashlar::http
