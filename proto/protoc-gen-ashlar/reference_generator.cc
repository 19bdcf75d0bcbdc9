#include "reference_generator.h"

#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "facts.h"

namespace ashlar::protoc {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

std::string Cell(const std::string& text) { return absl::StrReplaceAll(text, {{"|", "\\|"}}); }

std::string Code(const std::string& text) { return absl::StrCat("`", Cell(text), "`"); }

std::string Link(const Descriptor& message) {
  return absl::StrCat("[", message.name(), "](#", absl::AsciiStrToLower(message.name()), ")");
}

std::string TypeName(const FieldDescriptor& field) {
  switch (TypeOf(field)) {
    case FieldType::kString:
      return "string";
    case FieldType::kBool:
      return "boolean";
    case FieldType::kInt32:
    case FieldType::kInt64:
      return "integer";
    case FieldType::kQuantity:
      return "quantity";
    case FieldType::kTime:
      return "time";
    case FieldType::kMessage:
      return Link(*field.message_type());
    case FieldType::kStrings:
      return "list of string";
    case FieldType::kMessages:
      return absl::StrCat("list of ", Link(*field.message_type()));
    case FieldType::kMap:
      return "map of string";
    case FieldType::kMessageMap:
      return absl::StrCat("map of ", Link(*field.message_type()->map_value()->message_type()));
    case FieldType::kJson:
      return "object";
    case FieldType::kUnsupported:
      break;
  }
  return "";
}

std::string Constraints(const FieldDescriptor& field) {
  const k8s::Field& options = OptionsOf(field);
  std::vector<std::string> parts;
  if (options.required()) parts.push_back("required");
  if (options.immutable()) parts.push_back("cannot change once set");
  if (!options.default_json().empty())
    parts.push_back(absl::StrCat("default ", Code(options.default_json())));
  if (!options.enum_().empty()) {
    parts.push_back(absl::StrCat(
        "one of ", absl::StrJoin(options.enum_(), ", ", [](std::string* out, const auto& value) {
          absl::StrAppend(out, Code(value.empty() ? "\"\"" : value));
        })));
  }
  if (!options.pattern().empty())
    parts.push_back(absl::StrCat("matches ", Code(options.pattern())));
  if (options.has_minimum()) parts.push_back(absl::StrCat("at least ", options.minimum()));
  if (options.has_maximum()) parts.push_back(absl::StrCat("at most ", options.maximum()));
  if (options.max_length() > 0)
    parts.push_back(absl::StrCat("at most ", options.max_length(), " characters"));
  if (options.max_items() > 0)
    parts.push_back(absl::StrCat("at most ", options.max_items(), " entries"));
  if (options.list_type() == "set") parts.push_back("no entry twice");
  if (options.list_type() == "map")
    parts.push_back(
        absl::StrCat("one entry for each ", absl::StrJoin(options.list_map_keys(), ", ")));
  for (const k8s::Rule& rule : options.rules()) parts.push_back(rule.message());
  return absl::StrJoin(parts, "; ");
}

void AppendTable(const Descriptor& message, std::string& out) {
  absl::StrAppend(&out, "| field | type | constraints | meaning |\n|---|---|---|---|\n");
  for (int i = 0; i < message.field_count(); ++i) {
    const FieldDescriptor& field = *message.field(i);
    if (IsKind(message) && field.name() == "metadata") continue;
    absl::StrAppend(&out, "| `", field.json_name(), "` | ", TypeName(field), " | ",
                    Constraints(field), " | ", Cell(CommentOf(field)), " |\n");
  }
  for (const k8s::Rule& rule : message.options().GetRepeatedExtension(k8s::rules))
    absl::StrAppend(&out, "\nRule: ", rule.message(), ".\n");
  absl::StrAppend(&out, "\n");
}

// The objects below `message`, each once, in the order in which a reader meets them.
void AppendBelow(const Descriptor& message, std::set<const Descriptor*>& seen, std::string& out) {
  for (int i = 0; i < message.field_count(); ++i) {
    const FieldDescriptor& field = *message.field(i);
    const FieldType type = TypeOf(field);
    if (type != FieldType::kMessage && type != FieldType::kMessages) continue;
    if (IsKind(message) && field.name() == "metadata") continue;
    const Descriptor& below = *field.message_type();
    if (!seen.insert(&below).second) continue;
    absl::StrAppend(&out, "### ", below.name(), "\n\n");
    if (const std::string comment = CommentOf(below); !comment.empty())
      absl::StrAppend(&out, comment, "\n\n");
    AppendTable(below, out);
    AppendBelow(below, seen, out);
  }
}

}  // namespace

std::string Reference(const std::vector<const Descriptor*>& kinds) {
  std::string out =
      "<!-- Made by protoc-gen-ashlar from proto/ashlar. Do not edit: run `ninja generate`. -->\n"
      "# API reference\n\n"
      "A quantity is a number with an optional suffix, such as `10Gi`. A time is in RFC 3339. "
      "`metadata` is that of every Kubernetes object.\n\n";
  std::set<const Descriptor*> seen;
  for (const Descriptor* message : kinds) {
    const k8s::Kind& kind = KindOf(*message);
    absl::StrAppend(&out, "## ", message->name(), "\n\n", CommentOf(*message),
                    "\n\n`apiVersion: ", kind.group(), "/", kind.version(),
                    "`, `kind: ", message->name(), "`, ",
                    kind.namespaced() ? "namespaced" : "cluster-scoped", "; `kubectl get ",
                    kind.plural(), "`");
    for (const std::string& name : kind.short_names()) absl::StrAppend(&out, " or `", name, "`");
    absl::StrAppend(&out, ".\n\n");
    AppendTable(*message, out);
    AppendBelow(*message, seen, out);
  }
  while (absl::EndsWith(out, "\n\n")) out.pop_back();
  return out;
}

}  // namespace ashlar::protoc
