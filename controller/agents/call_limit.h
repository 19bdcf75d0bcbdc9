// CallLimit: how many calls to the agent of one node may be under way at once, so that an agent
// that hangs holds some workers and not all of them. Thread-safe.
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "lib/base/mutex.h"

namespace ashlar::controller {

class CallLimit {
 public:
  // `wake` is told, without a lock, who may try again; it must not block.
  CallLimit(int calls_per_node, std::function<void(const std::string& caller)> wake)
      : calls_per_node_(calls_per_node), wake_(std::move(wake)) {}

  // A call that is under way, while it lives. Its end wakes the caller that waits longest.
  class Slot {
   public:
    Slot(CallLimit& limit, std::string node) : limit_(&limit), node_(std::move(node)) {}
    Slot(Slot&& other) noexcept
        : limit_(std::exchange(other.limit_, nullptr)), node_(std::move(other.node_)) {}
    Slot& operator=(Slot&&) = delete;
    ~Slot();

   private:
    CallLimit* limit_;
    std::string node_;
  };

  // Nothing if the node has all its calls: `caller` is woken when one ends. A caller that is woken
  // and does not call keeps the others waiting, so each must also try again by itself.
  std::optional<Slot> TryTake(const std::string& node, const std::string& caller);

 private:
  struct Node {
    int calls = 0;
    std::deque<std::string> waiting;
  };
  void Release(const std::string& node);

  const int calls_per_node_;
  const std::function<void(const std::string& caller)> wake_;
  Mutex mu_;
  absl::flat_hash_map<std::string, Node> nodes_ ABSL_GUARDED_BY(mu_);
};

}  // namespace ashlar::controller
