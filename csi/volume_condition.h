// VolumeCondition: the health of a volume as CSI said it up to v1.12. Version 1.13 has health calls
// of their own instead (csi/volume_health.h) and keeps the old fields and values reserved; callers
// of today, the kubelet among them, still read them. Pure.
#pragma once

#include <string>

#include "csi.pb.h"

namespace ashlar::csi_driver {

// The capability VOLUME_CONDITION of v1.12.
inline constexpr auto kControllerVolumeCondition =
    static_cast<csi::v1::ControllerServiceCapability::RPC::Type>(11);
inline constexpr auto kNodeVolumeCondition =
    static_cast<csi::v1::NodeServiceCapability::RPC::Type>(4);

struct VolumeCondition {
  bool abnormal = false;
  std::string message;
};

// Writes field 2, which all three messages that ever had a VolumeCondition keep reserved for it:
// the statuses of ListVolumes and of ControllerGetVolume, and the answer of NodeGetVolumeStats.
void SetVolumeCondition(const VolumeCondition& condition, google::protobuf::Message& message);

// What is written there; none: not abnormal, without a message.
VolumeCondition GetVolumeCondition(const google::protobuf::Message& message);

}  // namespace ashlar::csi_driver
