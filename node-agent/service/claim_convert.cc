#include "node-agent/service/claim_convert.h"

#include "absl/strings/str_cat.h"

namespace ashlar::node_agent {

namespace pb = agent::v1;

absl::StatusOr<ClaimFacts> FactsFromProto(const pb::EnsureClaimRequest& request) {
  ClaimFacts facts;
  facts.uid = request.uid();
  facts.space = request.namespace_();
  facts.name = request.name();
  for (const pb::ClaimDevice& from : request.devices()) {
    ClaimDevice device{from.driver(), from.request(),  from.pool(),
                       from.device(), from.share_id(), {}};
    switch (from.what_case()) {
      case pb::ClaimDevice::kVolume:
        device.what = ClaimVolume{from.volume().volume_id(), from.volume().path(),
                                  from.volume().read_only(), from.volume().existing()};
        break;
      case pb::ClaimDevice::kGpu:
        device.what = ClaimGpu{from.gpu().uuid()};
        break;
      case pb::ClaimDevice::kGpuPartition:
        device.what = ClaimGpuPartition{
            from.gpu_partition().gpu(),          from.gpu_partition().profile(),
            from.gpu_partition().start(),        from.gpu_partition().size(),
            from.gpu_partition().keep_seconds(), from.gpu_partition().power_watts()};
        break;
      default:
        return absl::InvalidArgumentError(absl::StrCat(
            "devices[", facts.devices.size(), "] is neither a volume nor a GPU or a part of one"));
    }
    facts.devices.push_back(std::move(device));
  }
  return facts;
}

pb::ClaimState ToProto(const ClaimStatus& status) {
  pb::ClaimState state;
  state.set_uid(status.uid);
  state.set_prepared(status.prepared);
  for (const ClaimDeviceStatus& from : status.devices) {
    pb::ClaimDeviceState& device = *state.add_devices();
    device.set_driver(from.device.driver);
    device.set_request(from.device.request);
    device.set_pool(from.device.pool);
    device.set_device(from.device.device);
    device.set_share_id(from.device.share_id);
    for (const std::string& id : from.cdi_devices) device.add_cdi_devices(id);
    device.set_problem(from.problem);
    device.set_mig_device(from.mig_device);
  }
  return state;
}

}  // namespace ashlar::node_agent
