#include "lib/kube/resource_path.h"

#include "gtest/gtest.h"
#include "lib/kube/core_kinds.h"

namespace ashlar::kube {
namespace {

const api::KindInfo kVolume{"ashlar.dev", "v1alpha1", "Volume", "volumes", false};

TEST(ResourcePath, GroupsAndNamespacesHaveTheirPlaces) {
  EXPECT_EQ(CollectionPath(kPod, ""), "/api/v1/pods");
  EXPECT_EQ(CollectionPath(kPod, "ns"), "/api/v1/namespaces/ns/pods");
  EXPECT_EQ(ObjectPath(kNode, {"", "n1"}), "/api/v1/nodes/n1");
  EXPECT_EQ(ObjectPath(kVolume, {"", "v"}), "/apis/ashlar.dev/v1alpha1/volumes/v");
  EXPECT_EQ(ObjectPath(kLease, {"ns", "l"}), "/apis/coordination.k8s.io/v1/namespaces/ns/leases/l");
}

TEST(ResourcePath, NamesCannotLeaveTheirPlace) {
  EXPECT_EQ(ObjectPath(kNode, {"", "../x?y"}), "/api/v1/nodes/..%2Fx%3Fy");
}

TEST(ResourcePath, QueriesAreEncodedAndEmptyOnesLeftOut) {
  EXPECT_EQ(WithQuery("/p", {{"a", ""}, {"b", "x=1,y in (z)"}, {"c", "2"}}),
            "/p?b=x%3D1%2Cy%20in%20%28z%29&c=2");
}

}  // namespace
}  // namespace ashlar::kube
