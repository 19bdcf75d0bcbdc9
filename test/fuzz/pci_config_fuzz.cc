// Any bytes as the configuration space of a PCI function.
#include "node-agent/inventory/pci_function.h"
#include "test/fuzz/fuzz_target.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using ashlar::fuzz::Require;
  using ashlar::node_agent::ParsePciConfig;
  using ashlar::node_agent::PciFunction;
  using ashlar::node_agent::PciPort;
  const std::string text(ashlar::fuzz::Text(data, size));
  // As it is, as those see it who may read the header only, and with all of its room.
  for (const size_t bytes : {size, size_t{64}, size_t{256}, size_t{4096}}) {
    std::string config = text;
    config.resize(bytes);
    const PciFunction function = ParsePciConfig(config);
    if (bytes <= 64)
      Require(function.port == PciPort::kUnknown, "a header alone does not say what it is");
    if (bytes <= 256) Require(!function.redirects, "ACS is behind what everybody can read");
    const PciFunction again = ParsePciConfig(config + std::string(1, '\0'));
    Require(bytes <= 64 || again.port == function.port, "what lies behind changes nothing");
  }
  return 0;
}
