#include "test/bench/block_place.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "lib/system/command_runner.h"
#include "lib/system/files.h"
#include "test/bench/direct_io.h"

namespace ashlar::bench {
namespace {

constexpr int64_t kSector = 512;  // of sysfs and device-mapper, whatever the drive's is

dev_t NumberOf(const std::string& device) {
  struct stat found;
  Must(stat(device.c_str(), &found) == 0, "stat " + device);
  return found.st_rdev;
}

std::string SysfsOf(dev_t number) {
  const auto path =
      sys::RealPath(absl::StrCat("/sys/dev/block/", major(number), ":", minor(number)));
  Must(path.ok(), path.status().ToString());
  return *path;
}

int64_t Number(absl::string_view text) {
  int64_t value = 0;
  Must(absl::SimpleAtoi(absl::StripAsciiWhitespace(text), &value),
       absl::StrCat("no number: ", text));
  return value;
}

// "0 LENGTH linear MAJOR:MINOR START" of `dmsetup table`.
Place ThroughLinear(const std::string& device) {
  sys::PosixCommandRunner runner;
  const auto table = runner.Run({}, {"dmsetup", "table", device});
  Must(table.ok() && table->exit_code == 0, "dmsetup table " + device);
  const std::vector<std::string> words =
      absl::StrSplit(absl::StripAsciiWhitespace(table->out), ' ');
  Must(words.size() == 5 && words[2] == "linear", device + " is in several pieces");
  const auto name = sys::RealPath("/sys/dev/block/" + words[3]);
  Must(name.ok(), name.status().ToString());
  return {absl::StrCat("/dev/", name->substr(name->rfind('/') + 1)), Number(words[4]) * kSector};
}

}  // namespace

Place PlaceOf(const std::string& device, const std::string& drive) {
  if (NumberOf(device) == NumberOf(drive)) return {drive, 0};
  const std::string sysfs = SysfsOf(NumberOf(device));
  if (const auto image = sys::ReadFile(sysfs + "/loop/backing_file"); image.ok())
    return {std::string(absl::StripAsciiWhitespace(*image)), 0};
  Place below;
  if (const auto start = sys::ReadFile(sysfs + "/start"); start.ok()) {
    const std::string parent = sysfs.substr(0, sysfs.rfind('/'));
    below = {absl::StrCat("/dev/", parent.substr(parent.rfind('/') + 1)), Number(*start) * kSector};
  } else if (sys::Exists(sysfs + "/dm")) {
    below = ThroughLinear(device);
  } else {
    return {device, 0};  // a namespace
  }
  Place place = PlaceOf(below.path, drive);
  place.offset += below.offset;
  return place;
}

}  // namespace ashlar::bench
