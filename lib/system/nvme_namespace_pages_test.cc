#include "lib/system/nvme_namespace_pages.h"

#include "gtest/gtest.h"
#include "lib/system/testing/nvme_page_maker.h"

namespace ashlar::sys {
namespace {

std::string Blank() { return std::string(kNvmeIdentifyBytes, '\0'); }

// Fields are put by their offsets in the specification.
TEST(NvmeNamespacePages, AControllerTellsHowItManagesNamespaces) {
  NvmeController controller;
  controller.serial = "S";
  controller.namespace_management = true;
  controller.max_namespaces = 32;
  std::string page = MakeNvmePage(controller);
  EXPECT_EQ(*ParseNvmeManagement(page), (NvmeManagement{controller, false, false, 32, false}));
  page[76] = 0b10;                     // CMIC
  page[96] = static_cast<char>(0x80);  // CTRATT
  page[541] = 1;                       // MNAN
  EXPECT_EQ(*ParseNvmeManagement(page), (NvmeManagement{controller, true, true, 256, false}));
  EXPECT_FALSE(ParseNvmeManagement(Blank()).ok());
  EXPECT_FALSE(ParseNvmeManagement(page.substr(1)).ok());
}

TEST(NvmeNamespacePages, OneNamespaceIsErasedOnlyWhereNeitherFormatNorEraseIsOfAll) {
  NvmeController controller;
  controller.serial = "S";
  controller.format = controller.format_crypto_erase = true;
  std::string page = MakeNvmePage(controller);
  EXPECT_TRUE(ParseNvmeManagement(page)->erases_one_namespace);
  for (const char fna : {0b101, 0b110, 0b111, 0b011, 0b000}) {
    page[524] = fna;
    EXPECT_FALSE(ParseNvmeManagement(page)->erases_one_namespace) << int{fna};
  }
  page[524] = 0b100;
  page[256] = 0;  // OACS: no Format NVM
  EXPECT_FALSE(ParseNvmeManagement(page)->erases_one_namespace);
}

TEST(NvmeNamespacePages, ANamespaceTellsWhetherItMayBeShared) {
  NvmeNamespace space;
  space.size_blocks = 8192;
  space.lba_formats = {{0, 512, 0, 0, true}};
  std::string page = MakeNvmePage(space);
  EXPECT_EQ(*ParseNvmeAllocatedNamespace(page), (NvmeAllocatedNamespace{space, false}));
  page[30] = 1;  // NMIC
  EXPECT_TRUE(ParseNvmeAllocatedNamespace(page)->shared);
}

TEST(NvmeNamespacePages, ListsOfNamespacesEndWithZeroOrThePage) {
  std::string page = Blank();
  EXPECT_EQ(*ParseNvmeNamespaceList(page), std::vector<uint32_t>{});
  page[0] = 1;
  page[5] = 2;
  page[12] = 3;  // behind the end
  EXPECT_EQ(*ParseNvmeNamespaceList(page), (std::vector<uint32_t>{1, 512}));
  EXPECT_EQ(ParseNvmeNamespaceList(std::string(kNvmeIdentifyBytes, '\1'))->size(),
            kNvmeNamespaceListEntries);
  EXPECT_FALSE(ParseNvmeNamespaceList("short").ok());
}

TEST(NvmeNamespacePages, ListsOfControllersBeginWithTheirLength) {
  for (const std::vector<uint16_t>& ids : {std::vector<uint16_t>{}, {0}, {0, 65, 0x1234}})
    EXPECT_EQ(*ParseNvmeControllerList(MakeNvmeControllerList(ids)), ids);
  const std::string page = MakeNvmeControllerList({0x1234, 1});
  EXPECT_EQ(page.substr(0, 6), std::string("\2\0\x34\x12\1\0", 6));
  EXPECT_EQ(page.size(), kNvmeIdentifyBytes);
  EXPECT_FALSE(ParseNvmeControllerList(std::string(kNvmeIdentifyBytes, '\xff')).ok());
  EXPECT_FALSE(ParseNvmeControllerList("short").ok());
}

TEST(NvmeNamespacePages, ANewNamespaceIsFullyProvisionedAndInItsFormat) {
  const std::string page = MakeNvmeNewNamespace({0x0102030405, 1, true});
  EXPECT_EQ(page.substr(0, 16), std::string("\5\4\3\2\1\0\0\0\5\4\3\2\1\0\0\0", 16));  // NSZE, NCAP
  EXPECT_EQ(page[26], 1);                                                              // FLBAS
  EXPECT_EQ(page[30], 1);                                                              // NMIC
  EXPECT_EQ(MakeNvmeNewNamespace({1, 17, false})[26], 0x21) << "upper bits lie apart";
  for (const NvmeNewNamespace& space :
       {NvmeNewNamespace{1, 0, false}, {8192, 5, true}, {8192, 33, true}})
    EXPECT_EQ(*ParseNvmeNewNamespace(MakeNvmeNewNamespace(space)), space);
  EXPECT_FALSE(ParseNvmeNewNamespace(Blank()).ok());
  std::string thin = page;
  thin[8] = 1;
  EXPECT_FALSE(ParseNvmeNewNamespace(thin).ok());
}

TEST(NvmeNamespacePages, GranularityIsThatOfTheFormatOrOfAll) {
  std::string page = Blank();
  page[34] = 1;  // size: 64 KiB
  EXPECT_EQ(*ParseNvmeGranularity(page, 3), 65536);
  page[42] = 3;  // capacity: 192 KiB
  EXPECT_EQ(*ParseNvmeGranularity(page, 3), 3 * 65536);
  page[0] = 1;  // a descriptor for each format
  page[4] = 1;  // two of them
  page[32 + 16 + 3] = 1;
  EXPECT_EQ(*ParseNvmeGranularity(page, 1), 1 << 24);
  EXPECT_EQ(*ParseNvmeGranularity(page, 3), 0) << "not told";
  EXPECT_EQ(*ParseNvmeGranularity(std::string(kNvmeIdentifyBytes, '\xff'), 0), 0);
  EXPECT_FALSE(ParseNvmeGranularity("short", 0).ok());
}

}  // namespace
}  // namespace ashlar::sys
