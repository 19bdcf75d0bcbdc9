#include "lib/kube/connection.h"

#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_replace.h"
#include "gtest/gtest.h"
#include "lib/base/testing/temporary_directory.h"

namespace ashlar::kube {
namespace {

constexpr char kConfig[] = R"(
apiVersion: v1
kind: Config
current-context: main
clusters:
- name: c1
  cluster: {server: "https://10.0.0.1:6443/", certificate-authority-data: Y2E=, tls-server-name: kube}
- name: c2
  cluster: {server: "http://127.0.0.1:8080", insecure-skip-tls-verify: true}
users:
- name: u1
  user: {client-certificate-data: Y2VydA==, client-key-data: a2V5}
- name: u2
  user: {tokenFile: secrets/token}
- name: u3
  user: {token: abc}
contexts:
- name: main
  context: {cluster: c1, user: u1, namespace: ns}
- name: other
  context: {cluster: c2, user: u2}
- name: third
  context: {cluster: c2, user: u3}
- name: nobody
  context: {cluster: c2}
- name: broken
  context: {cluster: absent, user: u1}
)";

TEST(Kubeconfig, CurrentContextLeadsToClusterAndUser) {
  const auto made = ParseKubeconfig(kConfig, "/dir");
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->http.base_url, "https://10.0.0.1:6443");
  EXPECT_EQ(made->http.ca_pem, "ca");
  EXPECT_EQ(made->http.server_name, "kube");
  EXPECT_EQ(made->http.client_cert_pem, "cert");
  EXPECT_EQ(made->http.client_key_pem, "key");
  EXPECT_FALSE(made->http.insecure_skip_verify);
  EXPECT_EQ(made->space, "ns");
}

TEST(Kubeconfig, NamedContextWinsAndFilesAreRelativeToTheConfig) {
  const auto made = ParseKubeconfig(kConfig, "/dir", "other");
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->http.base_url, "http://127.0.0.1:8080");
  EXPECT_TRUE(made->http.insecure_skip_verify);
  EXPECT_EQ(made->token_file, "/dir/secrets/token");
  EXPECT_EQ(ParseKubeconfig(kConfig, "/dir", "third")->token, "abc");
  EXPECT_TRUE(ParseKubeconfig(kConfig, "/dir", "nobody").ok());
}

TEST(Kubeconfig, CertificatesMayLieInFiles) {
  TemporaryDirectory directory;
  std::ofstream(directory.path() + "/ca.crt") << "from file";
  std::ofstream(directory.path() + "/config") << absl::StrReplaceAll(
      kConfig, {{"certificate-authority-data: Y2E=", "certificate-authority: ca.crt"}});
  const auto made = LoadKubeconfig(directory.path() + "/config");
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->http.ca_pem, "from file");
}

TEST(Kubeconfig, WhatIsNotSupportedIsRefusedByName) {
  struct Case {
    const char* instead_of;
    const char* user;
    const char* named;
  };
  for (const Case& c : {Case{"token: abc", "exec: {command: aws}", "exec"},
                        Case{"token: abc", "auth-provider: {name: gcp}", "auth-provider"},
                        Case{"token: abc", "username: me, password: x", "username"},
                        Case{"token: abc", "client-certificate-data: Y2E=", "client-key"},
                        Case{"token: abc", "client-key-data: '%'", "client-key-data"},
                        Case{"token: abc", "client-key: /no/such", "/no/such"},
                        Case{"server: \"http", "proxy-url: p, server: \"http", "proxy-url"}}) {
    const std::string text = absl::StrReplaceAll(kConfig, {{c.instead_of, c.user}});
    const auto made = ParseKubeconfig(text, "/dir", "third");
    EXPECT_EQ(made.status().code(), absl::StatusCode::kInvalidArgument) << c.user;
    EXPECT_TRUE(absl::StrContains(made.status().message(), c.named)) << made.status();
  }
}

TEST(Kubeconfig, MissingPartsAreNamed) {
  EXPECT_TRUE(absl::StrContains(ParseKubeconfig(kConfig, "", "absent").status().message(),
                                "contexts has no entry \"absent\""));
  EXPECT_TRUE(absl::StrContains(ParseKubeconfig(kConfig, "", "broken").status().message(),
                                "clusters has no entry \"absent\""));
  EXPECT_FALSE(ParseKubeconfig("{}", "").ok());
  EXPECT_FALSE(ParseKubeconfig("[1, 2", "").ok());
  EXPECT_EQ(LoadKubeconfig("/no/such/config").status().code(), absl::StatusCode::kNotFound);
}

TEST(InCluster, ReadsWhatTheKubeletMounts) {
  TemporaryDirectory directory;
  const PodEnvironment environment{"10.96.0.1", "443", directory.path()};
  EXPECT_EQ(InClusterConnection(environment).status().code(),
            absl::StatusCode::kFailedPrecondition);
  std::ofstream(directory.path() + "/token") << "t";
  std::ofstream(directory.path() + "/ca.crt") << "ca";
  std::ofstream(directory.path() + "/namespace") << "ashlar\n";
  const auto made = InClusterConnection(environment);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->http.base_url, "https://10.96.0.1:443");
  EXPECT_EQ(made->http.ca_pem, "ca");
  EXPECT_EQ(made->token_file, directory.path() + "/token");
  EXPECT_EQ(made->space, "ashlar");
  EXPECT_EQ(InClusterConnection({"fd00::1", "443", directory.path()})->http.base_url,
            "https://[fd00::1]:443");
  EXPECT_EQ(InClusterConnection({"", "", directory.path()}).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace ashlar::kube
