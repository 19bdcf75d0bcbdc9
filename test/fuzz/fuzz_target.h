// A fuzz target is a file of this folder that defines LLVMFuzzerTestOneInput. Built with Clang
// (preset fuzz) it is a libFuzzer program; in every other build smoke_main.cc calls it with the
// seeds of corpus/<name> and a fixed number of mutations of them, so that each test run goes the
// same way.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "absl/strings/string_view.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace ashlar::fuzz {

inline absl::string_view Text(const uint8_t* data, size_t size) {
  return absl::string_view(reinterpret_cast<const char*>(data), size);
}

// Something that must hold for every input.
inline void Require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

}  // namespace ashlar::fuzz
