// CdiDirectory: files of the Container Device Interface, which tell the container runtime what the
// devices of a claim are to a container. One file for each claim and driver. Thread-safe for
// different claims.
//
// The format: https://github.com/cncf-tags/container-device-interface/blob/main/SPEC.md, version
// 0.5.0, which is the first where names begin with digits and device nodes have another name
// inside.
#pragma once

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace ashlar::node_agent {

struct CdiMount {
  std::string host_path, container_path;
  bool read_only = false;
};
struct CdiNode {
  std::string path;       // in the container
  std::string host_path;  // empty: the same
  bool read_only = false;
};
struct CdiDevice {
  std::string name;
  std::vector<std::string> env;  // NAME=VALUE
  std::vector<CdiMount> mounts;
  std::vector<CdiNode> nodes;
};

class CdiDirectory {
 public:
  // Made when the first file is written.
  explicit CdiDirectory(std::string directory) : directory_(std::move(directory)) {}

  // By what the runtime is told to use the device.
  static std::string IdOf(const std::string& driver, const std::string& name);

  // Replaces the claim's file as a whole.
  absl::Status Write(const std::string& driver, const std::string& uid,
                     const std::vector<CdiDevice>& devices);
  absl::Status Remove(const std::string& driver, const std::string& uid);
  // Removes the files of these drivers that are of other claims than `keep`: driver and uid.
  absl::Status Sweep(const std::vector<std::string>& drivers,
                     const std::set<std::pair<std::string, std::string>>& keep);

 private:
  std::string PathOf(const std::string& driver, const std::string& uid) const;
  const std::string directory_;
};

}  // namespace ashlar::node_agent
