// What the commands of namespace management carry (NVM Express Base Specification 2.0, chapters
// 5.17, 5.20 and 5.23; NVM Command Set Specification, chapter 4.1.5). Pure; thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/system/nvme_pages.h"

namespace ashlar::sys {

// Identify Controller (CNS 01h): what else matters to who manages namespaces.
struct NvmeManagement {
  NvmeController controller;
  bool several_controllers = false;  // CMIC: the subsystem may have more than one
  bool tells_granularity = false;    // CTRATT: Namespace Granularity
  uint32_t max_namespaces = 0;       // MNAN, else NN
  // Format NVM with cryptographic erase is there and touches the one namespace that is named.
  bool erases_one_namespace = false;
  bool operator==(const NvmeManagement&) const = default;
};

// Identify Namespace (CNS 00h or 11h): what else matters.
struct NvmeAllocatedNamespace {
  NvmeNamespace space;
  bool shared = false;  // NMIC: may be attached to several controllers
  bool operator==(const NvmeAllocatedNamespace&) const = default;
};

// Namespace Management, Create: the data that the host sends.
struct NvmeNewNamespace {
  int64_t size_blocks = 0;  // NSZE, and NCAP: fully provisioned
  uint8_t format = 0;       // LbaFormat::index
  bool shared = false;
  bool operator==(const NvmeNewNamespace&) const = default;
};

// InvalidArgument: the page is too short, or is none (all zero).
absl::StatusOr<NvmeManagement> ParseNvmeManagement(absl::string_view page);
absl::StatusOr<NvmeAllocatedNamespace> ParseNvmeAllocatedNamespace(absl::string_view page);

// Lists may be empty; InvalidArgument: the page is too short, or names more than fits.
constexpr size_t kNvmeNamespaceListEntries = 1024;
absl::StatusOr<std::vector<uint32_t>> ParseNvmeNamespaceList(absl::string_view page);
constexpr size_t kNvmeControllerListEntries = 2047;
absl::StatusOr<std::vector<uint16_t>> ParseNvmeControllerList(absl::string_view page);
// At most kNvmeControllerListEntries.
std::string MakeNvmeControllerList(const std::vector<uint16_t>& controllers);

std::string MakeNvmeNewNamespace(const NvmeNewNamespace& space);
absl::StatusOr<NvmeNewNamespace> ParseNvmeNewNamespace(absl::string_view page);

// Namespace Granularity List (CNS 16h): of what size and capacity of namespaces of this format
// should be a multiple, in bytes; 0: it does not tell. InvalidArgument: the page is too short.
absl::StatusOr<int64_t> ParseNvmeGranularity(absl::string_view page, uint8_t format);

}  // namespace ashlar::sys
