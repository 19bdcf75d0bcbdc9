// The reference page of the API: a section for each kind, a table for each object in it.
#pragma once

#include <string>
#include <vector>

#include "google/protobuf/descriptor.h"

namespace ashlar::protoc {

// In Markdown.
std::string Reference(const std::vector<const google::protobuf::Descriptor*>& kinds);

}  // namespace ashlar::protoc
