#include "lib/system/device_events.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <cerrno>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "lib/base/status_macros.h"
#include "lib/system/errno_status.h"
#include "lib/system/files.h"

namespace ashlar::sys {
namespace {

constexpr uint32_t kKernelGroup = 1;  // udev sends what it made of them to group 2
constexpr size_t kMaxMessage = 8192;  // the kernel's are at most 2 KiB of variables
constexpr int kBufferBytes = 1 << 20;

absl::StatusOr<UniqueFd> OpenUevents() {
  UniqueFd fd(
      socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT));
  if (!fd.valid()) return ErrnoStatus(errno, "open a socket for uevents");
  // Takes no memory before messages come. As root beyond the machine's limit.
  if (setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &kBufferBytes, sizeof(kBufferBytes)) != 0)
    setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &kBufferBytes, sizeof(kBufferBytes));
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = kKernelGroup;
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
    return ErrnoStatus(errno, "listen for uevents");
  return fd;
}

}  // namespace

std::optional<Uevent> ParseUevent(absl::string_view message) {
  const std::vector<absl::string_view> fields = absl::StrSplit(message, '\0');
  if (!absl::StrContains(fields[0], "@/")) return std::nullopt;
  Uevent event;
  for (const absl::string_view field : fields) {
    const std::pair<absl::string_view, absl::string_view> pair =
        absl::StrSplit(field, absl::MaxSplits('=', 1));
    if (pair.first == "ACTION") event.action = std::string(pair.second);
    if (pair.first == "SUBSYSTEM") event.subsystem = std::string(pair.second);
    if (pair.first == "DEVPATH") event.path = std::string(pair.second);
    if (pair.first == "DEVNAME") event.device = std::string(pair.second);
  }
  if (event.action.empty() || event.subsystem.empty() || event.path.empty()) return std::nullopt;
  return event;
}

absl::StatusOr<DeviceEvents> DeviceEvents::Open() {
  ASHLAR_ASSIGN_OR_RETURN(UniqueFd uevents, OpenUevents());
  ASHLAR_ASSIGN_OR_RETURN(UniqueFd mounts, OpenFile("/proc/self/mountinfo", O_RDONLY));
  absl::StatusOr<UniqueFd> swaps = OpenFile("/proc/swaps", O_RDONLY);
  UniqueFd wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake.valid()) return ErrnoStatus(errno, "eventfd");
  return DeviceEvents(std::move(uevents), std::move(mounts),
                      swaps.ok() ? *std::move(swaps) : UniqueFd(), std::move(wake));
}

void DeviceEvents::ReadUevents(DeviceNews& news) const {
  char buffer[kMaxMessage];
  for (;;) {
    sockaddr_nl sender{};
    socklen_t sender_bytes = sizeof(sender);
    const ssize_t bytes = recvfrom(uevents_.get(), buffer, sizeof(buffer), MSG_DONTWAIT,
                                   reinterpret_cast<sockaddr*>(&sender), &sender_bytes);
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes < 0 && errno == ENOBUFS) {
      news.uevents_lost = true;
      continue;
    }
    if (bytes < 0) return;
    if (sender.nl_pid != 0) continue;  // not the kernel
    std::optional<Uevent> event = ParseUevent({buffer, static_cast<size_t>(bytes)});
    if (event) news.uevents.push_back(*std::move(event));
  }
}

absl::StatusOr<DeviceNews> DeviceEvents::Await(const CallContext& context) {
  const std::stop_callback wake(context.stop, [this] { eventfd_write(wake_.get(), 1); });
  for (;;) {
    if (context.stop.stop_requested()) return absl::CancelledError("the wait was called off");
    // poll leaves out a descriptor of -1.
    pollfd fds[] = {{uevents_.get(), POLLIN, 0},
                    {mounts_.get(), POLLPRI, 0},
                    {swaps_.get(), POLLPRI, 0},
                    {wake_.get(), POLLIN, 0}};
    if (poll(fds, 4, -1) < 0 && errno != EINTR) return ErrnoStatus(errno, "poll for device events");
    eventfd_t woken;
    if (fds[3].revents != 0) eventfd_read(wake_.get(), &woken);
    DeviceNews news;
    if (fds[0].revents != 0) ReadUevents(news);
    news.mounts_changed = fds[1].revents != 0;
    news.swaps_changed = fds[2].revents != 0;
    if (news.mounts_changed || news.swaps_changed || news.uevents_lost || !news.uevents.empty())
      return news;
  }
}

}  // namespace ashlar::sys
