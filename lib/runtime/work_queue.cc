#include "lib/runtime/work_queue.h"

namespace ashlar::runtime {

void WorkQueue::Enqueue(const api::ObjectKey& key) {
  DropDueTime(key);
  if (!dirty_.insert(key).second) return;
  if (running_.contains(key)) return;  // Done puts it into ready_
  ready_.push_back(key);
  changed_.NotifyOne();
}

void WorkQueue::DropDueTime(const api::ObjectKey& key) {
  auto it = due_.find(key);
  if (it == due_.end()) return;
  by_time_.erase({it->second, key});
  due_.erase(it);
}

void WorkQueue::TakeInDueKeys() {
  if (by_time_.empty()) return;
  const absl::Time now = clock_.Now();
  while (!by_time_.empty() && by_time_.begin()->first <= now) {
    Enqueue(api::ObjectKey(by_time_.begin()->second));
  }
}

void WorkQueue::Add(const api::ObjectKey& key) {
  MutexLock lock(mu_);
  if (!shut_down_) Enqueue(key);
}

void WorkQueue::AddAfter(const api::ObjectKey& key, absl::Duration delay) {
  MutexLock lock(mu_);
  AddAfterLocked(key, delay);
}

void WorkQueue::AddAfterLocked(const api::ObjectKey& key, absl::Duration delay) {
  if (shut_down_) return;
  if (delay <= absl::ZeroDuration()) return Enqueue(key);
  if (dirty_.contains(key)) return;  // it is due already
  const absl::Time due = clock_.Now() + delay;
  auto it = due_.find(key);
  if (it != due_.end() && it->second <= due) return;
  DropDueTime(key);
  due_[key] = due;
  by_time_.insert({due, key});
  // Every waiter must learn of an earlier due time, since the one that is woken may be busy then.
  if (by_time_.begin()->second == key) changed_.NotifyAll();
}

void WorkQueue::AddRateLimited(const api::ObjectKey& key) {
  MutexLock lock(mu_);
  AddAfterLocked(key, backoff_.Delay(++failures_[key]));
}

void WorkQueue::Forget(const api::ObjectKey& key) {
  MutexLock lock(mu_);
  failures_.erase(key);
}

int WorkQueue::Failures(const api::ObjectKey& key) const {
  MutexLock lock(mu_);
  auto it = failures_.find(key);
  return it == failures_.end() ? 0 : it->second;
}

std::optional<api::ObjectKey> WorkQueue::Get() {
  MutexLock lock(mu_);
  for (;;) {
    TakeInDueKeys();
    if (!ready_.empty()) break;
    if (shut_down_) return std::nullopt;
    clock_.WaitUntil(changed_, mu_,
                     by_time_.empty() ? absl::InfiniteFuture() : by_time_.begin()->first);
  }
  api::ObjectKey key = std::move(ready_.front());
  ready_.pop_front();
  dirty_.erase(key);
  running_.insert(key);
  return key;
}

void WorkQueue::Done(const api::ObjectKey& key) {
  MutexLock lock(mu_);
  if (running_.erase(key) == 0) return;
  if (dirty_.contains(key)) {
    ready_.push_back(key);
    changed_.NotifyOne();
  }
  if (shut_down_) changed_.NotifyAll();
}

void WorkQueue::ShutDown() {
  MutexLock lock(mu_);
  shut_down_ = true;
  by_time_.clear();
  due_.clear();
  changed_.NotifyAll();
}

void WorkQueue::ShutDownAndDrain() {
  ShutDown();
  MutexLock lock(mu_);
  while (!ready_.empty() || !running_.empty()) {
    clock_.WaitUntil(changed_, mu_, absl::InfiniteFuture());
  }
}

int WorkQueue::depth() const {
  MutexLock lock(mu_);
  return static_cast<int>(ready_.size());
}

}  // namespace ashlar::runtime
