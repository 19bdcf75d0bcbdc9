#include "lib/rpc/grpc_log.h"

#include <grpc/support/log.h>

#include <mutex>

#include "lib/base/log.h"

namespace ashlar::rpc {
namespace {

void Write(gpr_log_func_args* args) {
  const LogLevel level =
      args->severity == GPR_LOG_SEVERITY_ERROR ? LogLevel::kWarning : LogLevel::kDebug;
  Log(level, "gRPC", {{"text", args->message}, {"file", args->file}, {"line", args->line}});
}

}  // namespace

void RouteGrpcLog() {
  static std::once_flag once;
  std::call_once(once, [] { gpr_set_log_function(Write); });
}

}  // namespace ashlar::rpc
