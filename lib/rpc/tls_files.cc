#include "lib/rpc/tls_files.h"

#include <algorithm>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "grpcpp/security/auth_metadata_processor.h"
#include "grpcpp/security/tls_certificate_provider.h"
#include "grpcpp/security/tls_credentials_options.h"
#include "lib/base/status_macros.h"
#include "lib/rpc/status.h"

namespace ashlar::rpc {
namespace {

using grpc::experimental::FileWatcherCertificateProvider;

// Asked for every call, on the connection's facts alone, so it does not block.
class PeerNameProcessor final : public grpc::AuthMetadataProcessor {
 public:
  explicit PeerNameProcessor(std::string peer_name) : peer_name_(std::move(peer_name)) {}
  bool IsBlocking() const override { return false; }
  grpc::Status Process(const InputMetadata&, grpc::AuthContext* context, OutputMetadata*,
                       OutputMetadata*) override {
    std::vector<std::string> names;
    for (const grpc::string_ref& name : context->FindPropertyValues(GRPC_X509_SAN_PROPERTY_NAME)) {
      names.emplace_back(name.data(), name.size());
    }
    return ToGrpc(CheckPeerName(names, peer_name_));
  }

 private:
  const std::string peer_name_;
};

absl::Status CheckFile(const std::string& path) {
  std::ifstream file(path);
  std::string first_line;
  if (!file || !std::getline(file, first_line)) {
    return absl::FailedPreconditionError(absl::StrCat(
        "cannot read ", path, ": the directory must hold ca.crt, tls.crt and tls.key"));
  }
  if (first_line.find("-----BEGIN") == std::string::npos) {
    return absl::FailedPreconditionError(absl::StrCat(path, " is not PEM"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<FileWatcherCertificateProvider>> MakeProvider(
    const TlsFiles& files) {
  if (files.peer_name.empty()) {
    return absl::InvalidArgumentError("no peer name: a certificate of anybody would be accepted");
  }
  const std::string key = absl::StrCat(files.directory, "/tls.key");
  const std::string certificate = absl::StrCat(files.directory, "/tls.crt");
  const std::string ca = absl::StrCat(files.directory, "/ca.crt");
  for (const std::string& path : {key, certificate, ca}) {
    ASHLAR_RETURN_IF_ERROR(CheckFile(path));
  }
  const auto seconds =
      static_cast<unsigned>(std::max<int64_t>(1, absl::ToInt64Seconds(files.reread_every)));
  return std::make_shared<FileWatcherCertificateProvider>(key, certificate, ca, seconds);
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeServerCredentials(
    const TlsFiles& files) {
  ASHLAR_ASSIGN_OR_RETURN(auto provider, MakeProvider(files));
  grpc::experimental::TlsServerCredentialsOptions options(std::move(provider));
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  options.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  auto credentials = grpc::experimental::TlsServerCredentials(options);
  credentials->SetAuthMetadataProcessor(std::make_shared<PeerNameProcessor>(files.peer_name));
  return credentials;
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> MakeChannelCredentials(
    const TlsFiles& files) {
  ASHLAR_ASSIGN_OR_RETURN(auto provider, MakeProvider(files));
  grpc::experimental::TlsChannelCredentialsOptions options;
  options.set_certificate_provider(std::move(provider));
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  return grpc::experimental::TlsCredentials(options);
}

absl::Status CheckPeerName(const std::vector<std::string>& names, absl::string_view peer_name) {
  if (std::find(names.begin(), names.end(), peer_name) != names.end()) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrCat("the certificate of the caller bears '",
                                                  absl::StrJoin(names, ", "), "'; only '",
                                                  peer_name, "' may call"));
}

}  // namespace ashlar::rpc
