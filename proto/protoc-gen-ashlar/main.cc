// protoc-gen-ashlar: the protoc plugin that makes everything that follows from the definition of
// the API kinds. One output per run, named by the parameter:
//   --ashlar_out=codec:DIR  the C++ codec of every file
//   --ashlar_out=crds:DIR   <group>_<plural>.yaml for every kind
//   --ashlar_out=docs:DIR   api.md, the reference page
#include <memory>

#include "absl/strings/str_cat.h"
#include "codec_generator.h"
#include "crd_generator.h"
#include "facts.h"
#include "google/protobuf/compiler/code_generator.h"
#include "google/protobuf/compiler/plugin.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream.h"
#include "lib/yaml/yaml.h"
#include "reference_generator.h"

namespace ashlar::protoc {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FileDescriptor;
using google::protobuf::compiler::GeneratorContext;

class Generator final : public google::protobuf::compiler::CodeGenerator {
 public:
  uint64_t GetSupportedFeatures() const override { return FEATURE_PROTO3_OPTIONAL; }

  bool Generate(const FileDescriptor*, const std::string&, GeneratorContext*,
                std::string*) const override {
    return false;  // protoc calls GenerateAll
  }

  bool GenerateAll(const std::vector<const FileDescriptor*>& files, const std::string& parameter,
                   GeneratorContext* context, std::string* error) const override {
    for (const FileDescriptor* file : files) {
      *error = Unsupported(*file);
      if (!error->empty()) return false;
    }
    if (parameter == "codec") return Codec(files, *context, *error);
    if (parameter == "crds") return Crds(files, *context, *error);
    if (parameter == "docs") return Docs(files, *context);
    *error = absl::StrCat("parameter \"", parameter, "\": must be codec, crds or docs");
    return false;
  }

 private:
  static void Write(GeneratorContext& context, const std::string& name, const std::string& text) {
    const std::unique_ptr<google::protobuf::io::ZeroCopyOutputStream> file(context.Open(name));
    google::protobuf::io::CodedOutputStream(file.get()).WriteString(text);
  }

  static bool Codec(const std::vector<const FileDescriptor*>& files, GeneratorContext& context,
                    std::string& error) {
    for (const FileDescriptor* file : files) {
      Write(context, FileName(*file, ".codec.h"), CodecHeader(*file));
      Write(context, FileName(*file, ".codec.cc"), CodecSource(*file, error));
    }
    return error.empty();
  }

  static std::vector<const Descriptor*> Kinds(const std::vector<const FileDescriptor*>& files) {
    std::vector<const Descriptor*> kinds;
    for (const FileDescriptor* file : files) {
      for (const Descriptor* message : MessagesOf(*file)) {
        if (IsKind(*message)) kinds.push_back(message);
      }
    }
    return kinds;
  }

  static bool Crds(const std::vector<const FileDescriptor*>& files, GeneratorContext& context,
                   std::string& error) {
    for (const Descriptor* kind : Kinds(files)) {
      Write(context, CrdFileName(*kind),
            absl::StrCat("# Made by protoc-gen-ashlar from ", kind->file()->name(),
                         ". Do not edit: run `ninja generate`.\n", FormatYaml(Crd(*kind, error))));
    }
    return error.empty();
  }

  static bool Docs(const std::vector<const FileDescriptor*>& files, GeneratorContext& context) {
    Write(context, "api.md", Reference(Kinds(files)));
    return true;
  }
};

}  // namespace
}  // namespace ashlar::protoc

int main(int argc, char** argv) {
  const ashlar::protoc::Generator generator;
  return google::protobuf::compiler::PluginMain(argc, argv, &generator);
}
