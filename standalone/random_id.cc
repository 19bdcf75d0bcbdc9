#include "standalone/random_id.h"

#include <openssl/rand.h>

#include <array>
#include <cstdlib>

#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"

namespace ashlar::standalone {
namespace {

std::string RandomBytes(int count) {
  std::string bytes(static_cast<size_t>(count), '\0');
  // Without random numbers nothing here is safe, and OpenSSL has no other way to fail.
  if (RAND_bytes(reinterpret_cast<unsigned char*>(bytes.data()), count) != 1) std::abort();
  return bytes;
}

}  // namespace

std::string RandomUuid() {
  std::string bytes = RandomBytes(16);
  bytes[6] = static_cast<char>((bytes[6] & 0x0f) | 0x40);
  bytes[8] = static_cast<char>((bytes[8] & 0x3f) | 0x80);
  std::string hex = absl::BytesToHexString(bytes);
  for (size_t at : {8, 13, 18, 23}) hex.insert(at, "-");
  return hex;
}

std::string RandomSuffix() {
  constexpr absl::string_view kLetters = "bcdfghjklmnpqrstvwxz2456789";
  std::string suffix;
  for (char byte : RandomBytes(5)) {
    suffix += kLetters[static_cast<unsigned char>(byte) % kLetters.size()];
  }
  return suffix;
}

std::string RandomToken() { return absl::BytesToHexString(RandomBytes(32)); }

}  // namespace ashlar::standalone
