// What every kube::Client promises, as a suite that each implementation passes: the in-memory fake,
// the HTTP client against a real kube-apiserver, and the HTTP client against the embedded API
// server. A test program links kube_client_contract.cc and instantiates the suite:
//
//   INSTANTIATE_TEST_SUITE_P(Fake, KubeClientContract, ::testing::Values(KubeApi{"fake",
//   MakeFake}),
//                            KubeApiName);
//
// The API under test must serve the kinds of deploy/crds. Tests share it and use names of their
// own.
#pragma once

#include <functional>
#include <memory>
#include <ostream>
#include <string>

#include "gtest/gtest.h"
#include "lib/kube/client.h"

namespace ashlar::kube {

// An API that runs, and a client to it. Ends when destroyed.
class ApiUnderTest {
 public:
  virtual ~ApiUnderTest() = default;
  virtual Client& client() = 0;
  // A resourceVersion of which the API has forgotten what followed it.
  virtual std::string forgotten_version() = 0;
};

struct KubeApi {
  std::string name;
  // Never null. Unavailable: what it needs is missing on this machine; the message says what. The
  // suite is skipped then, or fails if the environment says CI=true.
  std::function<absl::StatusOr<std::shared_ptr<ApiUnderTest>>()> start;
  bool validates = true;   // checks objects against the CRDs' schemas
  bool namespaced = true;  // serves Leases
};

inline std::ostream& operator<<(std::ostream& out, const KubeApi& api) { return out << api.name; }
inline std::string KubeApiName(const ::testing::TestParamInfo<KubeApi>& info) {
  return info.param.name;
}

class KubeClientContract : public ::testing::TestWithParam<KubeApi> {
 protected:
  void SetUp() override;
  Client& client() { return api_->client(); }
  ApiUnderTest& api() { return *api_; }
  // A Volume that no other test uses.
  Json NewVolume(const std::string& stem);
  Json Create(const std::string& stem);
  Json Read(const Json& object);

 private:
  std::shared_ptr<ApiUnderTest> api_;
};

}  // namespace ashlar::kube
