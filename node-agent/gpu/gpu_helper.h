// The process that calls the GPUs' driver, so that the agent does not have to: what it is asked is
// in proto/ashlar/agent/v1/gpu_helper.proto. It changes GPUs by partition/gpu_changer alone.
#pragma once

#include "absl/strings/string_view.h"

namespace ashlar::node_agent {

// The first argument of a program of ours that is to be the helper and nothing else.
constexpr char kGpuHelperWord[] = "gpu-helper";
constexpr bool IsGpuHelper(int argc, const char* const* argv) {
  return argc == 2 && absl::string_view(argv[1]) == kGpuHelperWord;
}

// Answers until whoever asks is gone. The exit status of the process.
int RunGpuHelper();

}  // namespace ashlar::node_agent
