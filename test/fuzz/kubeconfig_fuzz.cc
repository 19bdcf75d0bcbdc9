// Any text as a kubeconfig: never a connection without a server.
#include "lib/kube/connection.h"
#include "test/fuzz/fuzz_target.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // File names in the text are looked for in a folder that is not there.
  const auto made =
      ashlar::kube::ParseKubeconfig(ashlar::fuzz::Text(data, size), "/proc/self/no-such-folder");
  if (!made.ok()) return 0;
  ashlar::fuzz::Require(!made->http.base_url.empty(), "a connection has a server");
  ashlar::fuzz::Require(made->http.client_cert_pem.empty() == made->http.client_key_pem.empty(),
                        "certificate and key come together");
  ashlar::fuzz::Require(!made->http.insecure_skip_verify || made->http.ca_pem.empty(),
                        "either a CA or no check");
  return 0;
}
