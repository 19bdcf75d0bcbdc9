#include "lib/rpc/call_runner.h"

#include <random>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "google/protobuf/descriptor.h"
#include "lib/base/log.h"
#include "lib/rpc/client_call.h"
#include "lib/rpc/redact.h"

namespace ashlar::rpc {
namespace {

constexpr size_t kMaxRequestIdBytes = 64;

// An id of the caller is written into log lines, so it may only be a short word.
std::string RequestId(const grpc::CallbackServerContext& context) {
  const auto& metadata = context.client_metadata();
  const auto found = metadata.find(kRequestIdMetadata);
  if (found == metadata.end()) return NewRequestId();
  const std::string id(found->second.data(), found->second.size());
  if (id.empty() || id.size() > kMaxRequestIdBytes) return NewRequestId();
  for (const char c : id) {
    if (!absl::ascii_isalnum(c) && c != '-' && c != '_' && c != '.') return NewRequestId();
  }
  return id;
}

absl::Time Deadline(const grpc::CallbackServerContext& context) {
  const auto deadline = context.deadline();
  if (deadline == std::chrono::system_clock::time_point::max()) return absl::InfiniteFuture();
  return absl::FromChrono(deadline);
}

// gRPC does not tell a method its name. In every proto that is served a request type belongs to one
// method.
std::string MethodName(const google::protobuf::Descriptor& request) {
  const google::protobuf::FileDescriptor& file = *request.file();
  for (int s = 0; s < file.service_count(); ++s) {
    for (int m = 0; m < file.service(s)->method_count(); ++m) {
      const google::protobuf::MethodDescriptor& method = *file.service(s)->method(m);
      if (method.input_type() == &request) {
        return absl::StrCat(file.service(s)->name(), "/", method.name());
      }
    }
  }
  return request.name();
}

constexpr char kCallsName[] = "ashlar_rpc_calls_total";
constexpr char kCallsHelp[] = "Calls answered, by method and status code.";
constexpr char kDurationName[] = "ashlar_rpc_duration_seconds";
constexpr char kDurationHelp[] = "Time from the arrival of a call to its answer.";

// Probes and the reading of facts come all the time and change nothing.
bool IsRoutine(absl::string_view method) {
  return absl::StrContains(method, "/Get") || absl::StrContains(method, "/List") ||
         absl::StrContains(method, "/Probe") || absl::StrContains(method, "Capabilities");
}

LogLevel LevelOf(const absl::Status& status, absl::string_view method) {
  if (status.code() == absl::StatusCode::kInternal) return LogLevel::kError;
  if (!status.ok() && !absl::IsCancelled(status)) return LogLevel::kWarning;
  return IsRoutine(method) ? LogLevel::kDebug : LogLevel::kInfo;
}

}  // namespace

CallRunner::CallRunner(Options options, Clock& clock, metrics::Registry& registry)
    : clock_(clock), registry_(registry), pool_(options.max_calls) {
  for (const std::string& name : options.services) {
    const auto* service =
        google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(name);
    for (int i = 0; service != nullptr && i < service->method_count(); ++i) {
      const std::string method = absl::StrCat(service->name(), "/", service->method(i)->name());
      registry_.GetCounter(kCallsName, kCallsHelp, {{"method", method}, {"code", "OK"}});
      registry_.GetHistogram(kDurationName, kDurationHelp, {{"method", method}});
    }
  }
}

void CallRunner::Start(const grpc::CallbackServerContext& context,
                       const google::protobuf::Message& request, const std::stop_source& stop,
                       Finish finish, Work work) {
  const std::string method = MethodName(*request.GetDescriptor());
  const CallContext call{Deadline(context), stop.get_token(), RequestId(context)};
  const absl::Time start = clock_.Now();
  const bool taken = pool_.TryRun([=, this, &request] {
    const absl::Status status = work(call);
    Record(method, request, call, start, status);
    finish(status);  // last: the request is gone after it
  });
  if (taken) return;
  const absl::Status busy = absl::UnavailableError("too many calls at a time; repeat later");
  Record(method, request, call, start, busy);
  finish(busy);
}

void CallRunner::Record(const std::string& method, const google::protobuf::Message& request,
                        const CallContext& context, absl::Time start, const absl::Status& status) {
  const absl::Duration took = clock_.Now() - start;
  const std::string code = absl::StatusCodeToString(status.code());
  registry_.GetCounter(kCallsName, kCallsHelp, {{"method", method}, {"code", code}}).Increment();
  registry_.GetHistogram(kDurationName, kDurationHelp, {{"method", method}}).Observe(took);
  const LogLevel level = LevelOf(status, method);
  if (!LogEnabled(level)) return;
  Log(level, "call",
      {{"method", method},
       {"request", context.request_id},
       {"code", code},
       {"error", std::string(status.message())},
       {"seconds", absl::ToDoubleSeconds(took)},
       {"arguments", Redact(request)}});
}

std::string NewRequestId() {
  thread_local std::mt19937_64 random{std::random_device{}()};
  return absl::StrFormat("%016x", random());
}

CallContext NewCallContext(absl::Time deadline, std::stop_token stop) {
  return CallContext{deadline, std::move(stop), NewRequestId()};
}

}  // namespace ashlar::rpc
