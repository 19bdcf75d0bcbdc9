#include "lib/http/workers.h"

#include <algorithm>
#include <utility>

namespace ashlar::http {
namespace {
constexpr size_t kMaxQueue = 1024;
}  // namespace

Workers::Workers(int threads) {
  for (int i = 0; i < std::max(1, threads); ++i) threads_.emplace_back([this] { Loop(); });
}

Workers::~Workers() {
  Stop();
  for (std::thread& thread : threads_) thread.join();
}

bool Workers::Run(std::function<void()> work) {
  MutexLock lock(mu_);
  if (stopping_ || queue_.size() >= kMaxQueue) return false;
  queue_.push_back(std::move(work));
  changed_.NotifyOne();
  return true;
}

void Workers::Stop() {
  std::deque<std::function<void()>> dropped;  // destroyed without the lock
  MutexLock lock(mu_);
  stopping_ = true;
  dropped.swap(queue_);
  changed_.NotifyAll();
}

void Workers::Loop() {
  while (true) {
    std::function<void()> work;
    {
      MutexLock lock(mu_);
      while (!stopping_ && queue_.empty()) changed_.Wait(mu_);
      if (stopping_) return;
      work = std::move(queue_.front());
      queue_.pop_front();
    }
    work();
  }
}

}  // namespace ashlar::http
