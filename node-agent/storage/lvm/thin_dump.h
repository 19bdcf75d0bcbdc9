// ThinDump: reads what thin_dump(8) says of one thin volume (format xml), as it comes, so that
// memory does not grow with the volume. Not thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "lib/system/extent_map.h"

struct XML_ParserStruct;

namespace ashlar::node_agent {

class ThinDump {
 public:
  ThinDump();
  ThinDump(const ThinDump&) = delete;
  ThinDump& operator=(const ThinDump&) = delete;

  // The next bytes of the text; `last`: there are no more. InvalidArgument says what is wrong with
  // it, and it stays so: it is no XML, has several devices, or its mappings overlap or are not in
  // order. NotFound: it has no device.
  absl::Status Feed(absl::string_view text, bool last);
  // The volume's own part has begun.
  bool HasDevice() const { return devices_ > 0; }
  // What was read since the last call, in order.
  std::vector<sys::MappedExtent> Take();

 private:
  static void Begin(void* self, const char* name, const char** attributes);
  void BeginSuperblock(const char** attributes);
  void BeginMapping(const char** attributes, const char* origin, const char* data,
                    const char* length);
  void Fail(std::string why);

  struct Free {
    void operator()(XML_ParserStruct* parser) const;
  };
  const std::unique_ptr<XML_ParserStruct, Free> parser_;
  absl::Status status_;
  uint64_t block_bytes_ = 0;
  int devices_ = 0;
  uint64_t next_block_ = 0;  // mappings begin here or behind it
  std::vector<sys::MappedExtent> extents_;
};

}  // namespace ashlar::node_agent
