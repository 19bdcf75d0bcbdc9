#include "node-agent/storage/lvm/thin_dump.h"

#include <expat.h>

#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace ashlar::node_agent {
namespace {

constexpr uint64_t kSectorBytes = 512;

// Nothing: there is no such attribute, or it is no number.
std::optional<uint64_t> Number(const char** attributes, absl::string_view name) {
  for (const char** at = attributes; *at != nullptr; at += 2) {
    if (name != at[0]) continue;
    uint64_t value = 0;
    return absl::SimpleAtoi(at[1], &value) ? std::optional(value) : std::nullopt;
  }
  return std::nullopt;
}

}  // namespace

void ThinDump::Free::operator()(XML_ParserStruct* parser) const { XML_ParserFree(parser); }

ThinDump::ThinDump() : parser_(XML_ParserCreate(nullptr)) {
  XML_SetUserData(parser_.get(), this);
  XML_SetStartElementHandler(parser_.get(), &ThinDump::Begin);
}

void ThinDump::Fail(std::string why) {
  status_ = absl::InvalidArgumentError(absl::StrCat("thin_dump: ", why));
  XML_StopParser(parser_.get(), XML_FALSE);
}

void ThinDump::Begin(void* self, const char* name, const char** attributes) {
  auto& dump = *static_cast<ThinDump*>(self);
  const absl::string_view element = name;
  if (element == "superblock") dump.BeginSuperblock(attributes);
  if (element == "device") ++dump.devices_;
  if (element == "single_mapping")
    dump.BeginMapping(attributes, "origin_block", "data_block", nullptr);
  if (element == "range_mapping")
    dump.BeginMapping(attributes, "origin_begin", "data_begin", "length");
}

void ThinDump::BeginSuperblock(const char** attributes) {
  const std::optional<uint64_t> sectors = Number(attributes, "data_block_size");
  // The kernel takes blocks of 64 KiB to 1 GiB.
  if (!sectors || *sectors < 128 || *sectors > (uint64_t{1} << 30) / kSectorBytes)
    return Fail("the superblock's data_block_size is no number of sectors of 64 KiB to 1 GiB");
  block_bytes_ = *sectors * kSectorBytes;
}

void ThinDump::BeginMapping(const char** attributes, const char* origin, const char* data,
                            const char* length) {
  const std::optional<uint64_t> from = Number(attributes, origin), to = Number(attributes, data);
  const std::optional<uint64_t> blocks =
      length == nullptr ? std::optional<uint64_t>(1) : Number(attributes, length);
  if (block_bytes_ == 0 || devices_ != 1) return Fail("a mapping is not inside of one device");
  if (!from || !to || !blocks || *blocks == 0) return Fail("a mapping lacks a number");
  // A device has less than 2^63 bytes.
  const uint64_t most = static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) / block_bytes_;
  if (*from > most || *to > most || *blocks > most - *from || *blocks > most - *to)
    return Fail(absl::StrCat("the mapping of block ", *from, " is too large"));
  if (*from < next_block_)
    return Fail(absl::StrCat("the mapping of block ", *from, " is not behind the one before"));
  next_block_ = *from + *blocks;
  extents_.push_back({.logical = *from * block_bytes_,
                      .physical = *to * block_bytes_,
                      .bytes = *blocks * block_bytes_,
                      .written = true,
                      .located = true});
}

absl::Status ThinDump::Feed(absl::string_view text, bool last) {
  if (!status_.ok()) return status_;
  const auto parsed =
      XML_Parse(parser_.get(), text.data(), static_cast<int>(text.size()), last ? 1 : 0);
  if (parsed != XML_STATUS_OK && status_.ok())
    Fail(XML_ErrorString(XML_GetErrorCode(parser_.get())));
  if (last && status_.ok() && devices_ > 1)
    Fail(absl::StrCat("it tells of ", devices_, " devices, not of one"));
  if (last && status_.ok() && devices_ == 0)
    status_ = absl::NotFoundError("the thin pool does not have the volume any more");
  return status_;
}

std::vector<sys::MappedExtent> ThinDump::Take() { return std::exchange(extents_, {}); }

}  // namespace ashlar::node_agent
