// Whether a drive that bears no signature holds data nevertheless: a raw block volume whose record
// was lost, or what nobody knows. Thread-safe.
#pragma once

#include <string>

namespace ashlar::node_agent {

// Empty if the first and the last MiB of the device are all zero; else why it is not free, as a
// part of a sentence whose subject is the drive. Only reads. A device that holds data in between
// alone is not told from an empty one.
std::string DataReason(const std::string& device);

}  // namespace ashlar::node_agent
