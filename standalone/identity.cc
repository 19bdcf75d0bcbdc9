#include "standalone/identity.h"

#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "lib/base/json.h"
#include "lib/base/status_macros.h"
#include "lib/tls/certificate_maker.h"
#include "lib/yaml/yaml.h"
#include "standalone/private_file.h"
#include "standalone/random_id.h"

namespace ashlar::standalone {
namespace {

constexpr absl::Duration kCaLifetime = absl::Hours(24 * 3650);
constexpr absl::Duration kLifetime = absl::Hours(24 * 730);
constexpr absl::Duration kRenewBefore = absl::Hours(24 * 30);

bool Lasts(const std::string& certificate, const Clock& clock) {
  auto end = tls::NotAfter(certificate);
  return end.ok() && *end > clock.Now() + kRenewBefore;
}

absl::StatusOr<tls::KeyPair> ReadPair(const std::string& stem, const Clock& clock) {
  tls::KeyPair pair;
  ASHLAR_ASSIGN_OR_RETURN(pair.certificate_pem, ReadFile(stem + ".crt"));
  ASHLAR_ASSIGN_OR_RETURN(pair.key_pem, ReadFile(stem + ".key"));
  if (!Lasts(pair.certificate_pem, clock)) return absl::NotFoundError("it ends soon");
  return pair;
}

// The key goes first: a certificate without its key is not used.
absl::Status WritePair(const std::string& stem, const tls::KeyPair& pair) {
  ASHLAR_RETURN_IF_ERROR(WritePrivateFile(stem + ".key", pair.key_pem));
  return WritePrivateFile(stem + ".crt", pair.certificate_pem);
}

struct Authority {
  tls::KeyPair pair;
  bool fresh = false;  // certificates of the one before it are worthless
};

absl::StatusOr<Authority> LoadAuthority(const std::string& stem, const Clock& clock) {
  auto kept = ReadPair(stem, clock);
  if (kept.ok()) return Authority{*std::move(kept), false};
  if (!absl::IsNotFound(kept.status())) return kept.status();
  tls::CaRequest request = {"ashlar-standalone", clock.Now() - absl::Hours(1),
                            clock.Now() + kCaLifetime};
  ASHLAR_ASSIGN_OR_RETURN(tls::KeyPair made, tls::MakeCa(request));
  ASHLAR_RETURN_IF_ERROR(WritePair(stem, made));
  return Authority{std::move(made), true};
}

absl::StatusOr<tls::KeyPair> LoadCertificate(const std::string& stem, const Authority& authority,
                                             std::vector<std::string> names,
                                             std::vector<std::string> addresses,
                                             const Clock& clock) {
  if (!authority.fresh) {
    auto kept = ReadPair(stem, clock);
    if (kept.ok()) return kept;
    if (!absl::IsNotFound(kept.status())) return kept.status();
  }
  tls::CertificateRequest request;
  request.common_name = names[0];
  request.dns_names = std::move(names);
  request.ip_addresses = std::move(addresses);
  request.not_before = clock.Now() - absl::Hours(1);
  request.not_after = clock.Now() + kLifetime;
  ASHLAR_ASSIGN_OR_RETURN(tls::KeyPair made, tls::MakeCertificate(authority.pair, request));
  ASHLAR_RETURN_IF_ERROR(WritePair(stem, made));
  return made;
}

absl::StatusOr<std::string> LoadToken(const std::string& path) {
  auto kept = ReadFile(path);
  if (kept.ok() && !kept->empty()) return kept;
  if (!kept.ok() && !absl::IsNotFound(kept.status())) return kept.status();
  std::string token = RandomToken();
  ASHLAR_RETURN_IF_ERROR(WritePrivateFile(path, token));
  return token;
}

absl::StatusOr<std::string> LoadPeer(const std::string& directory, const std::string& name,
                                     const Authority& authority, const Clock& clock) {
  ASHLAR_RETURN_IF_ERROR(MakePrivateDirectory(directory));
  ASHLAR_RETURN_IF_ERROR(
      LoadCertificate(directory + "/tls", authority, {name}, {}, clock).status());
  ASHLAR_RETURN_IF_ERROR(WritePrivateFile(directory + "/ca.crt", authority.pair.certificate_pem));
  return directory;
}

}  // namespace

absl::StatusOr<Identity> LoadIdentity(const std::string& directory, const std::string& address,
                                      const Clock& clock) {
  ASHLAR_RETURN_IF_ERROR(MakePrivateDirectory(directory));
  ASHLAR_ASSIGN_OR_RETURN(Authority authority, LoadAuthority(directory + "/ca", clock));
  std::vector<std::string> addresses = {"127.0.0.1"};
  if (address != "127.0.0.1" && address != "0.0.0.0") addresses.push_back(address);
  ASHLAR_ASSIGN_OR_RETURN(tls::KeyPair api,
                          LoadCertificate(absl::StrCat(directory, "/api-", address), authority,
                                          {"localhost"}, addresses, clock));
  Identity identity;
  identity.ca_pem = authority.pair.certificate_pem;
  identity.cert_pem = api.certificate_pem;
  identity.key_pem = api.key_pem;
  ASHLAR_ASSIGN_OR_RETURN(identity.token, LoadToken(directory + "/token"));
  ASHLAR_ASSIGN_OR_RETURN(
      identity.controller_tls_dir,
      LoadPeer(directory + "/controller", "ashlar-controller", authority, clock));
  ASHLAR_ASSIGN_OR_RETURN(identity.agent_tls_dir,
                          LoadPeer(directory + "/agent", "ashlar-node-agent", authority, clock));
  return identity;
}

std::string KubeconfigText(const Identity& identity, const std::string& url) {
  const Json cluster = {{"server", url},
                        {"certificate-authority-data", absl::Base64Escape(identity.ca_pem)}};
  const Json context = {{"cluster", "ashlar"}, {"user", "ashlar"}, {"namespace", "default"}};
  return FormatYaml({{"apiVersion", "v1"},
                     {"kind", "Config"},
                     {"clusters", {{{"name", "ashlar"}, {"cluster", cluster}}}},
                     {"users", {{{"name", "ashlar"}, {"user", {{"token", identity.token}}}}}},
                     {"contexts", {{{"name", "ashlar"}, {"context", context}}}},
                     {"current-context", "ashlar"}});
}

}  // namespace ashlar::standalone
