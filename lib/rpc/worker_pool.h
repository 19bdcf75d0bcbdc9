// WorkerPool: threads for blocking work, made when they are needed and never more than a given
// number. Thread-safe.
#pragma once

#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "lib/base/mutex.h"

namespace ashlar {

class WorkerPool {
 public:
  explicit WorkerPool(int max_threads) : max_threads_(max_threads) {}
  ~WorkerPool();  // waits until every task has returned

  // Runs `task` on a thread of the pool, soon. False, and nothing runs, while every thread is busy
  // and there may be no more.
  bool TryRun(std::function<void()> task);

 private:
  void Work();

  const size_t max_threads_;
  Mutex mu_;
  CondVar changed_;
  std::deque<std::function<void()>> queue_ ABSL_GUARDED_BY(mu_);
  size_t idle_ ABSL_GUARDED_BY(mu_) = 0;
  bool ending_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::jthread> threads_ ABSL_GUARDED_BY(mu_);
};

}  // namespace ashlar
