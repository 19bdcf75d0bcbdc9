#include "node-agent/inventory/pci_function.h"

#include "gtest/gtest.h"

namespace ashlar::node_agent {
namespace {

class PciFunctionTest : public testing::Test {
 protected:
  void Put(size_t at, std::initializer_list<int> bytes) {
    for (const int byte : bytes) config_[at++] = static_cast<char>(byte);
  }
  // Power management at 0x40, then PCI Express at 0x50 of the kind `type`.
  void BeAPort(int type) {
    Put(0x06, {0x10, 0});
    Put(0x34, {0x40});
    Put(0x40, {0x01, 0x50});
    Put(0x50, {0x10, 0, type << 4 | 2, 0});
  }
  // AER, then access control services, whose control register holds `bits`.
  void BeControlled(int bits) {
    Put(0x100, {0x01, 0x00, 0x01, 0x15});  // next: 0x150
    Put(0x150, {0x0d, 0x00, 0x01, 0x00, 0x1f, 0, bits, 0});
  }
  std::string config_ = std::string(4096, '\0');
};

TEST_F(PciFunctionTest, PortsAreToldApart) {
  for (const auto& [type, port] : {std::pair(0, PciPort::kNone),
                                   {4, PciPort::kRoot},
                                   {5, PciPort::kUpstream},
                                   {6, PciPort::kDownstream}}) {
    BeAPort(type);
    EXPECT_EQ(ParsePciConfig(config_).port, port) << type;
  }
}

TEST_F(PciFunctionTest, ADeviceWithoutCapabilitiesIsNoPort) {
  EXPECT_EQ(ParsePciConfig(config_), (PciFunction{PciPort::kNone, false}));
}

TEST_F(PciFunctionTest, ARedirectOfRequestsOrCompletionsCounts) {
  BeAPort(6);
  for (const auto& [bits, redirects] : {std::pair(0x00, false),
                                        {0x01, false},
                                        {0x04, true},
                                        {0x08, true},
                                        {0x1d, true},
                                        {0x10, false}}) {
    BeControlled(bits);
    EXPECT_EQ(ParsePciConfig(config_).redirects, redirects) << bits;
  }
}

TEST_F(PciFunctionTest, WhoMayReadTheHeaderOnlyKnowsNothing) {
  BeAPort(6);
  EXPECT_EQ(ParsePciConfig(config_.substr(0, 64)), PciFunction{});
  EXPECT_EQ(ReadPciFunction("/nowhere", "0000:00:00.0"), PciFunction{});
}

TEST_F(PciFunctionTest, ListsThatBiteTheirTailsEnd) {
  Put(0x06, {0x10, 0});
  Put(0x34, {0x40});
  Put(0x40, {0x01, 0x40});
  Put(0x100, {0x01, 0x00, 0x01, 0x10});
  EXPECT_EQ(ParsePciConfig(config_), (PciFunction{PciPort::kNone, false}));
}

}  // namespace
}  // namespace ashlar::node_agent
