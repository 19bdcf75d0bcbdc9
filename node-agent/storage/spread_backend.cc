#include "node-agent/storage/spread_backend.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "node-agent/storage/room.h"

namespace ashlar::node_agent {
namespace {

void LogFailure(const SpreadPart& part, const absl::Status& status) {
  LogWarning("a drive of a pool cannot be read",
             {{"drive", part.drive}, {"error", status.ToString()}});
}

absl::StatusOr<StoredVolume> Placed(absl::StatusOr<StoredVolume> volume, const SpreadPart& part) {
  if (volume.ok()) volume->drive = part.drive;
  return volume;
}

}  // namespace

void SpreadBackend::SetParts(std::vector<SpreadPart> parts, std::vector<std::string> missing) {
  MutexLock lock(mu_);
  parts_ = std::move(parts);
  missing_ = std::move(missing);
  if (!parts_.empty()) traits_ = parts_.front().backend->Traits();
  // What List leaves out lies on a drive that is missing.
  traits_.tells_problems = parts_.size() > 1 || !missing_.empty();
}

std::vector<SpreadPart> SpreadBackend::Parts() const {
  MutexLock lock(mu_);
  return parts_;
}

bool SpreadBackend::RemovePart(const std::string& drive) {
  MutexLock lock(mu_);
  if (making_.count(drive) > 0) return false;
  std::erase_if(parts_, [&](const SpreadPart& part) { return part.drive == drive; });
  return true;
}

BackendTraits SpreadBackend::Traits() const {
  MutexLock lock(mu_);
  return traits_;
}

absl::StatusOr<PoolUsage> SpreadBackend::Usage() {
  PoolUsage all;
  for (const SpreadPart& part : Parts()) {
    const absl::StatusOr<PoolUsage> usage = part.backend->Usage();
    if (!usage.ok()) {
      LogFailure(part, usage.status());
      continue;
    }
    all.allocated_bytes += usage->allocated_bytes;
    if (!part.takes_volumes) {
      all.capacity_bytes += usage->allocated_bytes;
      continue;
    }
    all.capacity_bytes += usage->capacity_bytes;
    all.allocatable_bytes += usage->allocatable_bytes;
    all.largest_bytes = std::max(all.largest_bytes, usage->largest_bytes);
    all.drives.push_back({part.drive, usage->capacity_bytes, usage->allocated_bytes,
                          usage->allocatable_bytes, usage->largest_bytes});
  }
  return all;
}

absl::StatusOr<SpreadPart> SpreadBackend::PartOf(const std::string& id) {
  std::vector<std::string> unseen;
  {
    MutexLock lock(mu_);
    unseen = missing_;
  }
  for (const SpreadPart& part : Parts()) {
    const absl::Status found = part.backend->Find(id).status();
    if (found.ok()) return part;
    if (!absl::IsNotFound(found))
      unseen.push_back(absl::StrCat(part.drive, " (", found.message(), ")"));
  }
  if (unseen.empty()) return absl::NotFoundError(absl::StrCat("there is no volume ", id));
  return absl::UnavailableError(absl::StrCat(
      "volume ", id, " may be on a drive that cannot be read: ", absl::StrJoin(unseen, ", ")));
}

absl::StatusOr<std::vector<SpreadPart>> SpreadBackend::Candidates(const VolumeFacts& facts,
                                                                  int64_t size_bytes,
                                                                  const std::string& drive) {
  std::vector<SpreadPart> parts = Parts();
  // A copy shares its source's blocks.
  if (!facts.source.empty()) {
    ASHLAR_ASSIGN_OR_RETURN(const SpreadPart source, PartOf(facts.source));
    if (!drive.empty() && drive != source.drive)
      return absl::FailedPreconditionError(absl::StrCat(
          "drive is \"", drive, "\": ", facts.source, ", which is copied, lies on ", source.drive));
    return std::vector<SpreadPart>{source};
  }
  if (!drive.empty()) {
    ASHLAR_ASSIGN_OR_RETURN(const PoolUsage usage, Usage());
    ASHLAR_ASSIGN_OR_RETURN(const DriveUsage room, FindDrive(usage, drive));
    ASHLAR_RETURN_IF_ERROR(CheckRoom(room, size_bytes));
    std::erase_if(parts, [&](const SpreadPart& part) { return part.drive != drive; });
    return parts;
  }
  std::vector<std::pair<int64_t, SpreadPart>> by_room;
  for (SpreadPart& part : parts) {
    if (!part.takes_volumes) continue;
    const absl::StatusOr<PoolUsage> usage = part.backend->Usage();
    if (usage.ok()) by_room.emplace_back(usage->largest_bytes, std::move(part));
  }
  std::stable_sort(by_room.begin(), by_room.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<SpreadPart> candidates;
  for (auto& [room, part] : by_room) candidates.push_back(std::move(part));
  return candidates;
}

absl::StatusOr<StoredVolume> SpreadBackend::CreateOn(const SpreadPart& part,
                                                     const CallContext& context,
                                                     const VolumeFacts& facts, int64_t size_bytes) {
  {
    MutexLock lock(mu_);
    if (std::none_of(parts_.begin(), parts_.end(), [&](const SpreadPart& now) {
          return now.backend == part.backend && (now.takes_volumes || !facts.source.empty());
        }))
      return absl::UnavailableError(absl::StrCat("drive ", part.drive, " leaves the pool: repeat"));
    making_.insert(part.drive);
  }
  absl::StatusOr<StoredVolume> made =
      Placed(part.backend->Create(context, facts, size_bytes, ""), part);
  MutexLock lock(mu_);
  making_.erase(making_.find(part.drive));
  return made;
}

absl::StatusOr<StoredVolume> SpreadBackend::Create(const CallContext& context,
                                                   const VolumeFacts& facts, int64_t size_bytes,
                                                   const std::string& drive) {
  const auto existing = PartOf(facts.id);
  if (existing.ok()) return absl::AlreadyExistsError(absl::StrCat("volume ", facts.id, " exists"));
  if (!absl::IsNotFound(existing.status()) && !absl::IsUnavailable(existing.status()))
    return existing.status();
  ASHLAR_ASSIGN_OR_RETURN(const std::vector<SpreadPart> candidates,
                          Candidates(facts, size_bytes, drive));
  absl::StatusOr<StoredVolume> made =
      absl::ResourceExhaustedError("no drive of the pool takes volumes");
  for (const SpreadPart& part : candidates) {
    absl::StatusOr<StoredVolume> here = CreateOn(part, context, facts, size_bytes);
    if (here.ok() || !absl::IsResourceExhausted(here.status())) return here;
    // The first one's refusal tells of the largest room.
    if (&part == &candidates.front()) made = std::move(here);
  }
  return made;
}

absl::StatusOr<StoredVolume> SpreadBackend::Find(const std::string& id) {
  ASHLAR_ASSIGN_OR_RETURN(const SpreadPart part, PartOf(id));
  return Placed(part.backend->Find(id), part);
}

absl::StatusOr<std::vector<StoredVolume>> SpreadBackend::List() {
  std::vector<StoredVolume> all;
  for (const SpreadPart& part : Parts()) {
    absl::StatusOr<std::vector<StoredVolume>> here = part.backend->List();
    if (!here.ok()) {
      LogFailure(part, here.status());
      continue;
    }
    for (StoredVolume& volume : *here) {
      volume.drive = part.drive;
      all.push_back(std::move(volume));
    }
  }
  return all;
}

absl::StatusOr<StoredVolume> SpreadBackend::Grow(const CallContext& context, const std::string& id,
                                                 int64_t size_bytes) {
  ASHLAR_ASSIGN_OR_RETURN(const SpreadPart part, PartOf(id));
  return Placed(part.backend->Grow(context, id, size_bytes), part);
}

absl::StatusOr<StoredVolume> SpreadBackend::Prepare(const CallContext& context,
                                                    const std::string& id) {
  ASHLAR_ASSIGN_OR_RETURN(const SpreadPart part, PartOf(id));
  return Placed(part.backend->Prepare(context, id), part);
}

absl::Status SpreadBackend::Remove(const CallContext& context, const std::string& id) {
  const auto part = PartOf(id);
  if (part.ok()) return part->backend->Remove(context, id);
  // What an interrupted removal left is found by nobody.
  for (const SpreadPart& each : Parts()) ASHLAR_RETURN_IF_ERROR(each.backend->Remove(context, id));
  return absl::IsNotFound(part.status()) ? absl::OkStatus() : part.status();
}

}  // namespace ashlar::node_agent
