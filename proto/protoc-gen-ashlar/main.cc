// protoc-gen-ashlar: the protoc plugin that makes everything that follows from the definition of
// the API kinds. One output per run, named by the parameter:
//   --ashlar_out=codec:DIR  the C++ codec of every file
//   --ashlar_out=crds:DIR   <group>_<plural>.yaml for every kind
//   --ashlar_out=docs:DIR   api.md, the reference page
#include <memory>

#include "absl/strings/str_cat.h"
#include "codec_generator.h"
#include "facts.h"
#include "google/protobuf/compiler/code_generator.h"
#include "google/protobuf/compiler/plugin.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream.h"

namespace ashlar::protoc {
namespace {

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
    if (parameter == "codec") return Codec(files, *context);
    *error = absl::StrCat("parameter \"", parameter, "\": must be codec, crds or docs");
    return false;
  }

 private:
  static void Write(GeneratorContext& context, const std::string& name, const std::string& text) {
    const std::unique_ptr<google::protobuf::io::ZeroCopyOutputStream> file(context.Open(name));
    google::protobuf::io::CodedOutputStream(file.get()).WriteString(text);
  }

  static bool Codec(const std::vector<const FileDescriptor*>& files, GeneratorContext& context) {
    for (const FileDescriptor* file : files) {
      Write(context, FileName(*file, ".codec.h"), CodecHeader(*file));
      Write(context, FileName(*file, ".codec.cc"), CodecSource(*file));
    }
    return true;
  }
};

}  // namespace
}  // namespace ashlar::protoc

int main(int argc, char** argv) {
  const ashlar::protoc::Generator generator;
  return google::protobuf::compiler::PluginMain(argc, argv, &generator);
}
