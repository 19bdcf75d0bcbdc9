#include "lib/rpc/worker_pool.h"

#include <utility>

namespace ashlar {

WorkerPool::~WorkerPool() {
  std::vector<std::jthread> threads;
  {
    MutexLock lock(mu_);
    ending_ = true;
    changed_.NotifyAll();
    threads.swap(threads_);
  }
  threads.clear();  // joins
}

bool WorkerPool::TryRun(std::function<void()> task) {
  MutexLock lock(mu_);
  // A task in the queue has an idle thread of its own that is about to take it.
  const bool needs_thread = idle_ <= queue_.size();
  if (ending_ || (needs_thread && threads_.size() >= max_threads_)) return false;
  queue_.push_back(std::move(task));
  if (needs_thread) {
    ++idle_;
    threads_.emplace_back([this] { Work(); });
  } else {
    changed_.NotifyOne();
  }
  return true;
}

void WorkerPool::Work() {
  for (;;) {
    std::function<void()> task;
    {
      MutexLock lock(mu_);
      while (queue_.empty() && !ending_) changed_.Wait(mu_);
      if (queue_.empty()) return;
      task = std::move(queue_.front());
      queue_.pop_front();
      --idle_;
    }
    task();
    task = nullptr;  // what it holds is released before the thread counts as idle
    MutexLock lock(mu_);
    ++idle_;
  }
}

}  // namespace ashlar
