// Any CreateVolumeRequest, as text or in wire format: what is accepted is a volume that can be
// made, what is refused has a code of the specification, and no secret reaches the log.
#include "csi/request_validation.h"
#include "google/protobuf/io/tokenizer.h"
#include "google/protobuf/text_format.h"
#include "lib/rpc/redact.h"
#include "test/fuzz/fuzz_target.h"

namespace {

using ashlar::fuzz::Require;

class Quiet final : public google::protobuf::io::ErrorCollector {
  void AddError(int, int, const std::string&) override {}
};

bool Read(const std::string& bytes, csi::v1::CreateVolumeRequest& request) {
  Quiet quiet;
  google::protobuf::TextFormat::Parser parser;
  parser.RecordErrorsTo(&quiet);
  return parser.ParseFromString(bytes, &request) || request.ParseFromString(bytes);
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using ashlar::csi_driver::CheckFieldSizes;
  using ashlar::csi_driver::ReadCreateVolume;
  using ashlar::csi_driver::VolumeIdFor;
  csi::v1::CreateVolumeRequest request;
  if (!Read(std::string(reinterpret_cast<const char*>(data), size), request)) return 0;
  const absl::Status sizes = CheckFieldSizes(request);
  Require(sizes.ok() || absl::IsInvalidArgument(sizes), "a field that is too long is invalid");
  const auto plan = ReadCreateVolume(request);
  if (plan.ok()) {
    Require(plan->size.Holds(plan->size.bytes), "the size lies in the range");
    Require(plan->size.bytes % (1 << 20) == 0, "the size is a multiple of 1 MiB");
    Require(VolumeIdFor(plan->volume_id) == plan->volume_id, "the id can name an object");
    Require(plan->access.block == plan->fs_type.empty(), "a filesystem volume has a filesystem");
  } else {
    Require(absl::IsInvalidArgument(plan.status()) || absl::IsOutOfRange(plan.status()),
            "a refusal has a code of the specification");
  }
  request.clear_name();
  request.clear_parameters();
  (*request.mutable_secrets())["token"] = "a-secret-that-nobody-may-see";
  Require(ashlar::rpc::Redact(request).find("nobody-may-see") == std::string::npos,
          "secrets are not logged");
  return 0;
}
