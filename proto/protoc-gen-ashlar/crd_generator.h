// The CustomResourceDefinition of a kind, with a structural schema.
#pragma once

#include <string>

#include "google/protobuf/descriptor.h"
#include "lib/base/json.h"

namespace ashlar::protoc {

// `error` says what cannot be a schema, such as a default that is not JSON; empty if all is well.
Json Crd(const google::protobuf::Descriptor& kind, std::string& error);

// Such as ashlar.dev_pools.yaml.
std::string CrdFileName(const google::protobuf::Descriptor& kind);

}  // namespace ashlar::protoc
