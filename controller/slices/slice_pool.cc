#include "controller/slices/slice_pool.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "ashlar/k8s/resource.codec.h"
#include "lib/base/fnv.h"
#include "lib/kube/object.h"

namespace ashlar::controller {
namespace {

using k8s::ResourceSlice;

// What a server leaves out that does not know it, or has it switched off.
bool MayBeDropped(const std::string& field) {
  static const std::set<std::string>& fields =
      *new std::set<std::string>{"allowMultipleAllocations",
                                 "requestPolicy",
                                 "taints",
                                 "bindsToNode",
                                 "bindingConditions",
                                 "bindingFailureConditions",
                                 "sharedCounters",
                                 "consumesCounters"};
  return fields.count(field) > 0;
}

void Sort(const Json& written, const Json& answer, DroppedFields& lost, DroppedFields& kept) {
  if (written.is_array() && answer.is_array()) {
    for (size_t i = 0; i < std::min(written.size(), answer.size()); ++i)
      Sort(written[i], answer[i], lost, kept);
  }
  if (!written.is_object() || !answer.is_object()) return;
  for (const auto& [key, value] : written.items()) {
    const bool is_kept = answer.contains(key);
    if (MayBeDropped(key)) (is_kept ? kept : lost).insert(key);
    if (is_kept) Sort(value, answer[key], lost, kept);
  }
}

// Whether `stored` is what the server made of `wanted`.
bool SaysTheSame(const Json& stored, const Json& wanted, const DroppedFields& dropped) {
  if (stored.is_object() && wanted.is_object()) {
    for (const auto& [key, value] : stored.items()) {
      if (key == "timeAdded") continue;  // of a taint: the server's
      if (!wanted.contains(key) || !SaysTheSame(value, wanted[key], dropped)) return false;
    }
    for (const auto& [key, value] : wanted.items())
      if (!stored.contains(key) && dropped.count(key) == 0) return false;
    return true;
  }
  if (stored.is_array() && wanted.is_array())
    return std::equal(
        stored.begin(), stored.end(), wanted.begin(), wanted.end(),
        [&](const Json& one, const Json& other) { return SaysTheSame(one, other, dropped); });
  return stored == wanted;
}

Json WithoutGeneration(Json slice) {
  slice["spec"]["pool"].erase("generation");
  slice["spec"]["pool"].erase("resourceSliceCount");
  return slice["spec"];
}

int64_t Number(const Json& slice, const char* field) {
  const Json* number = FindJson(slice, {"spec", "pool", field});
  return number != nullptr && number->is_number_integer() ? number->get<int64_t>() : 0;
}

Json Owners(const PoolOwner& owner) {
  if (owner.node_uid.empty()) return Json::array();
  return Json::array(
      {{{"apiVersion", "v1"}, {"kind", "Node"}, {"name", owner.node}, {"uid", owner.node_uid}}});
}

bool SameOwners(const Json& stored, const PoolOwner& owner) {
  const Json* owners = FindJson(stored, {"metadata", "ownerReferences"});
  return (owners == nullptr ? Json::array() : *owners) == Owners(owner);
}

Json MakeSlice(const PoolOwner& owner, int index, const SliceContent& content) {
  ResourceSlice slice;
  slice.mutable_metadata()->set_name(SliceName(owner, index));
  k8s::ResourceSliceSpec& spec = *slice.mutable_spec();
  spec.set_driver(owner.driver);
  spec.set_node_name(owner.node);
  spec.mutable_pool()->set_name(owner.node);
  for (const k8s::CounterSet& set : content.counters) *spec.add_shared_counters() = set;
  for (const k8s::Device& device : content.devices) *spec.add_devices() = device;
  Json object = api::ToJson(slice);
  if (const Json owners = Owners(owner); !owners.empty())
    object["metadata"]["ownerReferences"] = owners;
  return object;
}

// Taints that stay keep the time that the server gave them.
void KeepTaintTimes(const Json& stored, Json& wanted) {
  std::map<std::string, Json> times;
  const auto each_taint = [](Json& devices, const auto& visit) {
    for (Json& device : devices) {
      if (!device.contains("taints")) continue;
      for (Json& taint : device["taints"])
        visit(absl::StrCat(JsonString(device, {"name"}), " ", JsonString(taint, {"key"}), " ",
                           JsonString(taint, {"value"}), " ", JsonString(taint, {"effect"})),
              taint);
    }
  };
  Json before = stored["spec"].value("devices", Json::array());
  each_taint(before, [&](const std::string& key, Json& taint) {
    if (taint.contains("timeAdded")) times[key] = taint["timeAdded"];
  });
  if (!wanted["spec"].contains("devices")) return;
  each_taint(wanted["spec"]["devices"], [&](const std::string& key, Json& taint) {
    if (const auto found = times.find(key); found != times.end())
      taint["timeAdded"] = found->second;
  });
}

// The stored slice with what is wanted of it.
SliceWrite Update(const Json& stored, Json wanted) {
  KeepTaintTimes(stored, wanted);
  Json object = stored;
  object["spec"] = std::move(wanted["spec"]);
  if (wanted["metadata"].contains("ownerReferences"))
    object["metadata"]["ownerReferences"] = wanted["metadata"]["ownerReferences"];
  else
    object["metadata"].erase("ownerReferences");
  return {SliceWrite::Kind::kUpdate, std::move(object)};
}

struct Comparison {
  std::vector<const Json*> stored;  // by index of the content; nullptr: there is none
  std::vector<const Json*> obsolete;
  std::vector<size_t> changed;  // those that exist and say something else
  int64_t generation = 0;       // the highest
  bool one_generation = true;
};

Comparison Compare(const PoolOwner& owner, const std::vector<Json>& existing,
                   const std::vector<Json>& wanted, const DroppedFields& dropped) {
  Comparison result;
  result.stored.resize(wanted.size(), nullptr);
  std::map<std::string, size_t> index;
  for (size_t i = 0; i < wanted.size(); ++i) index[SliceName(owner, static_cast<int>(i))] = i;
  for (const Json& slice : existing)
    result.generation = std::max(result.generation, Number(slice, "generation"));
  for (const Json& slice : existing) {
    const auto found = index.find(kube::KeyOf(slice).name);
    if (found == index.end()) {
      result.obsolete.push_back(&slice);
      continue;
    }
    result.stored[found->second] = &slice;
    result.one_generation &=
        Number(slice, "generation") == result.generation &&
        Number(slice, "resourceSliceCount") == static_cast<int64_t>(wanted.size());
    if (!SameOwners(slice, owner) ||
        !SaysTheSame(WithoutGeneration(slice), WithoutGeneration(wanted[found->second]), dropped))
      result.changed.push_back(found->second);
  }
  return result;
}

}  // namespace

std::string SliceName(const PoolOwner& owner, int index) {
  constexpr size_t kLongest = 180;
  std::string node = owner.node;
  if (node.size() > kLongest) {
    node.resize(kLongest);
    while (node.back() == '.' || node.back() == '-') node.pop_back();
    absl::StrAppend(&node, "-", absl::Hex(Fnv1a(owner.node), absl::kZeroPad16));
  }
  return absl::StrCat(node, "-", owner.driver, "-", index);
}

void LearnDropped(const Json& written, const Json& answer, DroppedFields& dropped) {
  DroppedFields lost, kept;
  Sort(written, answer, lost, kept);
  for (const std::string& field : kept) dropped.erase(field);
  dropped.insert(lost.begin(), lost.end());
}

std::vector<SliceWrite> PlanPool(const PoolOwner& owner, const std::vector<Json>& existing,
                                 const std::vector<SliceContent>& contents,
                                 const DroppedFields& dropped) {
  std::vector<Json> wanted;
  for (size_t i = 0; i < contents.size(); ++i)
    wanted.push_back(MakeSlice(owner, static_cast<int>(i), contents[i]));
  const Comparison now = Compare(owner, existing, wanted, dropped);
  const bool all_there = std::count(now.stored.begin(), now.stored.end(), nullptr) == 0;
  const bool whole = all_there && now.one_generation && now.obsolete.empty();

  std::vector<SliceWrite> writes;
  if (whole && now.changed.empty()) return writes;
  const bool in_place = whole && now.changed.size() == 1;
  const int64_t generation = now.generation + (in_place ? 0 : 1);
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (in_place && i != now.changed.front()) continue;
    wanted[i]["spec"]["pool"]["generation"] = generation;
    wanted[i]["spec"]["pool"]["resourceSliceCount"] = wanted.size();
    if (now.stored[i] == nullptr)
      writes.push_back({SliceWrite::Kind::kCreate, std::move(wanted[i])});
    else
      writes.push_back(Update(*now.stored[i], std::move(wanted[i])));
  }
  for (const Json* slice : now.obsolete) writes.push_back({SliceWrite::Kind::kDelete, *slice});
  return writes;
}

std::vector<SliceContent> InSlices(std::vector<k8s::Device> devices) {
  std::vector<SliceContent> slices;
  for (k8s::Device& device : devices) {
    if (slices.empty() || slices.back().devices.size() == kMaxDevicesPerSlice)
      slices.emplace_back();
    slices.back().devices.push_back(std::move(device));
  }
  return slices;
}

}  // namespace ashlar::controller
