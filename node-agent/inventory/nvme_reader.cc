#include "node-agent/inventory/nvme_reader.h"

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "lib/base/log.h"
#include "lib/system/files.h"

namespace ashlar::node_agent {
namespace {

// Absent, and said in the log of those who look for it, if there is no page or it is none.
template <class Page>
std::optional<Page> Parsed(const std::string& device, const absl::StatusOr<std::string>& bytes,
                           absl::StatusOr<Page> (*parse)(absl::string_view)) {
  absl::StatusOr<Page> page = bytes.ok() ? parse(*bytes) : bytes.status();
  if (page.ok()) return *std::move(page);
  LogDebug("a drive does not tell",
           {{"device", device}, {"error", std::string(page.status().message())}});
  return std::nullopt;
}

void Copy(const sys::NvmeController& from, NvmeFacts& to) {
  to.namespace_management = from.namespace_management;
  to.format_crypto_erase = from.format_crypto_erase;
  to.sanitize_crypto_erase = from.sanitize_crypto_erase;
  to.sanitize_block_erase = from.sanitize_block_erase;
  to.sanitize_overwrite = from.sanitize_overwrite;
  to.capacity_bytes = from.capacity_bytes;
  to.unallocated_bytes = from.unallocated_bytes;
}

}  // namespace

std::optional<NvmeFacts> NvmeReader::ReadFacts(const std::string& device) {
  const auto controller = Parsed(device, admin_.Identify(device, sys::kNvmeIdentifyController, 0),
                                 &sys::ParseNvmeController);
  // One that does not answer this answers nothing.
  if (!controller) return std::nullopt;
  NvmeFacts facts;
  Copy(*controller, facts);
  const std::string name = device.substr(device.rfind('/') + 1);
  const std::string nsid =
      sys::ReadFile(absl::StrCat(sys_root_, "/block/", name, "/nsid")).value_or("");
  if (!absl::SimpleAtoi(absl::StripAsciiWhitespace(nsid), &facts.nsid)) return facts;
  if (auto space = Parsed(device, admin_.Identify(device, sys::kNvmeIdentifyNamespace, facts.nsid),
                          &sys::ParseNvmeNamespace)) {
    facts.eui64 = std::move(space->eui64);
    facts.nguid = std::move(space->nguid);
    facts.lba_formats = std::move(space->lba_formats);
  }
  if (auto ids = Parsed(device, admin_.Identify(device, sys::kNvmeIdentifyNamespaceIds, facts.nsid),
                        &sys::ParseNvmeNamespaceIds)) {
    if (!ids->eui64.empty()) facts.eui64 = std::move(ids->eui64);
    if (!ids->nguid.empty()) facts.nguid = std::move(ids->nguid);
    facts.uuid = std::move(ids->uuid);
  }
  return facts;
}

std::optional<sys::NvmeHealth> NvmeReader::ReadHealth(const std::string& device) {
  return Parsed(device, admin_.ReadLog(device, sys::kNvmeLogHealth, sys::kNvmeHealthBytes),
                &sys::ParseNvmeHealth);
}

void NvmeReader::Fill(std::vector<Drive>& drives) {
  std::map<std::string, KnownHealth> known;
  for (Drive& drive : drives) {
    if (drive.transport != "nvme") continue;
    drive.nvme = ReadFacts(drive.device);
    const std::string key = absl::StrCat(drive.id, " ", drive.device);
    KnownHealth& entry = known[key];
    if (const auto old = health_.find(key); old != health_.end()) entry = old->second;
    if (entry.read == absl::Time() || clock_.Now() - entry.read >= kHealthAge)
      entry = {clock_.Now(), drive.nvme ? ReadHealth(drive.device) : std::nullopt};
    drive.health = entry.health;
  }
  health_ = std::move(known);
}

}  // namespace ashlar::node_agent
