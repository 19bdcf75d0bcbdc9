#include "node-agent/inventory/drive_paths.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "lib/system/files.h"

namespace ashlar::node_agent {
namespace {

bool IsPciAddress(absl::string_view part) {
  return part.size() == 12 && part[4] == ':' && part[7] == ':' && part[10] == '.';
}

std::string Attribute(const std::string& directory, absl::string_view name) {
  const absl::StatusOr<std::string> text = sys::ReadFile(absl::StrCat(directory, "/", name));
  return text.ok() ? std::string(absl::StripAsciiWhitespace(*text)) : "";
}

int32_t Number(const std::string& text, int32_t otherwise) {
  int32_t value;
  return absl::SimpleAtoi(text, &value) ? value : otherwise;
}

// "16.0 GT/s PCIe" as "16.0 GT/s"; "Unknown" as "".
std::string Speed(const std::string& text) {
  const size_t unit = text.find(" GT/s");
  return unit == std::string::npos ? "" : text.substr(0, unit + 5);
}

// 0 and 255 stand for a device without a link.
int32_t Lanes(const std::string& text) {
  const int32_t lanes = Number(text, 0);
  return lanes > 32 ? 0 : lanes;
}

void ReadController(const std::string& directory, DrivePath& path) {
  path.link_speed = Speed(Attribute(directory, "current_link_speed"));
  path.max_link_speed = Speed(Attribute(directory, "max_link_speed"));
  path.link_width = Lanes(Attribute(directory, "current_link_width"));
  path.max_link_width = Lanes(Attribute(directory, "max_link_width"));
  const std::string group = sys::RealPath(absl::StrCat(directory, "/iommu_group")).value_or("");
  if (group.empty()) return;
  path.iommu_group = group.substr(group.rfind('/') + 1);
  // DMA, DMA-FQ; identity passes addresses through.
  path.iommu_translates = absl::StartsWith(Attribute(group, "type"), "DMA");
}

// From the real path of a device in sysfs.
DrivePath PathOf(const std::string& device) {
  DrivePath path;
  std::string at, controller;
  for (const absl::string_view part : absl::StrSplit(device, '/', absl::SkipEmpty())) {
    absl::StrAppend(&at, "/", part);
    if (absl::StartsWith(part, "pci") && absl::StrContains(part, ':') && path.pci.empty())
      path.pcie_root = std::string(part);
    if (!IsPciAddress(part)) continue;
    path.pci.push_back(std::string(part));
    path.numa_node = std::max(path.numa_node, Number(Attribute(at, "numa_node"), -1));
    controller = at;
  }
  if (!controller.empty()) ReadController(controller, path);
  return path;
}

// Names of the NVMe controllers that lead to the namespace `name` now.
std::vector<std::string> ControllersOf(const std::string& device, const std::string& name) {
  // A namespace nvme0n1 of a subsystem has an entry nvme0c3n1 in each controller that leads to it.
  const size_t n = name.rfind('n');
  const std::string before = absl::StrCat(name.substr(0, n), "c"), after = name.substr(n);
  std::vector<std::string> controllers;
  for (const std::string& entry : sys::ListDirectory(device).value_or(std::vector<std::string>{})) {
    if (!absl::StartsWith(entry, "nvme") ||
        !sys::Exists(absl::StrCat(device, "/", entry, "/cntlid")))
      continue;
    const auto leads = [&](const std::string& child) {
      return absl::StartsWith(child, before) && absl::EndsWith(child, after);
    };
    const auto children = sys::ListDirectory(absl::StrCat(device, "/", entry));
    if (children.ok() && std::any_of(children->begin(), children->end(), leads))
      controllers.push_back(entry);
  }
  return controllers;
}

}  // namespace

std::optional<DrivePath> ReadPciPath(const std::string& sys_root, const std::string& address) {
  if (!IsPciAddress(address)) return std::nullopt;
  const auto real = sys::RealPath(absl::StrCat(sys_root, "/bus/pci/devices/", address));
  if (!real.ok()) return std::nullopt;
  return PathOf(*real);
}

std::vector<DrivePath> ReadDrivePaths(const std::string& sys_root, const std::string& name) {
  const std::string block = absl::StrCat(sys_root, "/block/", name);
  const std::string device = absl::StrCat(block, "/device");
  std::vector<DrivePath> paths;
  const auto add = [&](const std::string& link, const std::string& controller) {
    const absl::StatusOr<std::string> real = sys::RealPath(link);
    if (!real.ok()) return;
    paths.push_back(PathOf(*real));
    paths.back().controller = controller;
  };
  if (absl::StartsWith(name, "nvme")) {
    if (sys::Exists(absl::StrCat(device, "/cntlid"))) {
      const std::string real = sys::RealPath(device).value_or("");
      add(block, real.substr(real.rfind('/') + 1));
    } else {
      for (const std::string& controller : ControllersOf(device, name))
        add(absl::StrCat(device, "/", controller), controller);
    }
  } else {
    add(block, "");
    if (paths.size() == 1 && paths[0].pci.empty()) paths.clear();
  }
  std::sort(paths.begin(), paths.end(), [](const DrivePath& a, const DrivePath& b) {
    return std::make_pair(a.pci_address(), a.controller) <
           std::make_pair(b.pci_address(), b.controller);
  });
  return paths;
}

}  // namespace ashlar::node_agent
