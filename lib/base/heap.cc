#include "lib/base/heap.h"

#include <malloc.h>

namespace ashlar {

void LimitHeap() { mallopt(M_ARENA_MAX, 2); }

}  // namespace ashlar
