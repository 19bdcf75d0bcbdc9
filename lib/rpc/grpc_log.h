// What gRPC itself has to say goes into our log, in its form. Thread-safe.
#pragma once

namespace ashlar::rpc {

// Servers and channels call it; more calls change nothing. gRPC's errors become warnings: they are
// about connections that come and go, and a call that fails says so itself.
void RouteGrpcLog();

}  // namespace ashlar::rpc
