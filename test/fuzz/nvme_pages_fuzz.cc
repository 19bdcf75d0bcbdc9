// Any bytes as the pages of an NVMe controller, and as a uevent of the kernel.
#include "lib/system/device_events.h"
#include "lib/system/nvme_namespace_pages.h"
#include "lib/system/nvme_pages.h"
#include "test/fuzz/fuzz_target.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using ashlar::fuzz::Require;
  namespace sys = ashlar::sys;
  const absl::string_view text = ashlar::fuzz::Text(data, size);
  if (const auto event = sys::ParseUevent(text))
    Require(!event->action.empty() && !event->path.empty(), "an event says what happened to whom");
  // A page as it is, too short, and filled up.
  std::string page(text);
  for (const size_t bytes : {size, sys::kNvmeHealthBytes, sys::kNvmeIdentifyBytes}) {
    page.resize(bytes);
    if (const auto controller = sys::ParseNvmeController(page); controller.ok())
      Require(controller->capacity_bytes >= 0 && controller->unallocated_bytes >= 0 &&
                  controller->serial.size() <= 20 && controller->model.size() <= 40,
              "a controller has sizes and names that can be");
    if (const auto space = sys::ParseNvmeNamespace(page); space.ok()) {
      Require(space->size_blocks >= 0 && space->lba_formats.size() <= 64, "a namespace can be");
      int in_use = 0;
      for (const sys::LbaFormat& format : space->lba_formats) {
        Require(format.data_bytes >= 512, "a block has bytes");
        in_use += format.in_use ? 1 : 0;
      }
      Require(in_use <= 1, "one format is in use");
    }
    if (const auto ids = sys::ParseNvmeNamespaceIds(page); ids.ok())
      Require((ids->uuid.empty() || ids->uuid.size() == 36) &&
                  (ids->nguid.empty() || ids->nguid.size() == 32) &&
                  (ids->eui64.empty() || ids->eui64.size() == 16),
              "identifiers have their lengths");
    if (const auto health = sys::ParseNvmeHealth(page); health.ok())
      Require(health->media_errors >= 0 && health->used_percent >= 0, "health can be");
    (void)sys::ParseNvmeManagement(page);
    (void)sys::ParseNvmeAllocatedNamespace(page);
    if (const auto ids = sys::ParseNvmeNamespaceList(page); ids.ok())
      Require(ids->size() <= sys::kNvmeNamespaceListEntries, "a list ends with its page");
    if (const auto ids = sys::ParseNvmeControllerList(page); ids.ok())
      Require(*sys::ParseNvmeControllerList(sys::MakeNvmeControllerList(*ids)) == *ids,
              "a list is read as it was made");
    if (const auto space = sys::ParseNvmeNewNamespace(page); space.ok())
      Require(*sys::ParseNvmeNewNamespace(sys::MakeNvmeNewNamespace(*space)) == *space,
              "a new namespace is read as it was made");
    for (const uint8_t format : {0, 3, 63})
      if (const auto grain = sys::ParseNvmeGranularity(page, format); grain.ok())
        Require(*grain >= 0 && *grain <= int64_t{1} << 40, "a grain is no drive");
  }
  return 0;
}
