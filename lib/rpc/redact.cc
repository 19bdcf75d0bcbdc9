#include "lib/rpc/redact.h"

#include <memory>
#include <vector>

#include "google/protobuf/descriptor.h"
#include "google/protobuf/descriptor.pb.h"
#include "google/protobuf/text_format.h"

namespace ashlar::rpc {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr size_t kMaxBytes = 2048;

bool IsSecret(const FieldDescriptor& field) {
  const google::protobuf::FieldOptions& options = field.options();
  std::vector<const FieldDescriptor*> set;
  options.GetReflection()->ListFields(options, &set);
  for (const FieldDescriptor* option : set) {
    if (option->full_name() == "csi.v1.csi_secret") {
      return options.GetReflection()->GetBool(options, option);
    }
  }
  return false;
}

void RemoveSecrets(Message& message) {
  const Reflection& reflection = *message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (IsSecret(*field)) {
      reflection.ClearField(&message, field);
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE && field->is_repeated()) {
      for (int i = 0; i < reflection.FieldSize(message, field); ++i) {
        RemoveSecrets(*reflection.MutableRepeatedMessage(&message, field, i));
      }
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      RemoveSecrets(*reflection.MutableMessage(&message, field));
    }
  }
}

}  // namespace

std::string Redact(const google::protobuf::Message& message) {
  std::unique_ptr<Message> copy(message.New());
  copy->CopyFrom(message);
  RemoveSecrets(*copy);
  // What is unknown can't be told from a secret.
  copy->DiscardUnknownFields();
  google::protobuf::TextFormat::Printer printer;
  printer.SetSingleLineMode(true);
  std::string text;
  printer.PrintToString(*copy, &text);
  while (!text.empty() && text.back() == ' ') text.pop_back();
  if (text.size() > kMaxBytes) text = text.substr(0, kMaxBytes) + "...";
  return text;
}

}  // namespace ashlar::rpc
