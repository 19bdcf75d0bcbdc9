#include "node-agent/topology/nics.h"

#include <algorithm>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "lib/system/files.h"
#include "node-agent/inventory/drive_paths.h"

namespace ashlar::node_agent {
namespace {

constexpr char kNetworkClass[] = "0x02";     // base class of the PCI Code and ID Assignment
constexpr int64_t kMostMbits = 100'000'000;  // what tells more does not know

std::vector<std::string> Entries(const std::string& directory) {
  return sys::ListDirectory(directory).value_or(std::vector<std::string>{});
}

std::string Attribute(const std::string& directory, absl::string_view name) {
  const auto text = sys::ReadFile(absl::StrCat(directory, "/", name));
  return text.ok() ? std::string(absl::StripAsciiWhitespace(*text)) : "";
}

void AddSpeed(int64_t mbits, v1alpha1::Nic& nic) {
  if (mbits > nic.speed_mbits() && mbits <= kMostMbits)
    nic.set_speed_mbits(static_cast<int32_t>(mbits));
}

void ReadInterfaces(const std::string& directory, v1alpha1::Nic& nic) {
  for (const std::string& name : Entries(absl::StrCat(directory, "/net"))) {
    const std::string interface = absl::StrCat(directory, "/net/", name);
    nic.add_interfaces(name);
    nic.set_link_layer("Ethernet");
    if (Attribute(interface, "operstate") != "up") continue;
    nic.set_link_up(true);
    int64_t mbits = 0;
    if (absl::SimpleAtoi(Attribute(interface, "speed"), &mbits)) AddSpeed(mbits, nic);
  }
}

// "4: ACTIVE", "400 Gb/sec (4X NDR)"
void ReadRdmaDevices(const std::string& directory, v1alpha1::Nic& nic) {
  for (const std::string& name : Entries(absl::StrCat(directory, "/infiniband"))) {
    nic.add_rdma_devices(name);
    const std::string ports = absl::StrCat(directory, "/infiniband/", name, "/ports");
    for (const std::string& number : Entries(ports)) {
      const std::string port = absl::StrCat(ports, "/", number);
      if (Attribute(port, "link_layer") == "InfiniBand") nic.set_link_layer("InfiniBand");
      if (!absl::EndsWith(Attribute(port, "state"), "ACTIVE")) continue;
      nic.set_link_up(true);
      const std::string rate = Attribute(port, "rate");
      double gbits = 0;
      if (absl::SimpleAtod(rate.substr(0, rate.find(' ')), &gbits) && gbits > 0 && gbits < 100'000)
        AddSpeed(static_cast<int64_t>(gbits * 1000), nic);
    }
  }
}

std::optional<v1alpha1::Nic> ReadNic(const std::string& sys_root, const std::string& address) {
  const std::string directory = absl::StrCat(sys_root, "/bus/pci/devices/", address);
  if (!absl::StartsWith(Attribute(directory, "class"), kNetworkClass)) return std::nullopt;
  if (sys::Exists(absl::StrCat(directory, "/physfn"))) return std::nullopt;
  const std::optional<DrivePath> path = ReadPciPath(sys_root, address);
  if (!path) return std::nullopt;
  v1alpha1::Nic nic;
  nic.set_pci_address(address);
  nic.set_numa_node(path->numa_node);
  nic.set_pcie_root(path->pcie_root);
  nic.mutable_pci()->Assign(path->pci.begin(), path->pci.end());
  const std::string driver = sys::RealPath(absl::StrCat(directory, "/driver")).value_or("");
  nic.set_driver(driver.substr(driver.rfind('/') + 1));
  ReadInterfaces(directory, nic);
  // What virtio drives is a device below the function.
  for (const std::string& child : Entries(directory))
    if (absl::StartsWith(child, "virtio")) ReadInterfaces(absl::StrCat(directory, "/", child), nic);
  ReadRdmaDevices(directory, nic);
  return nic;
}

}  // namespace

std::vector<v1alpha1::Nic> ReadNics(const std::string& sys_root) {
  std::vector<std::string> addresses = Entries(absl::StrCat(sys_root, "/bus/pci/devices"));
  std::sort(addresses.begin(), addresses.end());
  std::vector<v1alpha1::Nic> nics;
  for (const std::string& address : addresses)
    if (std::optional<v1alpha1::Nic> nic = ReadNic(sys_root, address))
      nics.push_back(*std::move(nic));
  return nics;
}

}  // namespace ashlar::node_agent
