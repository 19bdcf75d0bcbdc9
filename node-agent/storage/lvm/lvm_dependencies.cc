#include "node-agent/storage/lvm/lvm_dependencies.h"

#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "node-agent/storage/lvm/lvm_report.h"

namespace ashlar::node_agent {

std::string MapperPrefix(absl::string_view group) {
  return absl::StrCat(absl::StrReplaceAll(group, {{"-", "--"}}), "-");
}

std::string ThinPoolDevice(absl::string_view group) {
  return absl::StrCat(MapperPrefix(group), kThinPool, "-tpool");
}

// "ashlar--0f8f-v_1: 2 dependencies  : (259, 3) (259, 1)"
std::set<DeviceNumber> DependenciesOf(absl::string_view text, absl::string_view group) {
  const std::string prefix = MapperPrefix(group);
  std::set<DeviceNumber> numbers;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    if (!absl::StartsWith(line, prefix)) continue;
    const std::vector<absl::string_view> pieces = absl::StrSplit(line, '(');
    for (size_t i = 1; i < pieces.size(); ++i) {
      const absl::string_view pair = pieces[i].substr(0, pieces[i].find(')'));
      const std::vector<absl::string_view> words = absl::StrSplit(pair, ", ");
      DeviceNumber number;
      if (words.size() == 2 && absl::SimpleAtoi(words[0], &number.first) &&
          absl::SimpleAtoi(words[1], &number.second))
        numbers.insert(number);
    }
  }
  return numbers;
}

uint32_t MapperMajor(absl::string_view proc_devices) {
  for (const absl::string_view line : absl::StrSplit(proc_devices, '\n')) {
    const std::vector<absl::string_view> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    uint32_t major = 0;
    if (words.size() == 2 && words[1] == "device-mapper" && absl::SimpleAtoi(words[0], &major))
      return major;
  }
  return 0;
}

}  // namespace ashlar::node_agent
