#include "codec_generator.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "absl/strings/substitute.h"
#include "crd_generator.h"
#include "facts.h"
#include "google/protobuf/compiler/cpp/names.h"

namespace ashlar::protoc {
namespace {

using absl::Substitute;
using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;

std::string Quoted(absl::string_view text) { return absl::StrCat("\"", text, "\""); }

// The field's name in the C++ class, which has an underscore behind the words of the language.
std::string Accessor(const FieldDescriptor& field) {
  return google::protobuf::compiler::cpp::FieldName(&field);
}

// The statement that reads *found into the message.
std::string ReadStatement(const FieldDescriptor& field) {
  const std::string name = Accessor(field);
  const auto scalar = [&](absl::string_view reader) {
    return Substitute("ASHLAR_ASSIGN_OR_RETURN(const auto read, $0(*found, at)); out.set_$1(read);",
                      reader, name);
  };
  const auto in_place = [&](absl::string_view reader) {
    return Substitute("ASHLAR_RETURN_IF_ERROR($0(*found, at, *out.mutable_$1()));", reader, name);
  };
  switch (TypeOf(field)) {
    case FieldType::kString:
      return scalar("ReadString");
    case FieldType::kBool:
      return scalar("ReadBool");
    case FieldType::kInt32:
      return scalar("ReadInt32");
    case FieldType::kInt64:
      return scalar("ReadInt64");
    case FieldType::kQuantity:
      return scalar("ReadQuantity");
    case FieldType::kTime:
      return Substitute("ASHLAR_ASSIGN_OR_RETURN(*out.mutable_$0(), ReadTime(*found, at));", name);
    case FieldType::kMessage:
      return in_place("ReadMessage");
    case FieldType::kStrings:
      return in_place("ReadStrings");
    case FieldType::kMessages:
      return in_place("ReadMessages");
    case FieldType::kMap:
      return in_place("ReadMap");
    case FieldType::kMessageMap:
      return in_place("ReadMessageMap");
    case FieldType::kJson:
      return scalar("ReadJsonText");
    case FieldType::kUnsupported:
      break;
  }
  return "";
}

// The condition under which a field is written. A required scalar always is: an empty value must be
// seen by the server's validation rather than be replaced by a default.
std::string Presence(const FieldDescriptor& field) {
  const FieldType type = TypeOf(field);
  const std::string value = absl::StrCat("value.", Accessor(field), "()");
  if (field.has_presence()) return absl::StrCat("value.has_", Accessor(field), "()");
  if (OptionsOf(field).required()) return "true";
  switch (type) {
    case FieldType::kBool:
      return value;
    case FieldType::kInt32:
    case FieldType::kInt64:
    case FieldType::kQuantity:
      return absl::StrCat(value, " != 0");
    default:
      return absl::StrCat("!", value, ".empty()");
  }
}

std::string Writer(const FieldDescriptor& field) {
  switch (TypeOf(field)) {
    case FieldType::kQuantity:
      return "PutQuantity";
    case FieldType::kTime:
      return "PutTime";
    case FieldType::kMessage:
      return "PutMessage";
    case FieldType::kStrings:
      return "PutStrings";
    case FieldType::kMessages:
      return "PutMessages";
    case FieldType::kMap:
      return "PutMap";
    case FieldType::kMessageMap:
      return "PutMessageMap";
    case FieldType::kJson:
      return "PutJsonText";
    default:
      return "PutScalar";
  }
}

std::string WriteStatement(const FieldDescriptor& field) {
  std::string keys;
  if (TypeOf(field) == FieldType::kMessages) {
    const auto& names = OptionsOf(field).list_map_keys();
    keys = absl::StrCat(", {",
                        absl::StrJoin(names, ", ",
                                      [](std::string* out, const auto& name) {
                                        absl::StrAppend(out, Quoted(name));
                                      }),
                        "}");
  }
  return Substitute("codec::$0(base, \"$1\", $2, value.$3()$4);", Writer(field), field.json_name(),
                    Presence(field), Accessor(field), keys);
}

// Kinds of Kubernetes itself, which it defines, not we.
bool IsForeign(const Descriptor& message) { return message.file()->package() == "ashlar.k8s"; }

std::string Declarations(const Descriptor& message) {
  const std::string type = CppName(message);
  std::string out = Substitute(
      "template <>\nabsl::StatusOr<$0> FromJson<$0>(const Json& json);\n"
      "template <>\nJson ToJson<$0>(const $0& value);\n"
      "template <>\nvoid MergeIntoJson<$0>(const $0& value, Json& base);\n"
      "template <>\nabsl::Status codec::ReadMessage<$0>(const Json& json, const codec::Path& path, "
      "$0& out);\n",
      type);
  if (IsKind(message))
    absl::StrAppend(&out, Substitute("template <>\nconst KindInfo& Kind<$0>();\n", type));
  if (IsKind(message) && !IsForeign(message))
    absl::StrAppend(&out, Substitute("template <>\nabsl::string_view CrdJson<$0>();\n", type));
  return out;
}

std::string ReadDefinition(const Descriptor& message) {
  std::string body;
  for (int i = 0; i < message.field_count(); ++i) {
    const FieldDescriptor& field = *message.field(i);
    absl::StrAppend(&body, Substitute("  if (const Json* found = Present(json, \"$0\")) {\n"
                                      "    const Path at(path, \"$0\");\n"
                                      "    $1\n  }\n",
                                      field.json_name(), ReadStatement(field)));
  }
  return Substitute(
      "template <>\nabsl::Status codec::ReadMessage<$0>(const Json& json, const codec::Path& path, "
      "[[maybe_unused]] $0& out) {\n"
      "  ASHLAR_RETURN_IF_ERROR(CheckObject(json, path));\n$1$2  return absl::OkStatus();\n}\n\n",
      CppName(message),
      IsKind(message)
          ? Substitute("  ASHLAR_RETURN_IF_ERROR(CheckKind(json, Kind<$0>()));\n", CppName(message))
          : "",
      body);
}

std::string WriteDefinitions(const Descriptor& message) {
  const std::string type = CppName(message);
  std::string body;
  if (IsKind(message))
    absl::StrAppend(&body, Substitute("  codec::PutKind(base, Kind<$0>());\n", type));
  for (int i = 0; i < message.field_count(); ++i)
    absl::StrAppend(&body, "  ", WriteStatement(*message.field(i)), "\n");
  return Substitute(
      "template <>\nvoid MergeIntoJson<$0>(const $0& value, Json& base) {\n"
      "  if (!base.is_object()) base = Json::object();\n$1}\n\n"
      "template <>\nJson ToJson<$0>(const $0& value) {\n"
      "  Json json = Json::object();\n  MergeIntoJson(value, json);\n  return json;\n}\n\n"
      "template <>\nabsl::StatusOr<$0> FromJson<$0>(const Json& json) {\n"
      "  $0 value;\n"
      "  ASHLAR_RETURN_IF_ERROR(codec::ReadMessage(json, codec::Path(), value));\n"
      "  return value;\n}\n\n",
      type, body);
}

std::string KindDefinition(const Descriptor& message, std::string& error) {
  const k8s::Kind& kind = KindOf(message);
  std::string out = Substitute(
      "template <>\nconst KindInfo& Kind<$0>() {\n"
      "  static const KindInfo& kind = *new KindInfo{.group = \"$1\", .version = \"$2\",\n"
      "      .kind = \"$3\", .plural = \"$4\", .namespaced = $5};\n  return kind;\n}\n\n",
      CppName(message), kind.group(), kind.version(), message.name(), kind.plural(),
      kind.namespaced() ? "true" : "false");
  if (IsForeign(message)) return out;
  absl::StrAppend(
      &out,
      Substitute(
          "template <>\nabsl::string_view CrdJson<$0>() {\n  return R\"json($1)json\";\n}\n\n",
          CppName(message), DumpJson(Crd(message, error))));
  return out;
}

constexpr char kNotice[] = "// Made by protoc-gen-ashlar from $0. Do not edit.\n";

}  // namespace

std::string FileName(const FileDescriptor& file, const std::string& suffix) {
  return absl::StrCat(absl::StripSuffix(file.name(), ".proto"), suffix);
}

// True if its codec needs lib/api/map_codec.h.
bool HasMapsOrJson(const FileDescriptor& file) {
  for (const Descriptor* message : MessagesOf(file)) {
    for (int i = 0; i < message->field_count(); ++i) {
      const FieldType type = TypeOf(*message->field(i));
      if (type == FieldType::kMessageMap || type == FieldType::kJson) return true;
    }
  }
  return false;
}

std::string CodecHeader(const FileDescriptor& file) {
  std::string out = Substitute(kNotice, file.name());
  absl::StrAppend(&out, "#pragma once\n\n#include \"", FileName(file, ".pb.h"),
                  "\"\n#include \"lib/api/field_codec.h\"\n\nnamespace ashlar::api {\n\n");
  for (const Descriptor* message : MessagesOf(file)) absl::StrAppend(&out, Declarations(*message));
  return absl::StrCat(out, "\n}  // namespace ashlar::api\n");
}

std::string CodecSource(const FileDescriptor& file, std::string& error) {
  std::string out = Substitute(kNotice, file.name());
  absl::StrAppend(&out, "#include \"", FileName(file, ".codec.h"), "\"\n");
  if (HasMapsOrJson(file)) absl::StrAppend(&out, "#include \"lib/api/map_codec.h\"\n");
  for (int i = 0; i < file.dependency_count(); ++i) {
    const FileDescriptor& other = *file.dependency(i);
    const bool has_codec =
        absl::StartsWith(other.name(), "ashlar/") && other.name() != "ashlar/k8s/options.proto";
    if (has_codec) absl::StrAppend(&out, "#include \"", FileName(other, ".codec.h"), "\"\n");
  }
  absl::StrAppend(&out, "\nnamespace ashlar::api {\n\n");
  for (const Descriptor* message : MessagesOf(file)) {
    if (IsKind(*message)) absl::StrAppend(&out, KindDefinition(*message, error));
    absl::StrAppend(&out, ReadDefinition(*message), WriteDefinitions(*message));
  }
  return absl::StrCat(out, "}  // namespace ashlar::api\n");
}

}  // namespace ashlar::protoc
