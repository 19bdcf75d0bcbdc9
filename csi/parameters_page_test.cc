// docs/parameters.md is what the tables say that requests are checked with, and the classes among
// the examples pass those checks. ASHLAR_WRITE_PAGE=1 writes the page.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "csi/mutable_parameters.h"
#include "csi/parameters.h"
#include "csi/request_validation.h"
#include "gtest/gtest.h"
#include "node-agent/volume/mount_flags.h"
#include "node-agent/volume/volume_limit.h"

namespace ashlar::csi_driver {
namespace {

std::string Read(const std::string& path) {
  std::ifstream file(absl::StrCat(ASHLAR_SOURCE_DIR, "/", path));
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

absl::Status ErrorOf(ParameterPlace place, const std::string& name, const std::string& value) {
  StringMap values;
  values[name] = value;
  return ReadParameters(place, values).status();
}

void AddPlace(ParameterPlace place, const std::string& title, std::string& page) {
  std::string table;
  for (const ParameterRule& rule : ParameterRules()) {
    if (rule.place != place) continue;
    absl::StrAppend(&table, "| `", rule.name, "` | ", rule.meaning, " | ", rule.accepted, " | ",
                    rule.absent == nullptr ? "must be set" : rule.absent, " | `", rule.wrong,
                    "`: ", ErrorOf(place, rule.name, rule.wrong).message(), " |\n");
  }
  if (table.empty()) return;
  absl::StrAppend(
      &page, "\n## ", title,
      "\n\n| name | meaning | accepted | if it is absent | a wrong value and its error |"
      "\n|---|---|---|---|---|\n",
      table, "\nA name that is not in the table: ", ErrorOf(place, "sped", "9").message(), "\n");
}

absl::Status MutableErrorOf(const std::string& name, const std::string& value) {
  StringMap values;
  values[name] = value;
  return ReadMutableParameters(values).status();
}

void AddMutable(std::string& page) {
  absl::StrAppend(&page,
                  "\n## Parameters of a VolumeAttributesClass\n\n"
                  "They change under running pods; a class says all of them, and nothing else of a "
                  "volume can change but its\nsize, which grows "
                  "([why](decisions/0012-limits-of-a-pod.md)).\n\n"
                  "| name | meaning | accepted | if it is absent | a wrong value and its error |\n"
                  "|---|---|---|---|---|\n");
  for (const MutableParameterRule& rule : MutableParameterRules())
    absl::StrAppend(&page, "| `", rule.name, "` | ", rule.meaning, " | ", rule.accepted, " | ",
                    rule.absent, " | `", rule.wrong,
                    "`: ", MutableErrorOf(rule.name, rule.wrong).message(), " |\n");
  absl::StrAppend(
      &page, "\nA name that is not in the table: ", MutableErrorOf("sped", "9").message(), "\n");
}

std::string Flags(const std::vector<std::string>& flags) {
  return absl::StrJoin(flags, ", ", [](std::string* out, const std::string& flag) {
    absl::StrAppend(out, "`", flag, "`");
  });
}

void AddAccessModes(std::string& page) {
  using AccessMode = csi::v1::VolumeCapability::AccessMode;
  absl::StrAppend(&page,
                  "\n## Access modes of a claim\n\n| mode | what the driver is asked for | answer "
                  "|\n|---|---|---|\n");
  const std::vector<std::pair<std::string, AccessMode::Mode>> modes = {
      {"ReadWriteOnce", AccessMode::SINGLE_NODE_MULTI_WRITER},
      {"ReadWriteOncePod", AccessMode::SINGLE_NODE_SINGLE_WRITER},
      {"ReadOnlyMany", AccessMode::MULTI_NODE_READER_ONLY},
      {"ReadWriteMany", AccessMode::MULTI_NODE_MULTI_WRITER}};
  for (const auto& [name, mode] : modes) {
    csi::v1::VolumeCapability capability;
    capability.mutable_mount();
    capability.mutable_access_mode()->set_mode(mode);
    const absl::Status status = ReadAccess(capability).status();
    absl::StrAppend(&page, "| `", name, "` | `", AccessMode::Mode_Name(mode), "` | ",
                    status.ok() ? "accepted" : status.message(), " |\n");
  }
  absl::StrAppend(&page,
                  "\nA pod that only reads says so where it names the claim "
                  "(`persistentVolumeClaim.readOnly: true`); its mount is read-only\non the node. "
                  "Readers of a raw block device are held at the device, and no writer is admitted "
                  "beside them.\n");
}

std::string Page() {
  std::string page =
      "# What may be set on volumes\n\n"
      "Generated from the tables that requests are checked with (`csi/parameters.cc`,\n"
      "`node-agent/volume/mount_flags.cc`); a test compares. A wrong value is refused with the "
      "code\n"
      "INVALID_ARGUMENT; the provisioner shows the error as an event of the claim.\n";
  AddPlace(ParameterPlace::kStorageClass, "Parameters of a StorageClass", page);
  AddMutable(page);
  AddPlace(ParameterPlace::kInlineVolume,
           "Attributes of an inline volume (`volumes[].csi.volumeAttributes` of a pod)", page);
  absl::StrAppend(&page,
                  "\n## Mount options (`mountOptions` of a StorageClass or PersistentVolume)\n\n"
                  "| filesystem | accepted |\n|---|---|\n");
  for (const char* fs_type : {"ext4", "xfs"}) {
    absl::StrAppend(&page, "| `", fs_type, "` | ", Flags(node_agent::AcceptedMountFlags(fs_type)),
                    " |\n");
  }
  absl::StrAppend(&page, "| a directory (backend Directory), on btrfs and on xfs | ",
                  Flags(node_agent::AcceptedDirectoryFlags()), " |\n");
  absl::StrAppend(
      &page, "\nNone is set unless it is named. Others are refused: ",
      node_agent::ParseMountFlags({"user"}, "ext4").status().message(),
      ". A directory shares its filesystem with others, whose options are not its own: ",
      node_agent::CheckDirectoryFlags({"sync"}).message(),
      ". Some for a reason:\n\n| option | why it is refused |\n|---|---|\n");
  for (const auto& [flag, why] : node_agent::RefusedMountFlags()) {
    absl::StrAppend(&page, "| `", flag, "` | ", why, " |\n");
  }
  AddAccessModes(page);
  absl::StrAppend(
      &page,
      "\n## How many volumes a node may use\n\n"
      "The scheduler sends a node no more volumes than its `CSINode` says. Each takes two mounts, "
      "at "
      "its staging path and at\nits pod's, and an image file takes a loop device; of the mounts "
      "that "
      "the kernel allows half are left to everybody\nelse. So the number is a quarter of the "
      "sysctl "
      "`fs.mount-max`, ",
      node_agent::VolumeLimit(0, 100000), " where nobody has changed that, and never more than\n",
      node_agent::VolumeLimit(0, 0),
      ", the loop devices of a machine. The chart's `node.maxVolumes` makes it smaller.\n");
  return page;
}

TEST(ParametersPage, SaysWhatTheChecksSay) {
  if (std::getenv("ASHLAR_WRITE_PAGE") != nullptr) {
    std::ofstream(absl::StrCat(ASHLAR_SOURCE_DIR, "/docs/parameters.md")) << Page();
  }
  EXPECT_EQ(Read("docs/parameters.md"), Page())
      << "run this test with ASHLAR_WRITE_PAGE=1 and commit docs/parameters.md";
}

TEST(ParametersPage, EveryWrongValueIsRefused) {
  for (const MutableParameterRule& rule : MutableParameterRules()) {
    EXPECT_TRUE(absl::IsInvalidArgument(MutableErrorOf(rule.name, rule.wrong))) << rule.name;
  }
  for (const ParameterRule& rule : ParameterRules()) {
    EXPECT_TRUE(absl::IsInvalidArgument(ErrorOf(rule.place, rule.name, rule.wrong))) << rule.name;
  }
}

// The parameters of one YAML document: the lines below "parameters:", indented by two.
StringMap ParametersOf(absl::string_view document) {
  StringMap values;
  bool inside = false;
  for (absl::string_view line : absl::StrSplit(document, '\n')) {
    if (!absl::StartsWith(line, "  ")) {
      inside = absl::StartsWith(line, "parameters:");
    } else if (inside) {
      const std::pair<std::string, std::string> pair =
          absl::StrSplit(absl::StripAsciiWhitespace(line), absl::MaxSplits(": ", 1));
      values[pair.first] = pair.second;
    }
  }
  return values;
}

TEST(ParametersPage, TheClassesOfTheExamplesPass) {
  int classes = 0;
  for (const auto& file :
       std::filesystem::directory_iterator(absl::StrCat(ASHLAR_SOURCE_DIR, "/deploy/examples"))) {
    if (file.path().extension() != ".yaml") continue;
    const std::string text =
        Read(absl::StrCat("deploy/examples/", file.path().filename().string()));
    for (const absl::string_view document : absl::StrSplit(text, "\n---\n")) {
      if (!absl::StrContains(document, "kind: StorageClass\n")) continue;
      ++classes;
      const StringMap values = ParametersOf(document);
      EXPECT_TRUE(CheckRequired(ParameterPlace::kStorageClass, values).ok()) << document;
      EXPECT_TRUE(ReadParameters(ParameterPlace::kStorageClass, values).ok()) << document;
    }
  }
  EXPECT_GE(classes, 6);
}

}  // namespace
}  // namespace ashlar::csi_driver
