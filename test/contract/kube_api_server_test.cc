// The HTTP client passes the contract against a real kube-apiserver, and what only a real one
// shows.
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gtest/gtest.h"
#include "lib/kube/core_kinds.h"
#include "lib/kube/event_recorder.h"
#include "lib/kube/http_client.h"
#include "lib/kube/leader_elector.h"
#include "lib/kube/object.h"
#include "lib/runtime/informer.h"
#include "test/contract/kube_api_server.h"
#include "test/contract/kube_client_contract.h"

namespace ashlar::kube {
namespace {

std::shared_ptr<KubeApiServer>& Server() {
  static std::shared_ptr<KubeApiServer>& server = *new std::shared_ptr<KubeApiServer>();
  return server;
}

absl::StatusOr<std::shared_ptr<ApiUnderTest>> Shared() {
  if (Server() == nullptr) {
    auto started = KubeApiServer::Start();
    if (!started.ok()) return started.status();
    Server() = *std::move(started);
  }
  return Server();
}

const KubeApi kApi{"kube_apiserver", Shared};
INSTANTIATE_TEST_SUITE_P(Http, KubeClientContract, ::testing::Values(kApi), KubeApiName);

class KubeApiServerTest : public KubeClientContract {
 protected:
  KubeApiServer& server() { return *Server(); }
};
INSTANTIATE_TEST_SUITE_P(Http, KubeApiServerTest, ::testing::Values(kApi), KubeApiName);

TEST_P(KubeApiServerTest, WhoHasNoRightsIsToldSo) {
  RealClock clock;
  auto connection = server().PowerlessConnection();
  ASSERT_TRUE(connection.ok()) << connection.status();
  auto powerless = *MakeHttpClient(*connection, clock);
  const absl::Status refused = powerless->List({}, kSecret, {}).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kPermissionDenied) << refused;
  EXPECT_NE(refused.message().find("cannot list resource \"secrets\""), absl::string_view::npos)
      << refused;
  connection->token = "unknown";
  EXPECT_EQ((*MakeHttpClient(*connection, clock))->List({}, kSecret, {}).status().code(),
            absl::StatusCode::kUnauthenticated);
}

TEST_P(KubeApiServerTest, EventsAreShownAndCounted) {
  RealClock clock;
  const Json volume = Create("event");
  {
    EventRecorder recorder(client(), clock, "ashlar-controller", "pod");
    for (int i = 0; i < 3; ++i)
      recorder.Record(ReferenceTo(volume), EventType::kWarning, "NoCapacity", "full");
    recorder.Flush();
  }
  const auto events =
      client().List({}, kEvent, {.field_selector = "involvedObject.name=" + KeyOf(volume).name});
  ASSERT_TRUE(events.ok()) << events.status();
  ASSERT_EQ(events->items.size(), 1u);
  EXPECT_EQ(events->items[0]["count"], 3);
}

TEST_P(KubeApiServerTest, LeaseIsTakenRenewedAndReleased) {
  RealClock clock;
  const ObjectKey key{"default", KeyOf(NewVolume("lease")).name};
  LeaderElector elector(client(), clock,
                        {.lease = key, .identity = "me", .retry_period = absl::Milliseconds(50)});
  std::stop_source stop;
  const absl::Status ended = elector.Run({.stop = stop.get_token()}, [&](std::stop_token) {
    absl::SleepFor(absl::Milliseconds(300));
    EXPECT_EQ((*client().Get({}, kLease, key))["spec"]["holderIdentity"], "me");
    stop.request_stop();
  });
  EXPECT_TRUE(ended.ok()) << ended;
  EXPECT_EQ(JsonString(*client().Get({}, kLease, key), {"spec", "holderIdentity"}), "");
}

TEST_P(KubeApiServerTest, InformerSurvivesALossOfTheServer) {
  RealClock clock;
  const KindInfo kind{"ashlar.dev", "v1alpha1", "Volume", "volumes", false};
  runtime::Informer informer(client(), kind, clock);
  std::jthread thread([&](std::stop_token stop) { informer.Run(stop); });
  ASSERT_TRUE(informer.AwaitSync({.deadline = absl::Now() + absl::Minutes(1)}).ok());
  const Json before = Create("before");
  server().Interrupt();
  EXPECT_TRUE(absl::IsUnavailable(client().Create({}, kind, NewVolume("lost")).status()));
  const absl::Status resumed = server().Resume();
  ASSERT_TRUE(resumed.ok()) << resumed;
  const Json after = Create("after");
  const absl::Time patience = absl::Now() + absl::Minutes(1);
  while (informer.Get(KeyOf(after)) == nullptr && absl::Now() < patience)
    absl::SleepFor(absl::Milliseconds(20));
  EXPECT_NE(informer.Get(KeyOf(after)), nullptr);
  EXPECT_NE(informer.Get(KeyOf(before)), nullptr);
}

}  // namespace
}  // namespace ashlar::kube
