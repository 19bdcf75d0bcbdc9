// SlicePool: how the ResourceSlices of one pool (resource.k8s.io) of a node become what they shall
// be, in as few writes as the change needs. Pure.
//
// Who reads a pool heeds the slices of its highest generation alone, and waits if they are fewer
// than they say. So
//   - a change of one slice is one write that keeps the generation: the pool is whole before and
//     after it;
//   - any other change gives every slice a new generation. From the first write to the last the
//     pool is incomplete, never wrong; slices of the generation before are ignored, and deleted
//     last.
// A sequence that broke off is taken up by planning anew.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "ashlar/k8s/resource.pb.h"
#include "lib/base/json.h"

namespace ashlar::controller {

// Limits of the API (k8s.io/api/resource/v1/types.go).
inline constexpr int kMaxDevicesPerSlice = 64;  // with taints or counters; else 128
inline constexpr int kMaxCounterSetsPerSlice = 8;
inline constexpr int kMaxCountersPerSet = 32;
inline constexpr size_t kMaxAttributeText = 64;

struct PoolOwner {
  std::string driver;
  std::string node;
  std::string node_uid;  // empty: there is no Node object, and nothing owns the slices
};

// What one slice holds: counter sets or devices.
struct SliceContent {
  std::vector<k8s::CounterSet> counters;
  std::vector<k8s::Device> devices;
};

struct SliceWrite {
  enum class Kind { kCreate, kUpdate, kDelete };
  Kind kind;
  Json object;  // to be written, or as it was read
};

// Names of fields that the server leaves out, because it does not know them or has them switched
// off. That is learned of its answers: of what is stored alone nobody could tell whether a field
// was ever written.
using DroppedFields = std::set<std::string>;

// What the server's answer to a write tells of that.
void LearnDropped(const Json& written, const Json& answer, DroppedFields& dropped);

// The writes that lead from the slices that exist in the pool to the contents, in their order. None
// if they say the same already; that a field is absent which the server drops is no difference. An
// Update says over which version it is.
std::vector<SliceWrite> PlanPool(const PoolOwner& owner, const std::vector<Json>& existing,
                                 const std::vector<SliceContent>& contents,
                                 const DroppedFields& dropped);

// Names of the pool's slices: the first, the second...
std::string SliceName(const PoolOwner& owner, int index);

// The devices, in their order, in slices that are no larger than the API allows.
std::vector<SliceContent> InSlices(std::vector<k8s::Device> devices);

}  // namespace ashlar::controller
