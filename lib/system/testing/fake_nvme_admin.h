// FakeNvmeAdmin: answers of drives that a test describes, in the pages of real ones. Thread-safe
// after the last change of `drives`.
#pragma once

#include <atomic>
#include <map>

#include "absl/strings/str_cat.h"
#include "lib/system/nvme_admin.h"
#include "lib/system/testing/nvme_page_maker.h"

namespace ashlar::sys {

class FakeNvmeAdmin final : public NvmeAdmin {
 public:
  struct Drive {
    NvmeController controller;
    std::map<uint32_t, NvmeNamespace> namespaces;
    std::map<uint32_t, NvmeNamespaceIds> ids;  // a namespace without refuses the command
    NvmeHealth health;
  };
  std::map<std::string, Drive> drives;  // by device
  std::atomic<int> health_reads = 0;

  absl::StatusOr<std::string> Identify(const std::string& device, uint8_t structure,
                                       uint32_t nsid) override {
    const auto drive = drives.find(device);
    if (drive == drives.end()) return absl::NotFoundError(absl::StrCat("open ", device));
    if (structure == kNvmeIdentifyController) return MakeNvmePage(drive->second.controller);
    const auto space = drive->second.namespaces.find(nsid);
    if (space == drive->second.namespaces.end()) return Refused();
    if (structure == kNvmeIdentifyNamespace) return MakeNvmePage(space->second);
    const auto ids = drive->second.ids.find(nsid);
    if (structure != kNvmeIdentifyNamespaceIds || ids == drive->second.ids.end()) return Refused();
    return MakeNvmePage(ids->second);
  }
  absl::StatusOr<std::string> ReadLog(const std::string& device, uint8_t log,
                                      uint32_t bytes) override {
    const auto drive = drives.find(device);
    if (drive == drives.end()) return absl::NotFoundError(absl::StrCat("open ", device));
    if (log != kNvmeLogHealth) return Refused();
    ++health_reads;
    return MakeNvmePage(drive->second.health).substr(0, bytes);
  }

 private:
  static absl::Status Refused() { return absl::InternalError("NVMe admin command: status 0x4002"); }
};

}  // namespace ashlar::sys
