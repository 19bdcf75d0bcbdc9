// The threads of cpprestsdk, which clients and servers of a process share. Thread-safe.
#pragma once

namespace ashlar::http {

// Gives cpprestsdk a fixed, small number of threads instead of its own 40. To be called before the
// first client or server is made; later calls do nothing.
void BoundThreadPool();

}  // namespace ashlar::http
