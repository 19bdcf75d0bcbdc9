// DraInformers: the caches of what Dynamic Resource Allocation (resource.k8s.io/v1) is about.
#pragma once

#include <list>
#include <string>
#include <vector>

#include "ashlar/k8s/resource.pb.h"
#include "lib/base/clock.h"
#include "lib/kube/client.h"
#include "lib/runtime/informer.h"

namespace ashlar::controller {

struct DraInformers {
  DraInformers(kube::Client& client, Clock& clock);

  runtime::Informer claims;
  runtime::Informer nvme_slices;    // of nvme.ashlar.dev
  runtime::Informer gpu_slices;     // of gpu.ashlar.dev
  runtime::Informer nvidia_slices;  // of gpu.nvidia.com

  std::vector<runtime::Informer*> all() {
    return {&claims, &nvme_slices, &gpu_slices, &nvidia_slices};
  }
};

// Finds the ResourceSlice that publishes a device. What it has found lives as long as it does. Not
// thread-safe.
class SliceFinder {
 public:
  explicit SliceFinder(const DraInformers& dra) : dra_(dra) {}
  // nullptr: none does.
  const k8s::ResourceSlice* Find(const std::string& driver, const std::string& pool,
                                 const std::string& device);

 private:
  const DraInformers& dra_;
  std::list<k8s::ResourceSlice> found_;  // what is pointed to stays where it is
};

// Whether the API server has resource.k8s.io/v1 and lets us read it; asks until it answers or the
// context ends (Cancelled, DeadlineExceeded). What is missing is logged.
absl::StatusOr<bool> ServesDra(const CallContext& context, kube::Client& client, Clock& clock);

}  // namespace ashlar::controller
