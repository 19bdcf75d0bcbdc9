#include "lib/system/record_folder.h"

#include <fstream>
#include <map>

#include "gtest/gtest.h"
#include "lib/base/testing/temporary_directory.h"
#include "lib/system/files.h"

namespace ashlar::sys {
namespace {

class RecordFolderTest : public ::testing::Test {
 protected:
  std::map<std::string, Json> Load() {
    std::map<std::string, Json> found;
    const absl::Status loaded = folder_.Load([&](const std::string& stem, const Json& record) {
      if (record.contains("refused")) return absl::InvalidArgumentError("refused");
      found[stem] = record;
      return absl::OkStatus();
    });
    EXPECT_TRUE(loaded.ok()) << loaded;
    return found;
  }
  std::string PathOf(const std::string& name) { return temporary_.path() + "/records/" + name; }
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(PathOf(name)) << text;
  }

  TemporaryDirectory temporary_;
  RecordFolder folder_{temporary_.path() + "/records"};
};

TEST_F(RecordFolderTest, MakesItsDirectoryAndKeepsTheLastOfEach) {
  EXPECT_TRUE(Load().empty());
  ASSERT_TRUE(folder_.Save("a", {{"step", 1}}).ok());
  ASSERT_TRUE(folder_.Save("b", {{"step", 2}}).ok());
  ASSERT_TRUE(folder_.Save("a", {{"step", 3}}).ok());
  EXPECT_EQ(Load(), (std::map<std::string, Json>{{"a", {{"step", 3}}}, {"b", {{"step", 2}}}}));
  ASSERT_TRUE(folder_.Remove("a").ok());
  ASSERT_TRUE(folder_.Remove("a").ok()) << "absent";
  EXPECT_EQ(Load(), (std::map<std::string, Json>{{"b", {{"step", 2}}}}));
}

TEST_F(RecordFolderTest, ARecordMayOutgrowAPageAndShrinkAgain) {
  EXPECT_TRUE(Load().empty());
  for (const size_t length :
       {size_t{10}, kPageBytes - 9, kPageBytes - 8, 3 * kPageBytes, size_t{10}}) {
    const Json record = {{"key", std::string(length, 'x')}};
    ASSERT_TRUE(folder_.Save("a", record).ok());
    EXPECT_EQ(Load(), (std::map<std::string, Json>{{"a", record}})) << length;
  }
}

TEST_F(RecordFolderTest, WhatCannotBeReadIsLeftOutAndStays) {
  EXPECT_TRUE(Load().empty());
  ASSERT_TRUE(folder_.Save("good", {{"step", 1}}).ok());
  Write("torn.json", "{\"step\": ");
  Write("other.json", "{\"refused\": true}\n");
  Write("readme", "{\"step\": 1}\n");
  EXPECT_EQ(Load(), (std::map<std::string, Json>{{"good", {{"step", 1}}}}));
  EXPECT_TRUE(Exists(PathOf("torn.json")) && Exists(PathOf("other.json")));
}

TEST_F(RecordFolderTest, WhatDiedBeforeItWasWrittenIsRemoved) {
  EXPECT_TRUE(Load().empty());
  Write("empty.json", "");
  Write("zeros.json", std::string(kPageBytes, '\0'));
  EXPECT_TRUE(Load().empty());
  EXPECT_FALSE(Exists(PathOf("empty.json")) || Exists(PathOf("zeros.json")));
}

}  // namespace
}  // namespace ashlar::sys
