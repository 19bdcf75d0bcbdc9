// What CSI requests say, once it is certain that it makes sense. Pure functions on the messages of
// the CSI specification v1.13; each answers InvalidArgument, or the code that the specification
// names, with the field, its value and what is accepted.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ashlar/v1alpha1/volume.pb.h"
#include "csi.pb.h"
#include "csi/mutable_parameters.h"
#include "csi/parameters.h"
#include "csi/topology.h"

namespace ashlar::csi_driver {

// The size limits of the specification, section "Size Limits": a string has at most 128 bytes, a
// map 4 KiB; paths have at most 4096 bytes, a node id 256. The whole message is looked at.
absl::Status CheckFieldSizes(const google::protobuf::Message& request);

// Whether an object of Kubernetes can have this name: a DNS-1123 subdomain.
bool IsObjectName(absl::string_view name);

// InvalidArgument: empty. NotFound: no volume can have this id, since ids are names of objects.
absl::Status CheckVolumeId(absl::string_view volume_id);

// Required and absolute, without "." and ".." as elements.
absl::Status CheckPath(absl::string_view field, absl::string_view path);

// For calls about a path where a volume may or may not be: required, and NotFound for what can't be
// the path of a volume.
absl::Status CheckVolumePath(absl::string_view path);

// How a volume is to be used.
struct Access {
  bool block = false;
  std::string fs_type;  // empty: not said, or block
  std::vector<std::string> mount_flags;
  bool read_only = false;
  bool single_writer = false;
  std::optional<uint32_t> mount_group;  // the group that shall own the filesystem
};

// A volume lies on one node: SINGLE_NODE_* modes are accepted and MULTI_NODE_* refused.
absl::StatusOr<Access> ReadAccess(const csi::v1::VolumeCapability& capability);

// All capabilities that one volume must have: not empty, all of one access type and filesystem.
absl::StatusOr<Access> ReadAccess(
    const google::protobuf::RepeatedPtrField<csi::v1::VolumeCapability>& capabilities);

// Bytes that a volume must and may have.
struct SizeRange {
  int64_t bytes = 0;  // what is made: required, rounded up to 1 MiB and to what a filesystem needs
  int64_t required_bytes = 0;
  int64_t limit_bytes = 0;  // 0: no limit

  bool Holds(int64_t size) const {
    return size >= required_bytes && (limit_bytes == 0 || size <= limit_bytes);
  }
};
// Nothing asked for is 1 GiB. OutOfRange: no size that can be made lies in the range.
absl::StatusOr<SizeRange> ReadSize(const csi::v1::CapacityRange& range, const std::string& fs_type);

// The smallest volume that can be made with this filesystem; "" is a block volume.
int64_t MinimumBytes(absl::string_view fs_type);

struct CreateVolumePlan {
  std::string volume_id;  // the name of the Volume object
  std::string name;       // the name that CSI gave
  Parameters parameters;
  Access access;
  std::string fs_type;  // empty for block, and where the pool's backend decides
  SizeRange size;
  MutableParameters attributes;
  v1alpha1::VolumeSource source;  // kind and name; empty: none
  bool size_given = false;        // required_bytes or limit_bytes
  bool fs_type_given = false;
  std::vector<TopologyTerm> requisite;  // empty: any node
  std::vector<TopologyTerm> preferred;  // best first
};
absl::StatusOr<CreateVolumePlan> ReadCreateVolume(const csi::v1::CreateVolumeRequest& request);

// `name` itself if it can be the name of a Kubernetes object (a DNS-1123 subdomain) and has at most
// 120 bytes, else v- and 32 digits of its SHA-256.
std::string VolumeIdFor(absl::string_view name);

}  // namespace ashlar::csi_driver
