#include "lib/base/heap.h"

#include <malloc.h>

#include <cstdio>
#include <cstdlib>
#include <latch>
#include <thread>
#include <vector>

#include "absl/strings/string_view.h"
#include "gtest/gtest.h"

namespace ashlar {
namespace {

// The arenas of malloc, by malloc's own account.
int Arenas() {
  char* text = nullptr;
  size_t size = 0;
  FILE* out = open_memstream(&text, &size);
  malloc_info(0, out);
  fclose(out);
  int count = 0;
  const absl::string_view report(text, size);
  for (size_t at = 0; (at = report.find("<heap nr=", at)) != absl::string_view::npos; ++at) ++count;
  free(text);
  return count;
}

TEST(Heap, IsOfTwoArenasHoweverManyThreadsAllocate) {
  LimitHeap();
  constexpr int kThreads = 16;
  std::latch all(kThreads);
  std::vector<std::jthread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      void* volatile block = malloc(1000);
      all.arrive_and_wait();  // each thread holds its arena until all have one
      free(block);
    });
  }
  threads.clear();
  EXPECT_LE(Arenas(), 2);
}

}  // namespace
}  // namespace ashlar
