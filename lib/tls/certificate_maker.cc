#include "lib/tls/certificate_maker.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "lib/base/status_macros.h"

namespace ashlar::tls {
namespace {

template <auto Free>
struct Deleter {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Deleter<X509_free>>;
using Bio = std::unique_ptr<BIO, Deleter<BIO_free>>;
using Extension = std::unique_ptr<X509_EXTENSION, Deleter<X509_EXTENSION_free>>;

absl::Status OpenSslError(absl::string_view what) {
  char text[256];
  ERR_error_string_n(ERR_get_error(), text, sizeof(text));
  ERR_clear_error();
  return absl::InternalError(absl::StrCat(what, ": ", text));
}

std::string Text(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return std::string(data, size);
}

absl::StatusOr<KeyPair> ToPem(X509* certificate, EVP_PKEY* key) {
  Bio certificate_text(BIO_new(BIO_s_mem()));
  Bio key_text(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509(certificate_text.get(), certificate) != 1 ||
      PEM_write_bio_PrivateKey(key_text.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return OpenSslError("cannot write PEM");
  }
  return KeyPair{Text(certificate_text.get()), Text(key_text.get())};
}

absl::Status SetSerial(X509* certificate) {
  unsigned char bytes[16];
  if (RAND_bytes(bytes, sizeof(bytes)) != 1) return OpenSslError("cannot draw a serial number");
  bytes[0] &= 0x7f;  // RFC 5280 4.1.2.2: a positive number
  std::unique_ptr<BIGNUM, Deleter<BN_free>> number(BN_bin2bn(bytes, sizeof(bytes), nullptr));
  if (number == nullptr ||
      BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) == nullptr) {
    return OpenSslError("cannot set the serial number");
  }
  return absl::OkStatus();
}

absl::Status AddName(X509_NAME* name, const char* field, absl::string_view value) {
  if (value.empty()) return absl::OkStatus();
  if (X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8,
                                 reinterpret_cast<const unsigned char*>(value.data()),
                                 static_cast<int>(value.size()), -1, 0) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError(absl::StrCat(
        field, " '", value, "' cannot stand in a certificate (at most 64 characters)"));
  }
  return absl::OkStatus();
}

absl::Status AddExtension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  Extension extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  if (extension == nullptr || X509_add_ext(certificate, extension.get(), -1) != 1) {
    return OpenSslError(absl::StrCat("cannot set extension ", OBJ_nid2sn(nid), "=", value));
  }
  return absl::OkStatus();
}

absl::Status SetValidity(X509* certificate, absl::Time from, absl::Time to) {
  if (ASN1_TIME_set(X509_getm_notBefore(certificate), absl::ToTimeT(from)) == nullptr ||
      ASN1_TIME_set(X509_getm_notAfter(certificate), absl::ToTimeT(to)) == nullptr) {
    return OpenSslError("cannot set the time of validity");
  }
  return absl::OkStatus();
}

struct Draft {
  Key key;
  Certificate certificate;
};

// A new key and a certificate with everything that an authority and its children have in common.
absl::StatusOr<Draft> MakeDraft(const CertificateRequest& request) {
  Draft draft{Key(EVP_EC_gen("P-256")), Certificate(X509_new())};
  if (draft.key == nullptr || draft.certificate == nullptr)
    return OpenSslError("cannot make a key");
  X509* certificate = draft.certificate.get();
  X509_set_version(certificate, X509_VERSION_3);
  ASHLAR_RETURN_IF_ERROR(SetSerial(certificate));
  ASHLAR_RETURN_IF_ERROR(SetValidity(certificate, request.not_before, request.not_after));
  X509_NAME* subject = X509_get_subject_name(certificate);
  ASHLAR_RETURN_IF_ERROR(AddName(subject, "O", request.organization));
  ASHLAR_RETURN_IF_ERROR(AddName(subject, "CN", request.common_name));
  if (X509_set_pubkey(certificate, draft.key.get()) != 1) return OpenSslError("cannot set the key");
  return draft;
}

absl::Status Sign(X509* certificate, EVP_PKEY* key) {
  if (X509_sign(certificate, key, EVP_sha256()) == 0) return OpenSslError("cannot sign");
  return absl::OkStatus();
}

absl::StatusOr<Certificate> ReadCertificate(absl::string_view pem) {
  Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  Certificate certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  if (certificate == nullptr) {
    ERR_clear_error();
    return absl::InvalidArgumentError("the text holds no PEM certificate");
  }
  return certificate;
}

absl::StatusOr<std::string> AlternativeNames(const CertificateRequest& request) {
  std::vector<std::string> names;
  for (const std::string& name : request.dns_names) names.push_back(absl::StrCat("DNS:", name));
  for (const std::string& ip : request.ip_addresses) names.push_back(absl::StrCat("IP:", ip));
  for (const std::string& name : names) {
    // A comma or a line break would be read as one more extension value.
    if (name.find_first_of(",\n\r@ ") != std::string::npos) {
      return absl::InvalidArgumentError(absl::StrCat("'", name, "' is not a subject name"));
    }
  }
  return absl::StrJoin(names, ",");
}

}  // namespace

absl::StatusOr<KeyPair> MakeCa(const CaRequest& request) {
  ASHLAR_ASSIGN_OR_RETURN(Draft draft, MakeDraft({.common_name = request.common_name,
                                                  .not_before = request.not_before,
                                                  .not_after = request.not_after}));
  X509* certificate = draft.certificate.get();
  X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
  ASHLAR_RETURN_IF_ERROR(
      AddExtension(certificate, certificate, NID_basic_constraints, "critical,CA:TRUE"));
  ASHLAR_RETURN_IF_ERROR(
      AddExtension(certificate, certificate, NID_key_usage, "critical,keyCertSign,cRLSign"));
  ASHLAR_RETURN_IF_ERROR(
      AddExtension(certificate, certificate, NID_subject_key_identifier, "hash"));
  ASHLAR_RETURN_IF_ERROR(Sign(certificate, draft.key.get()));
  return ToPem(certificate, draft.key.get());
}

absl::StatusOr<KeyPair> MakeCertificate(const KeyPair& ca, const CertificateRequest& request) {
  ASHLAR_ASSIGN_OR_RETURN(Certificate issuer, ReadCertificate(ca.certificate_pem));
  Bio key_text(BIO_new_mem_buf(ca.key_pem.data(), static_cast<int>(ca.key_pem.size())));
  Key issuer_key(PEM_read_bio_PrivateKey(key_text.get(), nullptr, nullptr, nullptr));
  if (issuer_key == nullptr || X509_check_private_key(issuer.get(), issuer_key.get()) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError(
        "the authority's key is not PEM or not that of its certificate");
  }
  ASHLAR_ASSIGN_OR_RETURN(std::string names, AlternativeNames(request));
  ASHLAR_ASSIGN_OR_RETURN(Draft draft, MakeDraft(request));
  X509* certificate = draft.certificate.get();
  X509_set_issuer_name(certificate, X509_get_subject_name(issuer.get()));
  ASHLAR_RETURN_IF_ERROR(
      AddExtension(certificate, issuer.get(), NID_basic_constraints, "critical,CA:FALSE"));
  ASHLAR_RETURN_IF_ERROR(
      AddExtension(certificate, issuer.get(), NID_key_usage, "critical,digitalSignature"));
  ASHLAR_RETURN_IF_ERROR(
      AddExtension(certificate, issuer.get(), NID_ext_key_usage, "serverAuth,clientAuth"));
  ASHLAR_RETURN_IF_ERROR(
      AddExtension(certificate, issuer.get(), NID_authority_key_identifier, "keyid"));
  if (!names.empty()) {
    ASHLAR_RETURN_IF_ERROR(AddExtension(certificate, issuer.get(), NID_subject_alt_name, names));
  }
  ASHLAR_RETURN_IF_ERROR(Sign(certificate, issuer_key.get()));
  return ToPem(certificate, draft.key.get());
}

absl::StatusOr<absl::Time> NotAfter(absl::string_view certificate_pem) {
  ASHLAR_ASSIGN_OR_RETURN(Certificate certificate, ReadCertificate(certificate_pem));
  std::tm end{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate.get()), &end) != 1) {
    return OpenSslError("cannot read the end of validity");
  }
  return absl::FromTM(end, absl::UTCTimeZone());
}

}  // namespace ashlar::tls
