// TlsDirectory: a temporary directory with ca.crt, tls.crt and tls.key for tests.
#pragma once

#include <string>

#include "lib/tls/certificate_maker.h"

namespace ashlar::rpc {

class TlsDirectory {
 public:
  TlsDirectory();
  ~TlsDirectory();  // removes it
  TlsDirectory(const TlsDirectory&) = delete;

  const std::string& path() const { return path_; }

  // Writes a certificate for `name` signed by `ca`, whose own certificate becomes ca.crt.
  void Write(const tls::KeyPair& ca, const std::string& name);

 private:
  std::string path_;
};

// An authority that is valid now.
tls::KeyPair MakeTestCa();

}  // namespace ashlar::rpc
