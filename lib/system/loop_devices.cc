#include "lib/system/loop_devices.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/system/errno_status.h"

namespace ashlar::sys {
namespace {

constexpr int kAttachAttempts = 64;
constexpr int kFirstOwnDevice = 4096;
constexpr absl::Duration kDetachPatience = absl::Seconds(2);
constexpr absl::Duration kLookAgain = absl::Milliseconds(5);
constexpr char kVirtualDevices[] = "/sys/devices/virtual/block";

std::string DevicePath(int number) { return absl::StrCat("/dev/loop", number); }

// Exists while the device is attached; a look there is cheaper than to open the device.
std::string AttachedFolder(absl::string_view device) {
  return absl::StrCat(kVirtualDevices, device.substr(device.rfind('/')), "/loop");
}

absl::StatusOr<LoopDevice> StatusOf(int fd, const std::string& path) {
  loop_info64 info{};
  if (ioctl(fd, LOOP_GET_STATUS64, &info) != 0)
    return ErrnoStatus(errno, absl::StrCat("state of ", path));
  struct stat st;
  if (fstat(fd, &st) != 0) return ErrnoStatus(errno, absl::StrCat("stat ", path));
  LoopDevice device;
  device.path = path;
  device.label.assign(reinterpret_cast<const char*>(info.lo_file_name),
                      strnlen(reinterpret_cast<const char*>(info.lo_file_name), LO_NAME_SIZE));
  device.backing = {info.lo_device, info.lo_inode};
  device.major = major(st.st_rdev);
  device.minor = minor(st.st_rdev);
  device.direct_io = (info.lo_flags & LO_FLAGS_DIRECT_IO) != 0;
  device.auto_clear = (info.lo_flags & LO_FLAGS_AUTOCLEAR) != 0;
  return device;
}

loop_config ConfigFor(int file, const LoopOptions& options) {
  loop_config config{};
  config.fd = static_cast<uint32_t>(file);
  config.info.lo_flags = LO_FLAGS_DIRECT_IO;
  if (options.auto_clear) config.info.lo_flags |= LO_FLAGS_AUTOCLEAR;
  const size_t length = std::min<size_t>(options.label.size(), LO_NAME_SIZE - 1);
  memcpy(config.info.lo_file_name, options.label.data(), length);
  return config;
}

// Keeps discards of the device's users from the file, where they would become holes: that is the
// kernel's default. A write makes the kernel wait until the device's queue is idle everywhere (some
// 15 ms, Linux 6.18), but what is written outlives the attachment.
void StopDiscards(const std::string& device) {
  const std::string knob =
      absl::StrCat(kVirtualDevices, device.substr(device.rfind('/')), "/queue/discard_max_bytes");
  const absl::StatusOr<std::string> now = ReadFile(knob);
  if (now.ok() && absl::StripAsciiWhitespace(*now) == "0") return;
  if (const absl::Status status = WriteExisting(knob, "0"); !status.ok())
    LogWarning("discards stay on", {{"device", device}, {"error", status.ToString()}});
}

// The next device that may be free, from `number` on; it exists then. Devices without discards are
// numbered from kFirstOwnDevice: since about Linux 6.10 discards that were stopped cannot be
// started again, so devices that other programs are handed must not be touched.
absl::StatusOr<int> FindFreeDevice(int control, const LoopOptions& options, int number) {
  if (options.discard) {
    number = ioctl(control, LOOP_CTL_GET_FREE);
    if (number < 0) return ErrnoStatus(errno, "find a free loop device");
    return number;
  }
  while (Exists(AttachedFolder(DevicePath(number)))) ++number;
  if (!Exists(DevicePath(number)) && ioctl(control, LOOP_CTL_ADD, number) < 0 && errno != EEXIST)
    return ErrnoStatus(errno, absl::StrCat("make ", DevicePath(number)));
  return number;
}

}  // namespace

void RemoveSpareLoopDevices(size_t keep) {
  const absl::StatusOr<std::vector<std::string>> names = ListDirectory(kVirtualDevices);
  const absl::StatusOr<UniqueFd> control = OpenFile("/dev/loop-control", O_RDWR);
  if (!names.ok() || !control.ok()) return;
  std::vector<int> spares;
  for (absl::string_view name : *names) {
    int number = 0;
    if (!absl::ConsumePrefix(&name, "loop") || !absl::SimpleAtoi(name, &number)) continue;
    if (number >= kFirstOwnDevice && !Exists(AttachedFolder(DevicePath(number))))
      spares.push_back(number);
  }
  std::sort(spares.begin(), spares.end());
  // Busy, or gone already: another process was faster.
  for (size_t i = keep; i < spares.size(); ++i)
    (void)ioctl(control->get(), LOOP_CTL_REMOVE, spares[i]);
}

std::optional<LoopDevice> FindByBacking(const std::vector<LoopDevice>& devices,
                                        const FileIdentity& backing) {
  for (const LoopDevice& device : devices)
    if (device.backing == backing) return device;
  return std::nullopt;
}

absl::StatusOr<HeldLoopDevice> KernelLoopDevices::Attach(const CallContext& context,
                                                         const std::string& file,
                                                         const LoopOptions& options) {
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd backing, OpenFile(file, O_RDWR));
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd control, OpenFile("/dev/loop-control", O_RDWR));
  const loop_config config = ConfigFor(backing.get(), options);
  int next = kFirstOwnDevice;
  for (int attempt = 0; attempt < kAttachAttempts; ++attempt) {
    if (context.stop.stop_requested()) return absl::CancelledError("the call was called off");
    ASHLAR_ASSIGN_OR_RETURN(const int number, FindFreeDevice(control.get(), options, next));
    next = number + 1;
    const std::string path = DevicePath(number);
    absl::StatusOr<UniqueFd> opened = OpenFile(path, O_RDWR);
    if (absl::IsNotFound(opened.status()) && attempt + 1 < kAttachAttempts) continue;  // removed
    ASHLAR_RETURN_IF_ERROR(opened.status());
    UniqueFd fd = *std::move(opened);
    if (ioctl(fd.get(), LOOP_CONFIGURE, &config) != 0) {
      if (errno == EBUSY || errno == EAGAIN) continue;  // another process was faster
      return ErrnoStatus(errno, absl::StrCat("attach ", file, " to ", path));
    }
    HeldLoopDevice held{{}, std::make_shared<UniqueFd>(std::move(fd))};
    ASHLAR_ASSIGN_OR_RETURN(held.device, StatusOf(held.hold->get(), path));
    if (!held.device.direct_io)
      LogWarning("loop device without direct I/O: expect slow random reads", {{"file", file}});
    if (!options.discard) StopDiscards(path);
    return held;
  }
  return absl::UnavailableError(
      absl::StrCat("attach ", file, ": other processes took ", kAttachAttempts, " loop devices"));
}

absl::StatusOr<std::vector<LoopDevice>> KernelLoopDevices::List() {
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDirectory(kVirtualDevices));
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd directory, OpenFile(kVirtualDevices, O_PATH));
  std::vector<LoopDevice> devices;
  for (const std::string& name : names) {
    if (!absl::StartsWith(name, "loop")) continue;
    // As AttachedFolder.
    if (faccessat(directory.get(), absl::StrCat(name, "/loop").c_str(), F_OK, 0) != 0) continue;
    absl::StatusOr<LoopDevice> device = Inspect(absl::StrCat("/dev/", name));
    if (device.ok()) devices.push_back(*std::move(device));
  }
  return devices;
}

absl::StatusOr<LoopDevice> KernelLoopDevices::Inspect(const std::string& device) {
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(device, O_RDONLY));
  return StatusOf(fd.get(), device);
}

absl::Status KernelLoopDevices::UpdateCapacity(const std::string& device) {
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(device, O_RDONLY));
  if (ioctl(fd.get(), LOOP_SET_CAPACITY, 0) != 0)
    return ErrnoStatus(errno, absl::StrCat("grow ", device));
  return absl::OkStatus();
}

absl::Status KernelLoopDevices::Detach(const std::string& device, const FileIdentity& backing) {
  if (!Exists(AttachedFolder(device))) return absl::OkStatus();
  UniqueFd fd;
  {
    absl::StatusOr<UniqueFd> opened = OpenFile(device, O_RDONLY);
    if (!opened.ok()) return absl::IsNotFound(opened.status()) ? absl::OkStatus() : opened.status();
    fd = *std::move(opened);
  }
  const absl::StatusOr<LoopDevice> now = StatusOf(fd.get(), device);
  if (absl::IsNotFound(now.status())) return absl::OkStatus();
  if (!now.ok()) return now.status();
  if (now->backing != backing) return absl::OkStatus();
  if (ioctl(fd.get(), LOOP_CLR_FD, 0) != 0 && errno != ENXIO)
    return ErrnoStatus(errno, absl::StrCat("detach ", device));
  fd.Close();
  // Whoever lists devices, such as this process or udev, has each of them open for a moment; the
  // kernel detaches when the last user is gone.
  for (int looks = 0; Exists(AttachedFolder(device)); ++looks) {
    const absl::StatusOr<LoopDevice> after = Inspect(device);
    if (!after.ok() || after->backing != backing) return absl::OkStatus();
    if (looks >= kDetachPatience / kLookAgain)
      return absl::FailedPreconditionError(absl::StrCat(device, " is in use"));
    absl::SleepFor(kLookAgain);
  }
  return absl::OkStatus();
}

absl::Status KernelLoopDevices::Abandon(const std::string& device) {
  if (!Exists(AttachedFolder(device))) return absl::OkStatus();
  ASHLAR_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(device, O_RDONLY));
  if (ioctl(fd.get(), LOOP_CLR_FD, 0) != 0 && errno != ENXIO)
    return ErrnoStatus(errno, absl::StrCat("detach ", device));
  return absl::OkStatus();
}

}  // namespace ashlar::sys
