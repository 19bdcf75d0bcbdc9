// Texts that are built into the program: the kinds of the embedded API and the definitions of our
// own (deploy/crds). The arrays are made at build time by cmake/EmbedFiles.cmake.
#pragma once

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace ashlar::standalone {

struct EmbeddedFile {
  const char* name;
  absl::string_view text;
};

extern const absl::Span<const EmbeddedFile> kKindFiles;
extern const absl::Span<const EmbeddedFile> kDefinitionFiles;

}  // namespace ashlar::standalone
