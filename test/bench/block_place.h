// Where the bytes of a block volume lie, so that they can be read and written without it.
#pragma once

#include <cstdint>
#include <string>

namespace ashlar::bench {

struct Place {
  std::string path;  // of a drive, or of the file behind a loop device
  int64_t offset = 0;
};

// Goes from a device node through partitions, linear device-mapper targets and a loop device until
// `drive`, or a drive's namespace. Ends the program where the bytes lie in no single piece.
Place PlaceOf(const std::string& device, const std::string& drive);

}  // namespace ashlar::bench
