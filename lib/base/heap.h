// What the process's heap may keep. Thread-safe.
#pragma once

namespace ashlar {

// Lets malloc spread over two arenas at most, instead of eight for each processor: each arena keeps
// what was freed in it, and a process with many threads that mostly wait would keep several times
// what it uses. To be called first in main, before there are other threads.
void LimitHeap();

}  // namespace ashlar
