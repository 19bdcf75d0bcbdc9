#include "csi/volume_condition.h"

#include "google/protobuf/unknown_field_set.h"

namespace ashlar::csi_driver {
namespace {

using google::protobuf::UnknownField;
using google::protobuf::UnknownFieldSet;

constexpr int kCondition = 2;  // in the messages that have one
constexpr int kAbnormal = 1;   // in the condition
constexpr int kMessage = 2;

}  // namespace

void SetVolumeCondition(const VolumeCondition& condition, google::protobuf::Message& message) {
  UnknownFieldSet fields;
  if (condition.abnormal) fields.AddVarint(kAbnormal, 1);
  fields.AddLengthDelimited(kMessage, condition.message);
  std::string bytes;
  fields.SerializeToString(&bytes);
  UnknownFieldSet& unknown = *message.GetReflection()->MutableUnknownFields(&message);
  unknown.DeleteByNumber(kCondition);
  unknown.AddLengthDelimited(kCondition, bytes);
}

VolumeCondition GetVolumeCondition(const google::protobuf::Message& message) {
  VolumeCondition condition;
  const UnknownFieldSet& unknown = message.GetReflection()->GetUnknownFields(message);
  for (int i = 0; i < unknown.field_count(); ++i) {
    const UnknownField& field = unknown.field(i);
    if (field.number() != kCondition || field.type() != UnknownField::TYPE_LENGTH_DELIMITED) {
      continue;
    }
    UnknownFieldSet fields;
    if (!fields.ParseFromString(field.length_delimited())) continue;
    for (int k = 0; k < fields.field_count(); ++k) {
      const UnknownField& one = fields.field(k);
      if (one.number() == kAbnormal && one.type() == UnknownField::TYPE_VARINT) {
        condition.abnormal = one.varint() != 0;
      } else if (one.number() == kMessage && one.type() == UnknownField::TYPE_LENGTH_DELIMITED) {
        condition.message = one.length_delimited();
      }
    }
  }
  return condition;
}

}  // namespace ashlar::csi_driver
