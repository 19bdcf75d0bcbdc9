#include "csi/request_validation.h"

#include <openssl/sha.h>

#include <algorithm>
#include <limits>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "google/protobuf/descriptor.h"
#include "lib/base/status_macros.h"

namespace ashlar::csi_driver {
namespace {

using csi::v1::CapacityRange;
using csi::v1::VolumeCapability;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::RepeatedPtrField;

constexpr int64_t kMiB = int64_t{1} << 20;
constexpr int64_t kDefaultBytes = int64_t{1} << 30;
constexpr int64_t kMaxBytes = int64_t{1} << 60;
constexpr size_t kMaxString = 128;
constexpr size_t kMaxId = 120;  // leaves room in a next_token of ListVolumes
constexpr size_t kMaxMap = 4096;
constexpr size_t kMaxPath = 4096;

absl::Status Invalid(absl::string_view text) { return absl::InvalidArgumentError(text); }

// The fields whose description in the specification overrides the general limit.
size_t StringLimit(const FieldDescriptor& field) {
  if (absl::EndsWith(field.name(), "_path")) return kMaxPath;
  if (field.name() == "node_id") return 256;
  if (field.name() == "mount_flags") return kMaxMap;
  if (field.name() == "starting_token") return 2 * kMaxString;  // it holds an id
  return kMaxString;
}

absl::Status CheckMapSize(const Message& message, const FieldDescriptor& field) {
  const auto& reflection = *message.GetReflection();
  size_t total = 0;
  for (int i = 0; i < reflection.FieldSize(message, &field); ++i) {
    const Message& entry = reflection.GetRepeatedMessage(message, &field, i);
    total += entry.ByteSizeLong();
  }
  if (total <= kMaxMap) return absl::OkStatus();
  return Invalid(absl::StrCat(field.name(), " has ", total, " bytes; at most 4096 are accepted"));
}

// The specification limits this list as a whole.
absl::Status CheckListSize(const Message& message, const FieldDescriptor& field) {
  size_t total = 0;
  for (int i = 0; i < message.GetReflection()->FieldSize(message, &field); ++i)
    total += message.GetReflection()->GetRepeatedString(message, &field, i).size();
  if (total <= kMaxMap) return absl::OkStatus();
  return Invalid(absl::StrCat(field.name(), " has ", total, " bytes; at most 4096 are accepted"));
}

absl::Status CheckStringSize(const FieldDescriptor& field, const std::string& value) {
  const size_t limit = StringLimit(field);
  if (value.size() <= limit) return absl::OkStatus();
  return Invalid(absl::StrCat(field.name(), " has ", value.size(), " bytes; at most ", limit,
                              " are accepted"));
}

absl::Status CheckField(const Message& message, const FieldDescriptor& field) {
  const auto& reflection = *message.GetReflection();
  if (field.is_map()) return CheckMapSize(message, field);
  if (field.name() == "mount_flags") ASHLAR_RETURN_IF_ERROR(CheckListSize(message, field));
  const int count = field.is_repeated() ? reflection.FieldSize(message, &field) : 1;
  for (int i = 0; i < count; ++i) {
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      ASHLAR_RETURN_IF_ERROR(CheckFieldSizes(field.is_repeated()
                                                 ? reflection.GetRepeatedMessage(message, &field, i)
                                                 : reflection.GetMessage(message, &field)));
    } else if (field.cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
      ASHLAR_RETURN_IF_ERROR(CheckStringSize(
          field, field.is_repeated() ? reflection.GetRepeatedString(message, &field, i)
                                     : reflection.GetString(message, &field)));
    }
  }
  return absl::OkStatus();
}

absl::Status ReadAccessMode(VolumeCapability::AccessMode::Mode mode, Access& access) {
  using AccessMode = VolumeCapability::AccessMode;
  switch (mode) {
    case AccessMode::SINGLE_NODE_WRITER:
    case AccessMode::SINGLE_NODE_MULTI_WRITER:
      return absl::OkStatus();
    case AccessMode::SINGLE_NODE_READER_ONLY:
      access.read_only = true;
      return absl::OkStatus();
    case AccessMode::SINGLE_NODE_SINGLE_WRITER:
      access.single_writer = true;
      return absl::OkStatus();
    default:
      break;
  }
  // What a claim with ReadOnlyMany becomes.
  if (mode == AccessMode::MULTI_NODE_READER_ONLY) {
    return Invalid(
        "volume_capability.access_mode MULTI_NODE_READER_ONLY (ReadOnlyMany) is not possible: a "
        "volume lies on one node. Use a claim with ReadWriteOnce, and readOnly: true where pods "
        "name it (persistentVolumeClaim.readOnly): any number of pods of that node can read it");
  }
  const std::string name = AccessMode::Mode_IsValid(mode) ? AccessMode::Mode_Name(mode)
                                                          : absl::StrCat(static_cast<int>(mode));
  return Invalid(absl::StrCat(
      "volume_capability.access_mode ", name,
      " is not possible: a volume lies on one node. Accepted: SINGLE_NODE_WRITER, "
      "SINGLE_NODE_MULTI_WRITER (ReadWriteOnce), SINGLE_NODE_SINGLE_WRITER (ReadWriteOncePod), "
      "SINGLE_NODE_READER_ONLY"));
}

absl::StatusOr<std::optional<uint32_t>> ReadMountGroup(const std::string& group) {
  if (group.empty()) return std::nullopt;
  uint32_t gid = 0;
  // The highest value means "unchanged" to chown(2).
  if (!absl::c_all_of(group, absl::ascii_isdigit) || !absl::SimpleAtoi(group, &gid) ||
      gid == std::numeric_limits<uint32_t>::max()) {
    return Invalid(absl::StrCat("volume_capability.mount.volume_mount_group '", group,
                                "' is not the number of a group, 0 to 4294967294"));
  }
  return gid;
}

// The filesystem that the capabilities and the parameters agree on.
absl::StatusOr<std::string> AgreedFsType(const Access& access, const Parameters& parameters) {
  if (access.block) return std::string();
  if (!access.fs_type.empty() && !parameters.fs_type.empty() &&
      access.fs_type != parameters.fs_type) {
    return Invalid(absl::StrCat("volume_capabilities ask for filesystem ", access.fs_type,
                                ", parameters for ", parameters.fs_type));
  }
  if (!access.fs_type.empty()) return access.fs_type;
  return parameters.fs_type.empty() ? std::string("ext4") : parameters.fs_type;
}

}  // namespace

bool IsObjectName(absl::string_view name) {
  if (name.empty() || name.size() > 253) return false;
  for (const absl::string_view label : absl::StrSplit(name, '.')) {
    if (label.empty() || label.front() == '-' || label.back() == '-') return false;
    for (const char c : label) {
      if (!absl::ascii_islower(c) && !absl::ascii_isdigit(c) && c != '-') return false;
    }
  }
  return true;
}

absl::Status CheckFieldSizes(const Message& request) {
  std::vector<const FieldDescriptor*> fields;
  request.GetReflection()->ListFields(request, &fields);
  for (const FieldDescriptor* field : fields) {
    ASHLAR_RETURN_IF_ERROR(CheckField(request, *field));
  }
  return absl::OkStatus();
}

absl::Status CheckVolumeId(absl::string_view volume_id) {
  if (volume_id.empty()) return Invalid("volume_id is required");
  if (IsObjectName(volume_id)) return absl::OkStatus();
  return absl::NotFoundError(
      absl::StrCat("there is no volume '", absl::CHexEscape(volume_id), "': no id is like that"));
}

absl::Status CheckPath(absl::string_view field, absl::string_view path) {
  if (path.empty()) return Invalid(absl::StrCat(field, " is required"));
  if (path.front() != '/') return Invalid(absl::StrCat(field, " '", path, "' is not absolute"));
  if (absl::StrContains(path, absl::string_view("\0", 1))) {
    return Invalid(absl::StrCat(field, " holds a NUL byte"));
  }
  for (const absl::string_view element : absl::StrSplit(path, '/')) {
    if (element == ".." || element == ".") {
      return Invalid(absl::StrCat(field, " '", path, "' must not hold '", element, "'"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckVolumePath(absl::string_view path) {
  if (path.empty()) return Invalid("volume_path is required");
  const absl::Status possible = CheckPath("volume_path", path);
  if (possible.ok()) return possible;
  return absl::NotFoundError(absl::StrCat("no volume is there: ", possible.message()));
}

absl::StatusOr<Access> ReadAccess(const VolumeCapability& capability) {
  Access access;
  if (!capability.has_access_mode()) return Invalid("volume_capability.access_mode is required");
  ASHLAR_RETURN_IF_ERROR(ReadAccessMode(capability.access_mode().mode(), access));
  if (capability.has_block()) {
    access.block = true;
    return access;
  }
  if (!capability.has_mount()) {
    return Invalid("volume_capability.access_type is required: block or mount");
  }
  const VolumeCapability::MountVolume& mount = capability.mount();
  ASHLAR_RETURN_IF_ERROR(CheckFsType("volume_capability.mount.fs_type", mount.fs_type()));
  ASHLAR_ASSIGN_OR_RETURN(access.mount_group, ReadMountGroup(mount.volume_mount_group()));
  access.fs_type = mount.fs_type();
  access.mount_flags.assign(mount.mount_flags().begin(), mount.mount_flags().end());
  return access;
}

absl::StatusOr<Access> ReadAccess(const RepeatedPtrField<VolumeCapability>& capabilities) {
  if (capabilities.empty()) return Invalid("volume_capabilities is required");
  ASHLAR_ASSIGN_OR_RETURN(Access all, ReadAccess(capabilities[0]));
  for (const VolumeCapability& capability : capabilities) {
    ASHLAR_ASSIGN_OR_RETURN(const Access one, ReadAccess(capability));
    if (one.block != all.block) {
      return Invalid("volume_capabilities ask for block and mount; a volume is one of the two");
    }
    if (all.fs_type.empty()) all.fs_type = one.fs_type;
    if (!one.fs_type.empty() && one.fs_type != all.fs_type) {
      return Invalid(absl::StrCat("volume_capabilities ask for filesystems ", all.fs_type, " and ",
                                  one.fs_type));
    }
  }
  return all;
}

int64_t MinimumBytes(absl::string_view fs_type) {
  if (fs_type == "xfs") return 300 * kMiB;  // mkfs.xfs 6.x refuses less
  if (fs_type == "ext4") return 16 * kMiB;  // below this mke2fs leaves out the journal
  return kMiB;
}

absl::StatusOr<SizeRange> ReadSize(const CapacityRange& range, const std::string& fs_type) {
  const int64_t required = range.required_bytes();
  const int64_t limit = range.limit_bytes();
  if (required < 0 || limit < 0) {
    return Invalid(absl::StrCat("capacity_range has required_bytes ", required, " and limit_bytes ",
                                limit, "; neither may be negative"));
  }
  if (limit > 0 && required > limit) {
    return Invalid(
        absl::StrCat("capacity_range.required_bytes ", required, " is above limit_bytes ", limit));
  }
  if (required > kMaxBytes) {
    return absl::OutOfRangeError(absl::StrCat("capacity_range.required_bytes ", required,
                                              " is above the largest volume of ", kMaxBytes));
  }
  SizeRange size{.required_bytes = required, .limit_bytes = limit};
  const int64_t wanted = required > 0 ? required
                         : limit > 0  ? std::min(limit / kMiB * kMiB, kDefaultBytes)
                                      : kDefaultBytes;
  size.bytes = std::max((wanted + kMiB - 1) / kMiB * kMiB, MinimumBytes(fs_type));
  if (limit > 0 && size.bytes > limit) {
    return absl::OutOfRangeError(absl::StrCat(
        "capacity_range from ", required, " to ", limit,
        " bytes holds no size that can be made: sizes are multiples of 1 MiB and at least ",
        MinimumBytes(fs_type), fs_type.empty() ? " bytes" : " bytes for ", fs_type));
  }
  return size;
}

namespace {

absl::StatusOr<v1alpha1::VolumeSource> ReadSource(const csi::v1::CreateVolumeRequest& request) {
  v1alpha1::VolumeSource source;
  if (!request.has_volume_content_source()) return source;
  const csi::v1::VolumeContentSource& content = request.volume_content_source();
  if (content.has_snapshot()) {
    source.set_kind("Snapshot");
    source.set_name(content.snapshot().snapshot_id());
    if (source.name().empty())
      return Invalid("volume_content_source.snapshot.snapshot_id is required");
  } else if (content.has_volume()) {
    source.set_kind("Volume");
    source.set_name(content.volume().volume_id());
    if (source.name().empty()) return Invalid("volume_content_source.volume.volume_id is required");
  } else {
    return Invalid("volume_content_source has no type: a snapshot or a volume is accepted");
  }
  if (VolumeIdFor(source.name()) != source.name())
    return absl::NotFoundError("volume_content_source: there is none of that name");
  return source;
}

}  // namespace

absl::StatusOr<CreateVolumePlan> ReadCreateVolume(const csi::v1::CreateVolumeRequest& request) {
  if (request.name().empty()) return Invalid("name is required");
  CreateVolumePlan plan{.volume_id = VolumeIdFor(request.name()), .name = request.name()};
  ASHLAR_ASSIGN_OR_RETURN(plan.access, ReadAccess(request.volume_capabilities()));
  ASHLAR_ASSIGN_OR_RETURN(plan.parameters,
                          ReadParameters(ParameterPlace::kStorageClass, request.parameters()));
  ASHLAR_RETURN_IF_ERROR(CheckRequired(ParameterPlace::kStorageClass, request.parameters()));
  ASHLAR_ASSIGN_OR_RETURN(plan.source, ReadSource(request));
  plan.size_given = request.capacity_range().required_bytes() > 0;
  plan.fs_type_given = !plan.access.fs_type.empty() || !plan.parameters.fs_type.empty();
  ASHLAR_ASSIGN_OR_RETURN(plan.attributes, ReadMutableParameters(request.mutable_parameters()));
  ASHLAR_ASSIGN_OR_RETURN(plan.fs_type, AgreedFsType(plan.access, plan.parameters));
  ASHLAR_ASSIGN_OR_RETURN(plan.size, ReadSize(request.capacity_range(), plan.fs_type));
  const csi::v1::TopologyRequirement& topology = request.accessibility_requirements();
  ASHLAR_ASSIGN_OR_RETURN(
      plan.requisite, ReadTopologies("accessibility_requirements.requisite", topology.requisite()));
  ASHLAR_ASSIGN_OR_RETURN(
      plan.preferred, ReadTopologies("accessibility_requirements.preferred", topology.preferred()));
  return plan;
}

std::string VolumeIdFor(absl::string_view name) {
  if (IsObjectName(name) && name.size() <= kMaxId) return std::string(name);
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(name.data()), name.size(), digest);
  const absl::string_view half(reinterpret_cast<const char*>(digest), 16);
  return absl::StrCat("v-", absl::BytesToHexString(half));
}

}  // namespace ashlar::csi_driver
