#include "node-agent/storage/lvm/thin_dump.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node-agent/storage/lvm/thin_maps.h"

namespace ashlar::node_agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr uint64_t kBlock = 64 << 10;

std::string Dump(absl::string_view mappings) {
  return absl::StrCat(
      R"(<superblock uuid="" time="1" transaction="2" flags="0" version="2" data_block_size="128" )"
      R"(nr_data_blocks="0"><device dev_id="7" mapped_blocks="9" transaction="0" creation_time="0" )"
      R"(snap_time="1">)",
      mappings, "</device></superblock>");
}

sys::MappedExtent Extent(uint64_t from, uint64_t to, uint64_t blocks) {
  return {from * kBlock, to * kBlock, blocks * kBlock, true, true};
}

std::string Refusal(const std::string& text) {
  ThinDump dump;
  const absl::Status status = dump.Feed(text, true);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(dump.Feed("", true), status);
  return std::string(status.message());
}

TEST(ThinDumpTest, MappingsAreReadHoweverTheTextIsCut) {
  const std::string text =
      Dump(R"(<single_mapping origin_block="0" data_block="5" time="0"/>)"
           R"(<range_mapping origin_begin="3" data_begin="8" length="4" time="1"/>)");
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    ThinDump dump;
    ASSERT_TRUE(dump.Feed(absl::string_view(text).substr(0, cut), false).ok());
    std::vector<sys::MappedExtent> extents = dump.Take();
    ASSERT_TRUE(dump.Feed(absl::string_view(text).substr(cut), true).ok());
    for (const sys::MappedExtent& extent : dump.Take()) extents.push_back(extent);
    EXPECT_THAT(extents, ElementsAre(Extent(0, 5, 1), Extent(3, 8, 4)));
  }
}

TEST(ThinDumpTest, AVolumeThatIsGoneIsNotFound) {
  ThinDump dump;
  EXPECT_EQ(dump.Feed("<superblock data_block_size=\"128\"/>", true).code(),
            absl::StatusCode::kNotFound);
}

TEST(ThinDumpTest, WhatIsNoDumpOfOneVolumeIsRefused) {
  EXPECT_THAT(Refusal(""), HasSubstr("thin_dump: no element found"));
  EXPECT_THAT(Refusal(Dump("<single_mapping")), HasSubstr("thin_dump: "));
  EXPECT_THAT(Refusal("<s><device/><device/></s>"), HasSubstr("2 devices"));
  EXPECT_THAT(Refusal("<superblock data_block_size=\"8\"/>"), HasSubstr("64 KiB to 1 GiB"));
  EXPECT_THAT(Refusal(Dump(R"(<single_mapping origin_block="-1" data_block="5"/>)")),
              HasSubstr("lacks a number"));
  EXPECT_THAT(Refusal(Dump(R"(<range_mapping origin_begin="1" data_begin="5"/>)")),
              HasSubstr("lacks a number"));
  EXPECT_THAT(Refusal(Dump(R"(<range_mapping origin_begin="2" data_begin="5" length="2"/>)"
                           R"(<single_mapping origin_block="3" data_block="9"/>)")),
              HasSubstr("block 3 is not behind"));
  EXPECT_THAT(
      Refusal(Dump(R"(<single_mapping origin_block="18446744073709551615" data_block="9"/>)")),
      HasSubstr("too large"));
}

TEST(ThinMapsTest, TheKernelsWordsOfAPoolAreUnderstood) {
  EXPECT_EQ(MetadataDevice("0 2097152 thin-pool 253:3 253:1 128 0 1 skip_block_zeroing \n"),
            "/dev/dm-3");
  EXPECT_EQ(MetadataDevice("0 2097152 linear 253:3 0\n"), "");
  EXPECT_EQ(MetadataDevice("0 2097152 thin-pool 253 253:1 128"), "");
  EXPECT_FALSE(HoldsMetadata("0 2097152 thin-pool 3 22/1024 4/16384 - rw discard_passdown\n"));
  EXPECT_TRUE(HoldsMetadata("0 2097152 thin-pool 3 22/1024 4/16384 118 rw discard_passdown\n"));
}

}  // namespace
}  // namespace ashlar::node_agent
