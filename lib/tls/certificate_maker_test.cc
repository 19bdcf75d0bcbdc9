#include "lib/tls/certificate_maker.h"

#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include "gtest/gtest.h"

namespace ashlar::tls {
namespace {

const absl::Time kFrom = absl::FromUnixSeconds(1'700'000'000);
const absl::Time kTo = kFrom + absl::Hours(24 * 365);

X509* Read(const std::string& pem) {
  BIO* bio = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  X509* certificate = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  return certificate;
}

// X509_V_OK or the reason that OpenSSL gives for its refusal at the time `at`.
int Verify(const std::string& ca_pem, const std::string& certificate_pem, absl::Time at) {
  X509* ca = Read(ca_pem);
  X509* certificate = Read(certificate_pem);
  X509_STORE* store = X509_STORE_new();
  X509_STORE_add_cert(store, ca);
  X509_STORE_CTX* context = X509_STORE_CTX_new();
  X509_STORE_CTX_init(context, store, certificate, nullptr);
  X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(context), absl::ToTimeT(at));
  X509_STORE_CTX_set_purpose(context, X509_PURPOSE_SSL_SERVER);
  X509_verify_cert(context);
  const int result = X509_STORE_CTX_get_error(context);
  X509_STORE_CTX_free(context);
  X509_STORE_free(store);
  X509_free(ca);
  X509_free(certificate);
  return result;
}

TEST(CertificateMaker, SignedCertificateIsTrustedForItsNamesInItsTime) {
  const auto ca = MakeCa({"ashlar-ca", kFrom, kTo});
  ASSERT_TRUE(ca.ok()) << ca.status();
  const auto made = MakeCertificate(*ca, {.common_name = "agent",
                                          .dns_names = {"ashlar-node-agent", "localhost"},
                                          .ip_addresses = {"127.0.0.1", "::1"},
                                          .organization = "system:masters",
                                          .not_before = kFrom,
                                          .not_after = kTo});
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(Verify(ca->certificate_pem, made->certificate_pem, kFrom + absl::Hours(1)), X509_V_OK);
  EXPECT_EQ(Verify(ca->certificate_pem, made->certificate_pem, kTo + absl::Hours(1)),
            X509_V_ERR_CERT_HAS_EXPIRED);
  X509* certificate = Read(made->certificate_pem);
  EXPECT_EQ(X509_check_host(certificate, "ashlar-node-agent", 0, 0, nullptr), 1);
  EXPECT_EQ(X509_check_host(certificate, "ashlar-controller", 0, 0, nullptr), 0);
  EXPECT_EQ(X509_check_ip_asc(certificate, "::1", 0), 1);
  X509_free(certificate);
  EXPECT_EQ(*NotAfter(made->certificate_pem), kTo);
}

TEST(CertificateMaker, CertificateOfAnotherAuthorityIsNotTrusted) {
  const auto ca = MakeCa({"ashlar-ca", kFrom, kTo});
  const auto other = MakeCa({"ashlar-ca", kFrom, kTo});
  const auto made = MakeCertificate(
      *other, {.common_name = "agent", .dns_names = {"a"}, .not_before = kFrom, .not_after = kTo});
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_NE(Verify(ca->certificate_pem, made->certificate_pem, kFrom + absl::Hours(1)), X509_V_OK);
}

TEST(CertificateMaker, RefusesNamesThatWouldAddExtensionsAndForeignKeys) {
  const auto ca = MakeCa({"ashlar-ca", kFrom, kTo});
  EXPECT_EQ(MakeCertificate(*ca, {.dns_names = {"a,DNS:b"}, .not_before = kFrom, .not_after = kTo})
                .status()
                .code(),
            absl::StatusCode::kInvalidArgument);
  const auto other = MakeCa({"other", kFrom, kTo});
  EXPECT_EQ(MakeCertificate({ca->certificate_pem, other->key_pem},
                            {.dns_names = {"a"}, .not_before = kFrom, .not_after = kTo})
                .status()
                .code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(NotAfter("no certificate").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(MakeCa({std::string(65, 'x'), kFrom, kTo}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace ashlar::tls
