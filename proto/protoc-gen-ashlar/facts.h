// What the generators ask of a descriptor: its Kubernetes options, its comment, its JSON type. Used
// on one thread.
#pragma once

#include <string>
#include <vector>

#include "ashlar/k8s/options.pb.h"
#include "google/protobuf/descriptor.h"

namespace ashlar::protoc {

// What a field is in JSON.
enum class FieldType {
  kString,
  kBool,
  kInt32,
  kInt64,
  kQuantity,
  kTime,
  kMessage,
  kStrings,
  kMessages,
  kMap,
  kMessageMap,  // by name
  kJson,        // any JSON; its text here. Strings of the format json
  kUnsupported,
};

FieldType TypeOf(const google::protobuf::FieldDescriptor& field);
const k8s::Field& OptionsOf(const google::protobuf::FieldDescriptor& field);
bool IsKind(const google::protobuf::Descriptor& message);
const k8s::Kind& KindOf(const google::protobuf::Descriptor& message);

// The comment before the definition, with its line breaks turned into spaces.
std::string CommentOf(const google::protobuf::Descriptor& message);
std::string CommentOf(const google::protobuf::FieldDescriptor& field);

// Empty if protoc-gen-ashlar can make code and a schema of everything in the file, else what it
// cannot, by name.
std::string Unsupported(const google::protobuf::FileDescriptor& file);

// The messages of the file, in its order.
std::vector<const google::protobuf::Descriptor*> MessagesOf(
    const google::protobuf::FileDescriptor& file);

// ashlar.v1alpha1.Pool becomes ::ashlar::v1alpha1::Pool.
std::string CppName(const google::protobuf::Descriptor& message);

}  // namespace ashlar::protoc
