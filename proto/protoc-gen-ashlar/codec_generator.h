// The C++ codec of one proto file: <name>.codec.h and <name>.codec.cc, the specialisations that
// lib/api/codec.h declares, made of the parts in lib/api/field_codec.h.
#pragma once

#include <string>

#include "google/protobuf/descriptor.h"

namespace ashlar::protoc {

std::string CodecHeader(const google::protobuf::FileDescriptor& file);
// `error` as in crd_generator.h: the definition of each kind is a part of its code.
std::string CodecSource(const google::protobuf::FileDescriptor& file, std::string& error);

// ashlar/v1alpha1/pool.proto becomes ashlar/v1alpha1/pool<suffix>.
std::string FileName(const google::protobuf::FileDescriptor& file, const std::string& suffix);

}  // namespace ashlar::protoc
