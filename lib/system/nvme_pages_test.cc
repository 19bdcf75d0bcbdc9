#include "lib/system/nvme_pages.h"

#include <limits>

#include "gtest/gtest.h"
#include "lib/system/testing/nvme_page_maker.h"

namespace ashlar::sys {
namespace {

NvmeController AController() {
  NvmeController controller;
  controller.serial = "S6XYNX0T";
  controller.model = "FAST DRIVE 1";
  controller.firmware = "GDC5302Q";
  controller.subsystem_nqn = "nqn.2014-08.org.nvmexpress:uuid:1";
  controller.id = 258;
  controller.namespace_management = true;
  controller.capacity_bytes = 1920383410176;
  controller.unallocated_bytes = 1 << 30;
  controller.max_namespaces = 128;
  return controller;
}

TEST(NvmePages, AControllerTellsWhoItIsAndWhatItCan) {
  EXPECT_EQ(*ParseNvmeController(MakeNvmePage(AController())), AController());
  // Each ability is a bit of its own.
  for (bool NvmeController::*ability :
       {&NvmeController::namespace_management, &NvmeController::format,
        &NvmeController::sanitize_crypto_erase, &NvmeController::sanitize_block_erase,
        &NvmeController::sanitize_overwrite}) {
    NvmeController controller = AController();
    controller.*ability = !(controller.*ability);
    EXPECT_EQ(*ParseNvmeController(MakeNvmePage(controller)), controller);
  }
}

TEST(NvmePages, FieldsLieWhereTheSpecificationPutsThem) {
  std::string page(kNvmeIdentifyBytes, '\0');
  page.replace(4, 4, "SN  ");
  page[256] = 0b1010;  // OACS
  page[281] = 1;       // TNVMCAP
  page[328] = 0b101;   // SANICAP
  page[524] = 0b111;   // FNA
  const NvmeController controller = *ParseNvmeController(page);
  EXPECT_EQ(controller.serial, "SN");
  EXPECT_TRUE(controller.namespace_management && controller.format);
  EXPECT_EQ(controller.capacity_bytes, 256);
  EXPECT_TRUE(controller.sanitize_crypto_erase && !controller.sanitize_block_erase &&
              controller.sanitize_overwrite && controller.format_crypto_erase);
  page[256] = 0;  // without Format NVM there is no erasing by it
  EXPECT_FALSE(ParseNvmeController(page)->format_crypto_erase);
  page[290] = 1;  // more than 64 bits
  EXPECT_EQ(ParseNvmeController(page)->capacity_bytes, std::numeric_limits<int64_t>::max());
}

TEST(NvmePages, ANamespaceTellsItsFormats) {
  NvmeNamespace space;
  space.size_blocks = 3750748848;
  space.nguid = "36355430526000020025384300000001";
  space.eui64 = "0025384300000001";
  space.lba_formats = {{0, 512, 0, 2, false}, {1, 4096, 0, 0, true}, {3, 4096, 64, 1, false}};
  EXPECT_EQ(*ParseNvmeNamespace(MakeNvmePage(space)), space);
  space.lba_formats = {{0, 512, 0, 0, false}, {17, 4096, 8, 0, true}};
  EXPECT_EQ(*ParseNvmeNamespace(MakeNvmePage(space)), space);
}

TEST(NvmePages, UpperBitsOfTheFormatCountOnlyWhereThereAreMoreThanSixteen) {
  NvmeNamespace space;
  space.lba_formats = {{0, 512, 0, 0, true}, {1, 4096, 0, 0, false}};
  std::string page = MakeNvmePage(space);
  page[26] = 0x21;
  EXPECT_TRUE(ParseNvmeNamespace(page)->lba_formats[1].in_use);
}

TEST(NvmePages, DescriptorsNameANamespace) {
  const NvmeNamespaceIds ids = {"36355430526000020025384300000001", "0025384300000001",
                                "9c2bd3a4-5a4e-4a0e-8f4e-6f0d7e3c2b1a"};
  EXPECT_EQ(*ParseNvmeNamespaceIds(MakeNvmePage(ids)), ids);
  std::string page(kNvmeIdentifyBytes, '\0');
  page.replace(0, 4, std::string("\x01\x08\0\0", 4));  // an EUI-64 of zeros names nothing
  EXPECT_EQ(*ParseNvmeNamespaceIds(page), NvmeNamespaceIds{});
  page.assign(kNvmeIdentifyBytes, '\xff');  // a descriptor longer than what is left
  EXPECT_EQ(*ParseNvmeNamespaceIds(page), NvmeNamespaceIds{});
}

TEST(NvmePages, ASmartLogTellsHowADriveIs) {
  const NvmeHealth health = {kNvmeSpareLow | kNvmeReadOnly, 41, 9, 10, 103, 7};
  EXPECT_EQ(*ParseNvmeHealth(MakeNvmePage(health)), health);
  std::string page(kNvmeHealthBytes, '\0');
  page[3] = 100;
  EXPECT_EQ(ParseNvmeHealth(page)->temperature_celsius, 0) << "not told";
}

TEST(NvmePages, ShortAndEmptyPagesAreNone) {
  for (const std::string& page : {std::string(), std::string(511, 'x'), std::string(4096, '\0')}) {
    EXPECT_FALSE(ParseNvmeController(page).ok());
    EXPECT_FALSE(ParseNvmeNamespace(page).ok());
    EXPECT_FALSE(ParseNvmeNamespaceIds(page).ok());
    EXPECT_FALSE(ParseNvmeHealth(page).ok());
  }
}

}  // namespace
}  // namespace ashlar::sys
