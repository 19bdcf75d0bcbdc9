// fake_pod_resources: the kubelet's PodResources API, for tests.
//
//   fake_pod_resources SOCKET FILE   FILE holds a ListPodResourcesResponse as JSON, read at each
//   call
//
// Serves until it is killed.
#include <unistd.h>

#include <fstream>
#include <iostream>
#include <sstream>

#include "google/protobuf/util/json_util.h"
#include "node-agent/testing/fake_kubelet.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: fake_pod_resources SOCKET FILE\n";
    return 2;
  }
  const ashlar::node_agent::FakeKubelet kubelet(argv[1], [file = argv[2]] {
    std::stringstream json;
    json << std::ifstream(file).rdbuf();
    v1::ListPodResourcesResponse pods;
    const auto parsed = google::protobuf::util::JsonStringToMessage(json.str(), &pods);
    if (!parsed.ok()) std::cerr << file << ": " << parsed.message() << "\n";
    return pods;
  });
  for (;;) pause();
}
