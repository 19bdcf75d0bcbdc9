// Parsers of what NVMe controllers answer to Identify and Get Log Page (NVM Express Base
// Specification 2.0, chapters 5.17 and 5.16.1.3; NVM Command Set Specification, chapter 4.1.5).
// Pure; thread-safe. A field that the controller leaves at zero means that it does not tell.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ashlar::sys {

constexpr size_t kNvmeIdentifyBytes = 4096;
constexpr size_t kNvmeHealthBytes = 512;

// Identify Controller (CNS 01h).
struct NvmeController {
  std::string serial;
  std::string model;
  std::string firmware;
  std::string subsystem_nqn;
  uint16_t id = 0;                    // CNTLID
  bool namespace_management = false;  // OACS: create, delete, attach, detach
  bool format = false;                // OACS: Format NVM
  bool format_crypto_erase = false;   // FNA
  bool sanitize_crypto_erase = false;
  bool sanitize_block_erase = false;
  bool sanitize_overwrite = false;
  int64_t capacity_bytes = 0;     // TNVMCAP: of all namespaces
  int64_t unallocated_bytes = 0;  // UNVMCAP: what new namespaces could get
  uint32_t max_namespaces = 0;    // NN
  bool operator==(const NvmeController&) const = default;
};

struct LbaFormat {
  uint8_t index = 0;
  int32_t data_bytes = 0;
  int32_t metadata_bytes = 0;
  uint8_t relative_performance = 0;  // 0 is best, 3 is degraded
  bool in_use = false;
  bool operator==(const LbaFormat&) const = default;
};

// Identify Namespace (CNS 00h).
struct NvmeNamespace {
  int64_t size_blocks = 0;                  // NSZE
  std::string nguid;                        // 32 hex digits, or empty
  std::string eui64;                        // 16 hex digits, or empty
  std::vector<LbaFormat> lba_formats = {};  // the usable ones
  bool operator==(const NvmeNamespace&) const = default;
};

// Namespace Identification Descriptor list (CNS 03h).
struct NvmeNamespaceIds {
  std::string nguid;
  std::string eui64;
  std::string uuid;  // with dashes
  bool operator==(const NvmeNamespaceIds&) const = default;
};

// Critical warnings of the SMART log, its byte 0.
enum NvmeWarning : uint8_t {
  kNvmeSpareLow = 1 << 0,
  kNvmeTemperature = 1 << 1,
  kNvmeDegraded = 1 << 2,
  kNvmeReadOnly = 1 << 3,
  kNvmeBackupFailed = 1 << 4,
  kNvmePersistentMemory = 1 << 5,
};

// SMART / Health Information (log 02h).
struct NvmeHealth {
  uint8_t critical_warnings = 0;  // NvmeWarning
  int32_t temperature_celsius = 0;
  int32_t available_spare_percent = 0;
  int32_t spare_threshold_percent = 0;
  int32_t used_percent = 0;  // of the expected life; may exceed 100
  int64_t media_errors = 0;
  bool operator==(const NvmeHealth&) const = default;
};

// InvalidArgument: the page is too short, or is none (all zero).
absl::StatusOr<NvmeController> ParseNvmeController(absl::string_view page);
absl::StatusOr<NvmeNamespace> ParseNvmeNamespace(absl::string_view page);
absl::StatusOr<NvmeNamespaceIds> ParseNvmeNamespaceIds(absl::string_view page);
absl::StatusOr<NvmeHealth> ParseNvmeHealth(absl::string_view page);

}  // namespace ashlar::sys
