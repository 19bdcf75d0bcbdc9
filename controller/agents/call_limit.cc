#include "controller/agents/call_limit.h"

#include <algorithm>

namespace ashlar::controller {

CallLimit::Slot::~Slot() {
  if (limit_ != nullptr) limit_->Release(node_);
}

std::optional<CallLimit::Slot> CallLimit::TryTake(const std::string& name,
                                                  const std::string& caller) {
  MutexLock lock(mu_);
  Node& node = nodes_[name];
  const auto it = std::find(node.waiting.begin(), node.waiting.end(), caller);
  if (node.calls >= calls_per_node_) {
    if (it == node.waiting.end()) node.waiting.push_back(caller);
    return std::nullopt;
  }
  if (it != node.waiting.end()) node.waiting.erase(it);
  ++node.calls;
  return std::optional<Slot>(std::in_place, *this, name);
}

void CallLimit::Release(const std::string& name) {
  std::string next;
  {
    MutexLock lock(mu_);
    const auto it = nodes_.find(name);
    --it->second.calls;
    if (!it->second.waiting.empty()) {
      next = std::move(it->second.waiting.front());
      it->second.waiting.pop_front();
    } else if (it->second.calls == 0) {
      nodes_.erase(it);
    }
  }
  if (!next.empty()) wake_(next);
}

}  // namespace ashlar::controller
