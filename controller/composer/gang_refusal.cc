#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "controller/composer/gang.h"

namespace ashlar::composer {
namespace {

// How many entries are named one by one; a condition's message has a limit, and so have readers.
constexpr size_t kEntriesExplained = 8;

std::string Sentence(const NodeMisfit& entry) {
  std::string text = absl::StrCat(" Node ", entry.node);
  if (entry.alike > 0) absl::StrAppend(&text, " and ", entry.alike, " alike");
  if (entry.fits > 0) absl::StrAppend(&text, ", after ", entry.fits, " of ", entry.member);
  if (entry.fits == 0 && !entry.member.empty()) absl::StrAppend(&text, ", ", entry.member);
  auto append = [](std::string* out, const Misfit& misfit) {
    absl::StrAppend(out, misfit.Sentence());
  };
  absl::StrAppend(&text, ": ", absl::StrJoin(entry.misfits, "; ", append), ".");
  return text;
}

}  // namespace

std::string GangRefusal::Explain() const {
  std::string text =
      absl::StrCat(placeable, " of ", wanted, wanted == 1 ? " member fits" : " members fit");
  if (!domain.empty()) absl::StrAppend(&text, ", with ", domain);
  if (!proven) absl::StrAppend(&text, ", as far as was looked");
  absl::StrAppend(&text, ".");
  const size_t shown = std::min(nodes.size(), kEntriesExplained);
  for (size_t i = 0; i < shown; ++i) absl::StrAppend(&text, Sentence(nodes[i]));
  if (shown < nodes.size()) absl::StrAppend(&text, " ", nodes.size() - shown, " more.");
  return text;
}

}  // namespace ashlar::composer
