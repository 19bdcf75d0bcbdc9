#include "node-agent/testing/fake_nvme.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "gtest/gtest.h"
#include "lib/base/json.h"
#include "lib/system/block_device.h"
#include "lib/system/files.h"
#include "lib/system/nvme_admin.h"
#include "lib/system/testing/nvme_page_maker.h"
#include "node-agent/storage/volume_facts.h"

namespace ashlar::node_agent {
namespace {

namespace fs = std::filesystem;
using sys::NvmeCompletion;
using sys::NvmeStatus;

constexpr char kNqn[] = "nqn.2014-08.org.ashlar.fake:";
constexpr char kFirmware[] = "1.0";
constexpr size_t kOurControllers = 2;

// Without these there is no test.
void Must(const absl::Status& status) { ASSERT_TRUE(status.ok()) << status; }

NvmeCompletion Status(NvmeStatus status) {
  return {static_cast<NvmeStatus>(sys::kNvmeDoNotRetry | status)};
}
NvmeCompletion Page(std::string page) { return {0, 0, std::move(page)}; }

const std::vector<sys::LbaFormat>& Formats() {
  static const std::vector<sys::LbaFormat> formats = {
      {0, 512, 0, 2, false}, {1, 4096, 0, 0, false}, {2, 4096, 8, 0, false}};
  return formats;
}

void PutNumber(std::string& page, size_t at, uint64_t value, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i) page[at + i] = static_cast<char>(value >> (8 * i));
}

void WriteFile(const std::string& path, const std::string& text) {
  fs::create_directories(fs::path(path).parent_path());
  const auto fd = sys::OpenFile(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  Must(fd.status());
  ASSERT_EQ(write(fd->get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
}

void Fill(const std::string& file, int64_t at, int64_t bytes, char byte) {
  const auto fd = sys::OpenFile(file, O_WRONLY);
  Must(fd.status());
  const std::string chunk(static_cast<size_t>(kMiB), byte);
  for (int64_t done = 0; done < bytes; done += kMiB) {
    const auto some = static_cast<size_t>(std::min(kMiB, bytes - done));
    ASSERT_EQ(pwrite(fd->get(), chunk.data(), some, at + done), static_cast<ssize_t>(some));
  }
}

}  // namespace

FakeNvme::FakeNvme(FakeNvmeOptions options) : options_(std::move(options)) {
  if (!sys::Exists(options_.directory)) {
    for (const char* name : {"/sys/block", "/dev", "/parked"})
      fs::create_directories(options_.directory + name);
    ShowControllers();
    Save({});
  }
  const State state = Load();
  CollectGarbage(state);
  Show(state);
}

int64_t FakeNvme::Bytes(const Space& space) {
  return space.blocks * Formats()[space.format].data_bytes;
}

int64_t FakeNvme::Unallocated(const State& state) const {
  int64_t left = options_.capacity_bytes;
  for (const auto& [nsid, space] : state.spaces)
    left -= (Bytes(space) + options_.granularity_bytes - 1) / options_.granularity_bytes *
            options_.granularity_bytes;
  return std::max<int64_t>(0, left);
}

std::string FakeNvme::FileOf(uint32_t nsid) const {
  return absl::StrCat(options_.directory, "/ns-", nsid, ".img");
}

std::string FakeNvme::BlockOf(uint32_t nsid) const {
  return absl::StrCat(sys_root(), "/block/nvme0n", nsid);
}

std::string FakeNvme::DeviceOf(uint32_t nsid) const {
  return absl::StrCat(dev_root(), "/nvme0n", nsid);
}

bool FakeNvme::IsOurs(const Space& space) const {
  for (size_t i = 0; i < std::min(kOurControllers, options_.controllers.size()); ++i)
    if (std::count(space.attached.begin(), space.attached.end(), options_.controllers[i]) > 0)
      return true;
  return false;
}

FakeNvme::State FakeNvme::Load() const {
  State state;
  const auto text = sys::ReadFile(options_.directory + "/state.json");
  const auto json = text.ok() ? ParseJson(*text) : text.status();
  Must(json.status());
  if (!json.ok()) return state;
  state.made = (*json)["made"].get<uint64_t>();
  for (const Json& one : (*json)["spaces"])
    state.spaces[one["nsid"].get<uint32_t>()] = {
        one["blocks"].get<int64_t>(), one["format"].get<uint8_t>(), one["shared"].get<bool>(),
        one["nguid"].get<std::string>(), one["attached"].get<std::vector<uint16_t>>()};
  return state;
}

void FakeNvme::Save(const State& state) {
  Json spaces = Json::array();
  for (const auto& [nsid, space] : state.spaces)
    spaces.push_back({{"nsid", nsid},
                      {"blocks", space.blocks},
                      {"format", space.format},
                      {"shared", space.shared},
                      {"nguid", space.nguid},
                      {"attached", space.attached}});
  Must(sys::ReplaceFileDurably(options_.directory + "/state.json",
                               DumpJson({{"made", state.made}, {"spaces", spaces}})));
}

void FakeNvme::CollectGarbage(const State& state) {
  const auto names = sys::ListDirectory(options_.directory);
  for (const std::string& name : *names) {
    uint32_t nsid = 0;
    if (absl::StartsWith(name, "ns-") &&
        absl::SimpleAtoi(name.substr(3, name.find('.') - 3), &nsid) &&
        state.spaces.count(nsid) == 0) {
      HideNamespace(nsid);
      std::string freed;
      for (int i = 0; freed.empty() || sys::Exists(freed); ++i)
        freed = absl::StrCat(options_.directory, "/freed-", i, ".img");
      fs::rename(FileOf(nsid), freed);
    }
  }
}

void FakeNvme::AddSpace(State& state, uint32_t nsid, Space space) {
  const std::string file = FileOf(nsid);
  std::string freed;
  for (const auto& entry : fs::directory_iterator(options_.directory))
    if (absl::StartsWith(entry.path().filename().string(), "freed-")) freed = entry.path();
  const bool reused = !freed.empty();
  if (reused) fs::rename(freed, file);
  const auto fd = sys::OpenFile(file, O_RDWR | O_CREAT, 0600);
  Must(fd.status());
  const int64_t bytes = Bytes(space);
  Must(sys::Truncate(fd->get(), bytes, file));
  if (reused) {
    Fill(file, 0, std::min(kMiB, bytes), '\0');
    Fill(file, std::max<int64_t>(0, bytes - kMiB), std::min(kMiB, bytes), '\0');
  }
  space.nguid = absl::StrFormat("%032x", ++state.made);
  state.spaces[nsid] = std::move(space);
  Save(state);
}

uint32_t FakeNvme::Prepare(int64_t size_bytes, std::vector<uint16_t> attached) {
  MutexLock lock(mu_);
  State state = Load();
  uint32_t nsid = 1;
  while (state.spaces.count(nsid) > 0) ++nsid;
  AddSpace(state, nsid, {size_bytes / 4096, 1, true, "", std::move(attached)});
  Show(state);
  return nsid;
}

std::map<uint32_t, std::vector<uint16_t>> FakeNvme::Namespaces() {
  MutexLock lock(mu_);
  std::map<uint32_t, std::vector<uint16_t>> found;
  for (const auto& [nsid, space] : Load().spaces) found[nsid] = space.attached;
  return found;
}

std::vector<std::string> FakeNvme::Media() const {
  std::vector<std::string> files;
  for (const auto& entry : fs::directory_iterator(options_.directory))
    if (entry.path().extension() == ".img") files.push_back(entry.path());
  return files;
}

int64_t FakeNvme::CountOnMedium(const std::string& pattern) const {
  int64_t count = 0;
  for (const std::string& file : Media()) {
    const fs::directory_entry entry(file);
    for (uintmax_t at = 0; at < entry.file_size(); at += kMiB) {
      const size_t bytes = std::min<size_t>(kMiB, entry.file_size() - at);
      const std::string data = *sys::ReadAt(entry.path(), static_cast<int64_t>(at), bytes);
      for (size_t hit = data.find(pattern); hit != std::string::npos;
           hit = data.find(pattern, hit + 1))
        ++count;
    }
  }
  return count;
}

absl::StatusOr<NvmeCompletion> FakeNvme::Submit(const std::string& controller,
                                                const sys::NvmeCommand& command) {
  if (!absl::StartsWith(controller, dev_root() + "/nvme"))
    return absl::NotFoundError(absl::StrCat("open ", controller));
  MutexLock lock(mu_);
  const State state = Load();
  switch (command.opcode) {
    case sys::kNvmeIdentify:
      return Identify(state, command);
    case sys::kNvmeNamespaceManagement:
      return options_.manages ? Manage(state, command) : Status(0x001);
    case sys::kNvmeNamespaceAttachment:
      return options_.manages ? Attach(state, command) : Status(0x001);
    case sys::kNvmeFormat:
      return Format(state, command);
    default:
      return Status(0x001);
  }
}

NvmeCompletion FakeNvme::Identify(const State& state, const sys::NvmeCommand& command) {
  const uint32_t cns = command.cdw10 & 0xff;
  if (!options_.manages && cns >= 0x10) return Status(0x002);
  std::string page(sys::kNvmeIdentifyBytes, '\0');
  if (cns == sys::kNvmeIdentifyController) {
    sys::NvmeController told;
    told.serial = options_.serial;
    told.model = "FAKE";
    told.firmware = kFirmware;
    told.format = told.format_crypto_erase = options_.crypto_erases;
    told.namespace_management = options_.manages;
    told.capacity_bytes = options_.tells_capacity ? options_.capacity_bytes : 0;
    told.unallocated_bytes = options_.tells_capacity ? Unallocated(state) : 0;
    told.max_namespaces = options_.max_namespaces;
    page = sys::MakeNvmePage(told);
    page[76] = 2;                                      // CMIC
    page[96] = static_cast<char>(0x80);                // CTRATT
    PutNumber(page, 540, options_.max_namespaces, 4);  // MNAN
  } else if (cns == sys::kNvmeIdentifyGranularity) {
    PutNumber(page, 32, static_cast<uint64_t>(options_.granularity_bytes), 8);
    PutNumber(page, 40, static_cast<uint64_t>(options_.granularity_bytes), 8);
  } else if (cns == sys::kNvmeIdentifyAllocatedList) {
    size_t at = 0;
    for (const auto& [nsid, space] : state.spaces)
      if (nsid > command.nsid) PutNumber(page, 4 * at++, nsid, 4);
  } else if (const auto found = state.spaces.find(command.nsid); found != state.spaces.end()) {
    const Space& space = found->second;
    sys::NvmeNamespace told{space.blocks, space.nguid, "", Formats()};
    told.lba_formats[space.format].in_use = true;
    if (cns == sys::kNvmeIdentifyAttachedControllers)
      page = sys::MakeNvmeControllerList(space.attached);
    else if (cns == sys::kNvmeIdentifyAllocatedNamespace ||
             (cns == sys::kNvmeIdentifyNamespace && !space.attached.empty()))
      page = sys::MakeNvmePage(told);
    else if (cns != sys::kNvmeIdentifyNamespace)
      return Status(0x002);
    if (cns != sys::kNvmeIdentifyAttachedControllers) page[30] = space.shared ? 1 : 0;
  } else if (cns == sys::kNvmeIdentifyNamespace && command.nsid == sys::kNvmeEveryNamespace) {
    page = sys::MakeNvmePage(sys::NvmeNamespace{0, "", "", Formats()});
  } else {
    return Status(0x00b);
  }
  return Page(std::move(page));
}

NvmeCompletion FakeNvme::Manage(State state, const sys::NvmeCommand& command) {
  if (command.cdw10 == 0) return Create(std::move(state), command);
  if (command.cdw10 != 1) return Status(0x002);
  if (state.spaces.erase(command.nsid) == 0) return Status(0x00b);
  Save(state);
  CollectGarbage(state);
  return {};
}

NvmeCompletion FakeNvme::Create(State state, const sys::NvmeCommand& command) {
  ++creates_;
  if (options_.refuses_create != 0) return {options_.refuses_create};
  const auto wanted = sys::ParseNvmeNewNamespace(command.data);
  if (!wanted.ok() || command.nsid != 0) return Status(0x002);
  if (wanted->format >= Formats().size()) return Status(0x10a);
  if (state.spaces.size() >= options_.max_namespaces) return Status(0x116);
  const Space space{wanted->size_blocks, wanted->format, wanted->shared, "", {}};
  if (Bytes(space) > Unallocated(state)) return Status(0x115);
  uint32_t nsid = 1;
  while (state.spaces.count(nsid) > 0) ++nsid;
  AddSpace(state, nsid, space);
  return {0, nsid};
}

NvmeCompletion FakeNvme::Attach(State state, const sys::NvmeCommand& command) {
  const auto found = state.spaces.find(command.nsid);
  if (found == state.spaces.end()) return Status(0x00b);
  std::vector<uint16_t>& attached = found->second.attached;
  const auto named = sys::ParseNvmeControllerList(command.data);
  if (!named.ok() || named->empty() || command.cdw10 > 1) return Status(0x002);
  for (const uint16_t id : *named) {
    const auto& all = options_.controllers;
    if (std::count(all.begin(), all.end(), id) == 0) return Status(0x11c);
    const bool is_attached = std::count(attached.begin(), attached.end(), id) > 0;
    if (is_attached == (command.cdw10 == 0)) return Status(is_attached ? 0x118 : 0x11a);
    if (command.cdw10 == 0)
      attached.push_back(id);
    else
      std::erase(attached, id);
  }
  if (!found->second.shared && attached.size() > 1) return Status(0x119);
  Save(state);
  return {};
}

NvmeCompletion FakeNvme::Format(const State& state, const sys::NvmeCommand& command) {
  const auto found = state.spaces.find(command.nsid);
  if (found == state.spaces.end()) return Status(0x00b);
  if (!options_.crypto_erases || (command.cdw10 >> 9 & 7) != 2) return Status(0x002);
  if ((command.cdw10 & 0xf) != found->second.format) return Status(0x10a);
  // Without its key the medium reads as noise.
  Fill(IsOurs(found->second) ? DeviceOf(command.nsid) : FileOf(command.nsid), 0,
       Bytes(found->second), '\xa7');
  return {};
}

absl::Status FakeNvme::Rescan(const std::string&) {
  MutexLock lock(mu_);
  Show(Load());
  return absl::OkStatus();
}

void FakeNvme::ShowControllers() {
  for (size_t i = 0; i < std::min(kOurControllers, options_.controllers.size()); ++i) {
    const std::string at = absl::StrCat(sys_root(), "/class/nvme/nvme", i, "/");
    WriteFile(at + "transport", "pcie\n");
    WriteFile(at + "state", "live\n");
    WriteFile(at + "subsysnqn", absl::StrCat(kNqn, options_.serial, "\n"));
    WriteFile(at + "cntlid", absl::StrCat(options_.controllers[i], "\n"));
    WriteFile(at + "serial", options_.serial + "\n");
    WriteFile(at + "model", "FAKE\n");
    WriteFile(at + "firmware_rev", absl::StrCat(kFirmware, "\n"));
  }
  for (uint32_t nsid = 1; nsid <= options_.max_namespaces; ++nsid) {
    const std::string at = absl::StrCat(options_.directory, "/parked/nvme0n", nsid, "/");
    WriteFile(at + "hidden", "0\n");
    WriteFile(at + "ro", "0\n");
    WriteFile(at + "nsid", absl::StrCat(nsid, "\n"));
    WriteFile(at + "wwid", absl::StrCat("nvme.fake-", options_.serial, "-", nsid, "\n"));
    WriteFile(at + "queue/logical_block_size", "4096\n");
    WriteFile(at + "device/serial", options_.serial + "\n");
    WriteFile(at + "device/model", "FAKE\n");
    WriteFile(at + "device/subsysnqn", absl::StrCat(kNqn, options_.serial, "\n"));
    fs::create_directories(at + "holders");
  }
}

void FakeNvme::Show(const State& state) {
  for (uint32_t nsid = 1; nsid <= options_.max_namespaces; ++nsid) {
    const auto found = state.spaces.find(nsid);
    if (found != state.spaces.end() && IsOurs(found->second))
      ShowNamespace(nsid, found->second);
    else if (sys::Exists(FileOf(nsid)))
      HideNamespace(nsid);
  }
}

void FakeNvme::ShowNamespace(uint32_t nsid, const Space& space) {
  const auto file = sys::StatFile(FileOf(nsid));
  Must(file.status());
  const auto devices = loops_.List();
  Must(devices.status());
  auto loop = sys::FindByBacking(*devices, file->identity);
  if (!loop) {
    const auto held = loops_.Attach({}, FileOf(nsid), {"lab", false, true});
    Must(held.status());
    loop = held->device;
  }
  std::error_code ignored;
  if (fs::read_symlink(DeviceOf(nsid), ignored) != loop->path) {
    fs::remove(DeviceOf(nsid));
    fs::create_symlink(loop->path, DeviceOf(nsid));
  }
  if (sys::Exists(BlockOf(nsid))) return;
  const std::string parked = absl::StrCat(options_.directory, "/parked/nvme0n", nsid);
  WriteFile(parked + "/size", absl::StrCat(Bytes(space) / 512, "\n"));
  fs::create_directory_symlink(parked, BlockOf(nsid));
}

void FakeNvme::HideNamespace(uint32_t nsid) {
  std::error_code ignored;
  fs::remove(BlockOf(nsid), ignored);
  fs::remove(DeviceOf(nsid), ignored);
  const auto file = sys::StatFile(FileOf(nsid));
  if (!file.ok()) return;
  const auto devices = loops_.List();
  Must(devices.status());
  if (const auto loop = sys::FindByBacking(*devices, file->identity))
    Must(loops_.Detach(loop->path, file->identity));
}

}  // namespace ashlar::node_agent
