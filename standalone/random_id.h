// Identifiers that nobody can guess. Thread-safe, no state.
#pragma once

#include <string>

namespace ashlar::standalone {

// A random UUID (RFC 4122, version 4), for metadata.uid.
std::string RandomUuid();
// Five letters and digits that spell no word, for metadata.generateName.
std::string RandomSuffix();
// 32 random bytes in hexadecimal: a bearer token.
std::string RandomToken();

}  // namespace ashlar::standalone
