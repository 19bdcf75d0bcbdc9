#include "lib/rpc/testing/tls_directory.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "absl/time/clock.h"

namespace ashlar::rpc {
namespace {

void WriteFile(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::trunc) << text;
}

}  // namespace

TlsDirectory::TlsDirectory() {
  path_ = std::filesystem::temp_directory_path() / "ashlar-tls-XXXXXX";
  if (::mkdtemp(path_.data()) == nullptr) std::abort();
}

TlsDirectory::~TlsDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void TlsDirectory::Write(const tls::KeyPair& ca, const std::string& name) {
  const absl::Time now = absl::Now();
  const auto made = tls::MakeCertificate(ca, {.common_name = name,
                                              .dns_names = {name},
                                              .not_before = now - absl::Hours(1),
                                              .not_after = now + absl::Hours(1)});
  if (!made.ok()) std::abort();
  WriteFile(path_ + "/ca.crt", ca.certificate_pem);
  WriteFile(path_ + "/tls.crt", made->certificate_pem);
  WriteFile(path_ + "/tls.key", made->key_pem);
}

tls::KeyPair MakeTestCa() {
  const absl::Time now = absl::Now();
  const auto ca = tls::MakeCa({"test authority", now - absl::Hours(1), now + absl::Hours(1)});
  if (!ca.ok()) std::abort();
  return *ca;
}

}  // namespace ashlar::rpc
