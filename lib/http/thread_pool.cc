#include "lib/http/thread_pool.h"

#include <exception>
#include <utility>

#include "pplx/threadpool.h"

namespace ashlar::http {
namespace {

// These threads only move bytes: whatever blocks runs on threads of its own.
constexpr int kThreads = 6;

bool Initialize() {
  try {
    crossplat::threadpool::initialize_with_threads(kThreads);
    return true;
  } catch (const std::exception&) {  // something else has used the pool already
    return false;
  }
}

}  // namespace

void BoundThreadPool() { [[maybe_unused]] static const bool done = Initialize(); }

}  // namespace ashlar::http
