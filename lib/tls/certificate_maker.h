// Makes a certificate authority and certificates signed by it (X.509 v3, RFC 5280; keys on the
// curve P-256), as PEM texts. No state; thread-safe. Internal is answered if OpenSSL fails, with
// its reason; InvalidArgument if a name can't stand in a certificate.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace ashlar::tls {

struct KeyPair {
  std::string certificate_pem;
  std::string key_pem;  // PKCS #8, not encrypted: store it where only its owner can read
};

struct CaRequest {
  std::string common_name;
  absl::Time not_before;
  absl::Time not_after;
};

// A self-signed authority that may sign certificates and nothing else.
absl::StatusOr<KeyPair> MakeCa(const CaRequest& request);

struct CertificateRequest {
  std::string common_name;
  std::vector<std::string> dns_names;     // subject alternative names
  std::vector<std::string> ip_addresses;  // more of them: 127.0.0.1, ::1
  std::string organization;               // a Kubernetes group, or empty
  absl::Time not_before;
  absl::Time not_after;
};

// A certificate for both ends of a connection (serverAuth and clientAuth), signed by `ca`.
// InvalidArgument if the PEM of `ca` can't be read.
absl::StatusOr<KeyPair> MakeCertificate(const KeyPair& ca, const CertificateRequest& request);

// When the certificate ends. InvalidArgument if the text holds no certificate.
absl::StatusOr<absl::Time> NotAfter(absl::string_view certificate_pem);

}  // namespace ashlar::tls
