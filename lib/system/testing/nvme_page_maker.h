// Makes the pages that lib/system/nvme_pages.h parses, for tests.
#pragma once

#include <string>

#include "lib/system/nvme_pages.h"

namespace ashlar::sys {

std::string MakeNvmePage(const NvmeController& controller);
// FLBAS names the format that is in use.
std::string MakeNvmePage(const NvmeNamespace& space);
std::string MakeNvmePage(const NvmeNamespaceIds& ids);
std::string MakeNvmePage(const NvmeHealth& health);

}  // namespace ashlar::sys
