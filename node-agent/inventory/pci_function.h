// PciFunction: what a PCI function says of itself in its configuration space (PCI Express Base
// Specification 7.5.3 and 7.7.11, Linux' uapi/linux/pci_regs.h). Reads only; thread-safe.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace ashlar::node_agent {

enum class PciPort { kUnknown, kNone, kRoot, kUpstream, kDownstream };

struct PciFunction {
  PciPort port = PciPort::kUnknown;  // kNone: no port
  // It sends requests from one device below it to another up to the root (ACS).
  bool redirects = false;
  bool operator==(const PciFunction&) const = default;
};

// Of the bytes of the configuration space; what they don't hold is not known.
PciFunction ParsePciConfig(absl::string_view config);

// Of the function with that address: "0000:41:00.0". Without the right to read all of it, or
// without the function, nothing is known.
PciFunction ReadPciFunction(const std::string& sys_root, const std::string& address);

}  // namespace ashlar::node_agent
