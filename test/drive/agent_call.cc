// agent_call: one call to a node agent on its unix sockets, for tests.
//
//   agent_call SOCKET METHOD [REQUEST]   METHOD of NodeAgent or NodeMount, REQUEST and answer as
//   JSON
//
// WatchInventory prints the first inventory; AnswerOpenQuestions answers what it asks. Ends with 1
// and the status on standard error if the call fails, with 2 if it cannot be made.
#include <functional>
#include <iostream>
#include <map>

#include "absl/strings/str_cat.h"
#include "ashlar/agent/v1/node_agent.grpc.pb.h"
#include "ashlar/agent/v1/node_claims.grpc.pb.h"
#include "ashlar/agent/v1/node_mount.grpc.pb.h"
#include "google/protobuf/util/json_util.h"
#include "lib/base/status_macros.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/client_call.h"

namespace ashlar {
namespace {

namespace pb = agent::v1;
using Channel = std::shared_ptr<grpc::Channel>;
using Method = std::function<absl::StatusOr<std::string>(const Channel&, const std::string&)>;

template <class Request>
absl::StatusOr<Request> Parse(const std::string& json) {
  Request request;
  const auto parsed = google::protobuf::util::JsonStringToMessage(json, &request);
  if (!parsed.ok()) return absl::InvalidArgumentError(std::string(parsed.message()));
  return request;
}

absl::StatusOr<std::string> Print(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  std::string json;
  const auto printed = google::protobuf::util::MessageToJsonString(message, &json, options);
  if (!printed.ok()) return absl::InternalError(std::string(printed.message()));
  return json;
}

CallContext Patiently() {
  CallContext context;
  context.deadline = absl::Now() + absl::Minutes(2);
  return context;
}

template <class Service, class Stub, class Request, class Response>
Method Unary(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*)) {
  return [method](const Channel& channel, const std::string& json) -> absl::StatusOr<std::string> {
    ASHLAR_ASSIGN_OR_RETURN(const Request request, Parse<Request>(json));
    const auto stub = Service::NewStub(channel);
    ASHLAR_ASSIGN_OR_RETURN(const Response response,
                            rpc::Call(Patiently(), *stub, method, request, rpc::WhenAway::kWait));
    return Print(response);
  };
}

absl::StatusOr<std::string> FirstInventory(const Channel& channel, const std::string& json) {
  ASHLAR_ASSIGN_OR_RETURN(const auto request, Parse<pb::WatchInventoryRequest>(json));
  const auto stub = pb::NodeAgent::NewStub(channel);
  rpc::ClientCall call(Patiently(), rpc::WhenAway::kWait);
  const auto stream = stub->WatchInventory(call.get(), request);
  pb::Inventory inventory;
  if (!stream->Read(&inventory)) return rpc::FromGrpc(stream->Finish());
  call.get()->TryCancel();
  return Print(inventory);
}

// The answer to whatever the agent asks of pods now; the request is a PodAnswer without an id.
absl::StatusOr<std::string> AnswerOpenQuestions(const Channel& channel, const std::string& json) {
  ASHLAR_ASSIGN_OR_RETURN(auto answer, Parse<pb::PodAnswer>(json));
  ASHLAR_ASSIGN_OR_RETURN(const std::string first, FirstInventory(channel, "{}"));
  ASHLAR_ASSIGN_OR_RETURN(const auto inventory, Parse<pb::Inventory>(first));
  const auto stub = pb::NodeClaims::NewStub(channel);
  for (const pb::PodQuestion& question : inventory.pod_questions()) {
    answer.set_id(question.id());
    ASHLAR_RETURN_IF_ERROR(
        rpc::Call(Patiently(), *stub, &pb::NodeClaims::Stub::AnswerPodQuestion, answer).status());
  }
  return absl::StrCat(inventory.pod_questions_size(), " answered");
}

std::map<std::string, Method> Methods() {
  using Agent = pb::NodeAgent::Stub;
  using Mount = pb::NodeMount::Stub;
  return {
      {"WatchInventory", FirstInventory},
      {"AnswerOpenQuestions", AnswerOpenQuestions},
      {"EnsurePool", Unary<pb::NodeAgent>(&Agent::EnsurePool)},
      {"RemovePool", Unary<pb::NodeAgent>(&Agent::RemovePool)},
      {"EnsureVolume", Unary<pb::NodeAgent>(&Agent::EnsureVolume)},
      {"ResizeVolume", Unary<pb::NodeAgent>(&Agent::ResizeVolume)},
      {"RemoveVolume", Unary<pb::NodeAgent>(&Agent::RemoveVolume)},
      {"EnsureSnapshots", Unary<pb::NodeAgent>(&Agent::EnsureSnapshots)},
      {"RemoveSnapshot", Unary<pb::NodeAgent>(&Agent::RemoveSnapshot)},
      {"ListVolumes", Unary<pb::NodeAgent>(&Agent::ListVolumes)},
      {"StageVolume", Unary<pb::NodeMount>(&Mount::StageVolume)},
      {"UnstageVolume", Unary<pb::NodeMount>(&Mount::UnstageVolume)},
      {"PublishVolume", Unary<pb::NodeMount>(&Mount::PublishVolume)},
      {"UnpublishVolume", Unary<pb::NodeMount>(&Mount::UnpublishVolume)},
  };
}

}  // namespace
}  // namespace ashlar

int main(int argc, char** argv) {
  const auto methods = ashlar::Methods();
  const auto method = argc < 3 ? methods.end() : methods.find(argv[2]);
  if (method == methods.end()) {
    std::cerr << "usage: agent_call SOCKET METHOD [REQUEST]; methods:";
    for (const auto& [name, call] : methods) std::cerr << " " << name;
    std::cerr << "\n";
    return 2;
  }
  const auto channel = ashlar::rpc::MakeUnixChannel(std::string("unix://") + argv[1]);
  const auto answer = method->second(channel, argc > 3 ? argv[3] : "{}");
  if (!answer.ok()) {
    std::cerr << answer.status() << "\n";
    return 1;
  }
  std::cout << *answer << "\n";
  return 0;
}
