// The in-memory API passes the contract.
#include "lib/kube/testing/fake_client.h"
#include "absl/strings/str_cat.h"
#include "lib/base/clock.h"
#include "test/contract/kube_client_contract.h"

namespace ashlar::kube {
namespace {

class FakeApi final : public ApiUnderTest {
 public:
  Client& client() override { return client_; }
  std::string forgotten_version() override { return "1"; }

 private:
  RealClock clock_;
  FakeClient client_{clock_};
};

INSTANTIATE_TEST_SUITE_P(InMemory, KubeClientContract,
                         ::testing::Values(KubeApi{"fake",
                                                   [] { return std::make_shared<FakeApi>(); },
                                                   /*validates=*/false}),
                         KubeApiName);

}  // namespace
}  // namespace ashlar::kube
