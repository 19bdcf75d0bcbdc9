#include "node-agent/inventory/pci_function.h"

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "lib/system/files.h"

namespace ashlar::node_agent {
namespace {

constexpr size_t kHeaderBytes = 64, kConfigBytes = 4096, kExtendedStart = 256;
constexpr size_t kStatus = 0x06, kFirstCapability = 0x34;
constexpr uint32_t kHasCapabilities = 1 << 4;
constexpr uint32_t kExpressCapability = 0x10, kAcsCapability = 0x0d;
// Requests and completions between devices are sent up, and so is what only passes.
constexpr uint32_t kRedirects = 1 << 2 | 1 << 3;
constexpr int kMostCapabilities = 128;  // a list that bites its tail ends, too

// 0 beyond the end.
uint32_t Number(absl::string_view config, size_t at, size_t bytes) {
  uint32_t value = 0;
  for (size_t i = 0; i < bytes && at + i < config.size(); ++i)
    value |= static_cast<uint32_t>(static_cast<unsigned char>(config[at + i])) << 8 * i;
  return value;
}

PciPort PortOf(absl::string_view config) {
  if (config.size() <= kHeaderBytes) return PciPort::kUnknown;
  if ((Number(config, kStatus, 2) & kHasCapabilities) == 0) return PciPort::kNone;
  size_t at = Number(config, kFirstCapability, 1) & ~3u;
  for (int i = 0; i < kMostCapabilities && at != 0; ++i) {
    if (Number(config, at, 1) == kExpressCapability) {
      switch (Number(config, at + 2, 2) >> 4 & 0xf) {
        case 4:
          return PciPort::kRoot;
        case 5:
          return PciPort::kUpstream;
        case 6:
          return PciPort::kDownstream;
        default:
          return PciPort::kNone;
      }
    }
    at = Number(config, at + 1, 1) & ~3u;
  }
  return PciPort::kNone;
}

bool Redirects(absl::string_view config) {
  size_t at = kExtendedStart;
  for (int i = 0; i < kMostCapabilities && at >= kExtendedStart; ++i) {
    const uint32_t header = Number(config, at, 4);
    if ((header & 0xffff) == kAcsCapability) return (Number(config, at + 6, 2) & kRedirects) != 0;
    at = header >> 20;
  }
  return false;
}

}  // namespace

PciFunction ParsePciConfig(absl::string_view config) { return {PortOf(config), Redirects(config)}; }

PciFunction ReadPciFunction(const std::string& sys_root, const std::string& address) {
  const auto config =
      sys::ReadHead(absl::StrCat(sys_root, "/bus/pci/devices/", address, "/config"), kConfigBytes);
  return config.ok() ? ParsePciConfig(*config) : PciFunction{};
}

}  // namespace ashlar::node_agent
