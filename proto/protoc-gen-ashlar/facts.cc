#include "facts.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"

namespace ashlar::protoc {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;

constexpr char kTimestamp[] = "google.protobuf.Timestamp";

FieldType MessageType(const FieldDescriptor& field) {
  const bool time = field.message_type()->full_name() == kTimestamp;
  if (field.is_map()) {
    const Descriptor& entry = *field.message_type();
    if (entry.map_key()->cpp_type() != FieldDescriptor::CPPTYPE_STRING)
      return FieldType::kUnsupported;
    if (entry.map_value()->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE)
      return FieldType::kMessageMap;
    const bool strings = entry.map_value()->cpp_type() == FieldDescriptor::CPPTYPE_STRING;
    return strings ? FieldType::kMap : FieldType::kUnsupported;
  }
  if (field.is_repeated()) return time ? FieldType::kUnsupported : FieldType::kMessages;
  return time ? FieldType::kTime : FieldType::kMessage;
}

// `name` as it is in JSON.
bool HasMember(const Descriptor& message, const std::string& name) {
  for (int i = 0; i < message.field_count(); ++i)
    if (message.field(i)->json_name() == name) return true;
  return false;
}

template <class D>
std::string Comment(const D& descriptor) {
  google::protobuf::SourceLocation location;
  if (!descriptor.GetSourceLocation(&location)) return "";
  std::vector<std::string> lines;
  for (absl::string_view line : absl::StrSplit(location.leading_comments, '\n')) {
    line = absl::StripAsciiWhitespace(line);
    if (!line.empty()) lines.emplace_back(line);
  }
  return absl::StrJoin(lines, " ");
}

}  // namespace

FieldType TypeOf(const FieldDescriptor& field) {
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) return MessageType(field);
  if (field.type() == FieldDescriptor::TYPE_STRING) {
    if (field.is_repeated()) return FieldType::kStrings;
    return OptionsOf(field).format() == "json" ? FieldType::kJson : FieldType::kString;
  }
  if (field.is_repeated() || field.real_containing_oneof() != nullptr)
    return FieldType::kUnsupported;
  switch (field.type()) {
    case FieldDescriptor::TYPE_BOOL:
      return FieldType::kBool;
    case FieldDescriptor::TYPE_INT32:
      return FieldType::kInt32;
    case FieldDescriptor::TYPE_INT64:
      return OptionsOf(field).quantity() ? FieldType::kQuantity : FieldType::kInt64;
    default:
      return FieldType::kUnsupported;
  }
}

const k8s::Field& OptionsOf(const FieldDescriptor& field) {
  return field.options().GetExtension(k8s::field);
}

bool IsKind(const Descriptor& message) { return message.options().HasExtension(k8s::kind); }

const k8s::Kind& KindOf(const Descriptor& message) {
  return message.options().GetExtension(k8s::kind);
}

std::string CommentOf(const Descriptor& message) { return Comment(message); }
std::string CommentOf(const FieldDescriptor& field) { return Comment(field); }

std::string Unsupported(const FileDescriptor& file) {
  for (int i = 0; i < file.message_type_count(); ++i) {
    const Descriptor& message = *file.message_type(i);
    for (int j = 0; j < message.field_count(); ++j) {
      const FieldDescriptor& field = *message.field(j);
      if (TypeOf(field) == FieldType::kUnsupported)
        return absl::StrCat(field.full_name(), ": this type of field is not supported");
      for (const std::string& key : OptionsOf(field).list_map_keys()) {
        if (TypeOf(field) != FieldType::kMessages || !HasMember(*field.message_type(), key))
          return absl::StrCat(field.full_name(), ": list_map_keys names ", key,
                              ", which its elements do not have");
      }
    }
    for (int j = 0; j < message.nested_type_count(); ++j) {
      if (!message.nested_type(j)->options().map_entry())
        return absl::StrCat(message.nested_type(j)->full_name(), ": nested messages");
    }
  }
  return "";
}

std::vector<const Descriptor*> MessagesOf(const FileDescriptor& file) {
  std::vector<const Descriptor*> messages;
  for (int i = 0; i < file.message_type_count(); ++i) messages.push_back(file.message_type(i));
  return messages;
}

std::string CppName(const Descriptor& message) {
  return absl::StrCat("::", absl::StrReplaceAll(message.full_name(), {{".", "::"}}));
}

}  // namespace ashlar::protoc
